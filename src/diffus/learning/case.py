"""A paired case made ready for training: MRI features around the ultrasound, and virtual frames of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.learning.card import read_tensors, write_tensors
from diffus.learning.features import MRIFeatures
from diffus.learning.frames import FrameSampling, VirtualFrames, cut_frames
from diffus.learning.rendering import box_around
from diffus.presets import probe_from_dict
from diffus.registration.virtual_sweep import VirtualSweep, frame_points
from diffus.registration.volume import SweepGeometry
from diffus.sampling import inside_grid
from diffus.volume import Volume

MARGIN_MM = 6.0
"""Of MRI kept around the frames: what refined transforms and models that look around need."""
LEAST_OVERLAP = 0.3
"""Share of the ultrasound's samples that must lie in the MRI's brain."""


class PairedCase(Protocol):
    """What training needs of a case; `diffus.datasets` has readers that give them."""

    @property
    def case(self) -> str:
        """Name of the case."""
        ...

    @property
    def ultrasound(self) -> Volume:
        """The swept volume."""
        ...

    @property
    def contrasts(self) -> Mapping[str, Volume]:
        """MRI by contrast, on one grid."""
        ...

    @property
    def mask(self) -> Volume | None:
        """Brain in the MRI, or None to find it."""
        ...

    @property
    def mri_from_ultrasound(self) -> Any:
        """Rigid transform (4, 4), or None where both share one world."""
        ...


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """What the trainer holds of a case.

    Args:
        name: of the case.
        mri: features of the MRI around the frames.
        frames: of the ultrasound, in its own world.
        mri_from_ultrasound: as it was given, (4, 4).
        pivot_mm: middle of the ultrasound in its own world, about which transforms are refined.
    """

    name: str
    mri: MRIFeatures
    frames: VirtualFrames
    mri_from_ultrasound: Float64[Tensor, "4 4"]
    pivot_mm: Float64[Tensor, "3"]

    @property
    def poses(self) -> Float64[Tensor, "P 4 4"]:
        """Poses of the frames in the world of the MRI."""
        return self.mri_from_ultrasound @ self.frames.sweep.world_from_probe

    def part(self, start: float, stop: float) -> TrainingCase:
        """The case with the frames of a part of its sweep.

        Args:
            start: place along the sweep where it begins, from 0 to 1.
            stop: place before which it ends.

        Raises:
            ValueError: when no frame lies there.
        """
        frames = self.frames.between(start, stop)
        if not len(frames):
            raise ValueError(f"case {self.name} has no frame from {start:g} to {stop:g} of its sweep")
        return replace(self, frames=frames)

    @classmethod
    def prepare(
        cls,
        pair: Any,
        contrasts: Sequence[str],
        sampling: FrameSampling,
        geometry: SweepGeometry | None = None,
        seed: int = 0,
    ) -> TrainingCase:
        """Normalise the MRI, find the sector in the ultrasound, cut frames; half a minute for 256^3.

        Args:
            pair: the case, a `PairedCase`.
            contrasts: those that the model reads; those of them that the case has are used.
            sampling: of the frames.
            geometry: how the probe made the ultrasound; found in it when not given.
            seed: of the frames' tilts.

        Raises:
            ValueError: for a case without any of the contrasts, ultrasound that is empty or shows no sector,
                an MRI that is refused, and ultrasound that does not lie in the brain.
        """
        volumes = {name: volume for name, volume in pair.contrasts.items() if name in contrasts}
        if not volumes:
            raise ValueError(
                f"case {pair.case} has {' and '.join(pair.contrasts) or 'no MRI'}, the model reads "
                f"{' and '.join(contrasts)}: leave the case out, or train for its contrasts"
            )
        given = pair.mri_from_ultrasound
        transform = torch.eye(4, dtype=torch.float64) if given is None else pose.from_matrix(given)
        ultrasound = pair.ultrasound
        frames = cut_frames(ultrasound, geometry or SweepGeometry.found_in(ultrasound), sampling, seed)
        mri = MRIFeatures.from_volumes(volumes, pair.mask)
        case = cls(pair.case, mri, frames, transform, frames.sweep.centre_mm)._where_brain_is()
        return replace(case, mri=mri.crop(box_around(mri, frames.sweep.probe, case.poses, MARGIN_MM)))

    def _where_brain_is(self) -> TrainingCase:
        """The case with weights that are zero outside the MRI."""
        sweep = self.frames.sweep
        points = frame_points(sweep.probe, self.poses)
        affine = torch.linalg.inv(self.mri.world_from_voxel)
        index = (points @ affine[:3, :3].T + affine[:3, 3]).float()
        brain = Volume(self.mri.inside, self.mri.world_from_voxel).sample(points) > 0.5
        share = float((brain * sweep.weights).sum() / sweep.weights.sum())
        if share < LEAST_OVERLAP:
            raise ValueError(
                f"case {self.name}: {100 * share:.0f} % of the ultrasound lies in the brain of the MRI, "
                f"expected {100 * LEAST_OVERLAP:.0f} % or more: check that both share one world, or give the "
                "transform between them"
            )
        weights = sweep.weights * inside_grid(index, self.mri.shape)
        frames = VirtualFrames(replace(sweep, weights=weights), self.frames.place)
        return replace(self, frames=frames.well_filled())

    def save(self, path: Path) -> None:
        """Write the case as safetensors, for `load`."""
        sweep, mri = self.frames.sweep, self.mri
        tensors = {
            "intensities": mri.intensities,
            "edges": mri.edges,
            "inside": mri.inside,
            "untrained": mri.untrained,
            "world_from_voxel": mri.world_from_voxel,
            "world_from_probe": sweep.world_from_probe,
            "image": sweep.image,
            "weights": sweep.weights,
            "place": self.frames.place,
            "mri_from_ultrasound": self.mri_from_ultrasound,
            "pivot_mm": self.pivot_mm,
        }
        said = {"name": self.name, "contrasts": list(mri.contrasts), "probe": sweep.probe.to_dict()}
        contiguous = {name: values.contiguous() for name, values in tensors.items()}
        write_tensors(path, contiguous, {"case": json.dumps(said)})

    @classmethod
    def load(cls, path: Path) -> TrainingCase:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is damaged.
        """
        tensors, words = read_tensors(path, "a prepared case")
        said = json.loads(words["case"])
        mri = MRIFeatures(
            tuple(said["contrasts"]),
            *(tensors[name] for name in ("intensities", "edges", "inside", "untrained", "world_from_voxel")),
        )
        sweep = VirtualSweep(
            probe_from_dict(said["probe"]),
            *(tensors[name] for name in ("world_from_probe", "image", "weights")),
        )
        frames = VirtualFrames(sweep, tensors["place"])
        return cls(said["name"], mri, frames, tensors["mri_from_ultrasound"], tensors["pivot_mm"])
