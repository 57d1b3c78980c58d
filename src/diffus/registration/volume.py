"""A 3D ultrasound volume registered to a medium made from MRI, through virtual frames.

The volume is cut along the scanlines of the probe that swept it; the medium is rendered there; what matches
is found by sampling and descent, first rigid, then affine if asked for. Transforms are
``mri_from_ultrasound``, (4, 4), RAS+ mm: they take a point of the ultrasound's world to that of the MRI.
`diffus.io.transforms` writes them as ITK reads them. Brain shift is `diffus.registration.deformable`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of, require_shape
from diffus.imaging.sector_volume import find_sector_in_volume
from diffus.medium import Medium
from diffus.presets import probe_from_dict
from diffus.probe import Probe
from diffus.registration.affine_descent import descend_affine
from diffus.registration.archive import read_archive, write_archive
from diffus.registration.checkpoint import step
from diffus.registration.rendered_sweep import LOCAL, RENDERING, RenderedSweep
from diffus.registration.rigid_search import SearchSettings, search
from diffus.registration.steps import Progress
from diffus.registration.virtual_sweep import SweepSampling, VirtualSweep, support_of
from diffus.settings import RenderSettings
from diffus.similarity import LocalNCC, Similarity
from diffus.volume import Volume

TRANSFORMS = ("rigid", "affine")
FILE_FORMAT = "diffus-volume-registration"
FILE_VERSION = 1

_SEARCH = SearchSettings()
_COARSE = SweepSampling(n_frames=8, n_scanlines=36, n_samples=52, smoothing_mm=0.4)
_FINE = SweepSampling()
_COARSE_LOCAL = LocalNCC(window=(1, 9, 9))
_APART_MM = 3.0
"""Candidates farther apart than this are rivals."""
_NEARLY = 0.97
"""Share of the best score from which a rival leaves the answer open."""
_TENSORS = (
    "mri_from_ultrasound",
    "candidates",
    "candidate_scores",
    "initial",
    "trajectory",
    "trajectory_scores",
)
_WORDS = ("score", "initial_score", "verdict", "evaluations", "reason")
_OF_SWEEP = ("world_from_probe", "image", "weights")


@dataclass(frozen=True)
class SweepGeometry:
    """How the probe made a volume.

    Args:
        probe: sector and frequency.
        world_from_probe: pose of a plane in the middle of the sweep, (4, 4).
        sweep_direction: vector in the world along which the probe moved.
    """

    probe: Probe
    world_from_probe: Float64[Tensor, "4 4"]
    sweep_direction: Float64[Tensor, "3"]

    @classmethod
    def found_in(cls, ultrasound: Volume, frequency_mhz: float = 7.0, **options: Any) -> SweepGeometry:
        """The geometry as the volume's support tells it.

        Args:
            ultrasound: the swept volume.
            frequency_mhz: centre frequency, which the support does not tell.
            **options: other fields of the probe.

        Raises:
            ValueError: when no sector explains the volume; see `find_sector_in_volume`.
        """
        found = find_sector_in_volume(ultrasound)
        probe = found.sector.probe(frequency_mhz, **options)
        return cls(probe, found.world_from_probe, found.sweep_direction)


@dataclass(frozen=True, kw_only=True)
class VolumeSettings:
    """How a volume is registered.

    Args:
        transform: rigid, or affine: rigid first, then all twelve numbers.
        search: how widely the rigid motion is searched.
        coarse: frames for the search.
        fine: frames for the answer.
        coarse_similarity: of (B, P, S, N) frames at the coarse level; windows count planes,
            scanlines and samples.
        similarity: at the fine level.
        rendering: of the renderer.

    Raises:
        ValueError: for an unknown transform.
    """

    transform: str = "rigid"
    search: SearchSettings = _SEARCH
    coarse: SweepSampling = _COARSE
    fine: SweepSampling = _FINE
    coarse_similarity: Similarity = _COARSE_LOCAL
    similarity: Similarity = LOCAL
    rendering: RenderSettings = RENDERING

    def __post_init__(self) -> None:
        require_one_of("transform", self.transform, TRANSFORMS)


@dataclass(frozen=True, eq=False)
class VolumeRegistration:
    """What a registration found.

    Args:
        mri_from_ultrasound: the transform, RAS+ mm.
        score: of it, at the fine level.
        initial_score: of the transform that the search began at; -1 where it was out of view.
        candidates: (C, 4, 4), the rigid motions that the search ended with, the best first.
        candidate_scores: of each.
        verdict: converged; ambiguous, when a motion more than 3 mm away scores nearly as well; out_of_view,
            when nothing in reach left half of the ultrasound in the medium.
        evaluations: sweeps rendered at each level.
        sweep: the frames at the fine level.
        reason: of the verdict, in words.
        initial: the transform that the search began at.
        trajectory: transforms on the way of the best.
        trajectory_scores: of each, at its own level.
    """

    mri_from_ultrasound: Float64[Tensor, "4 4"]
    score: float
    initial_score: float
    candidates: Float64[Tensor, "C 4 4"]
    candidate_scores: Float64[Tensor, " C"]
    verdict: str
    evaluations: tuple[int, ...]
    sweep: VirtualSweep = field(repr=False)
    reason: str
    initial: Float64[Tensor, "4 4"] = field(repr=False)
    trajectory: Float64[Tensor, "T 4 4"] = field(repr=False)
    trajectory_scores: Float64[Tensor, " T"] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether the transform is to be believed."""
        return self.verdict == "converged"

    def summary(self) -> str:
        """A few lines for people."""
        middle = self.sweep.centre_mm[None]
        moved = pose.transform_points(self.mri_from_ultrasound, middle)
        away = float((moved - pose.transform_points(self.initial, middle)).norm())
        return "\n".join(
            [
                f"verdict: {self.verdict} ({self.reason})",
                f"score: {self.score:.3f}, {self.initial_score:.3f} at the initial transform",
                f"moved the middle of the ultrasound by {away:.2f} mm from the initial transform",
                f"candidates at the end: {len(self.candidates)}, sweeps rendered: {sum(self.evaluations)}",
            ]
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything as ``.npz``, without pickle.

        Raises:
            ValueError: for another extension or a place that cannot be written.
        """
        header = {"format": FILE_FORMAT, "version": FILE_VERSION, "frame": "RAS+", "unit": "mm"}
        header |= {name: getattr(self, name) for name in _WORDS} | {"probe": self.sweep.probe.to_dict()}
        tensors = {name: getattr(self, name) for name in _TENSORS}
        return write_archive(
            path, header, tensors | {f"sweep_{name}": getattr(self.sweep, name) for name in _OF_SWEEP}
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VolumeRegistration:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is not one, or of a newer version.
        """
        header, tensors = read_archive(path, FILE_FORMAT, FILE_VERSION, "volume registration")
        sweep = VirtualSweep(
            probe_from_dict(header["probe"]), *(tensors[f"sweep_{name}"] for name in _OF_SWEEP)
        )
        values: dict[str, Any] = {name: header[name] for name in _WORDS}
        values |= {"evaluations": tuple(header["evaluations"])} | {name: tensors[name] for name in _TENSORS}
        return cls(**values, sweep=sweep)


def register_volume(
    ultrasound: Volume,
    medium: Medium,
    geometry: SweepGeometry | None = None,
    *,
    initial: Float[Tensor, "4 4"] | Any = None,
    settings: VolumeSettings | None = None,
    progress: Progress | None = None,
) -> VolumeRegistration:
    """Find the transform between a swept 3D ultrasound volume and a medium made from MRI.

    The same arguments give the same answer on one machine.

    Args:
        ultrasound: grey values; the background, where no plane came by, holds the lowest value.
        medium: made from the MRI, on its grid.
        geometry: how the probe made the volume; found from its support when not given.
        initial: rigid ``mri_from_ultrasound`` about which to search; the identity by default.
        settings: how widely, how densely, and with which similarity.
        progress: told of each part of the search.

    Raises:
        ValueError: for an initial transform that is not rigid, a constant volume, a geometry that shows
            nothing of it, or (without a geometry) a volume whose sector cannot be found.
    """
    settings = settings or VolumeSettings()
    start = pose.from_matrix(torch.eye(4, dtype=torch.float64) if initial is None else initial)
    require_shape("initial", start.shape, "(4, 4)", start.ndim == 2)
    geometry = geometry or SweepGeometry.found_in(ultrasound)
    samplings = (settings.coarse, settings.fine)
    sweeps = [_cut(ultrasound, geometry, sampling) for sampling in samplings]
    similarities = (settings.coarse_similarity, settings.similarity)
    levels = [
        RenderedSweep(sweep, medium, measure, settings.rendering)
        for sweep, measure in zip(sweeps, similarities, strict=True)
    ]
    fine = sweeps[-1]
    found = search(levels, start, fine.centre_mm, settings.search, progress)
    with torch.no_grad():
        initial_score = float(levels[-1](start[None])[0])
    transform, score = found.transforms[0], float(found.scores[0])
    trajectory, trajectory_scores = found.trajectory, found.trajectory_scores
    if settings.transform == "affine" and score > -1:
        transform, score = _affine(levels[-1], transform, settings.search.n_steps, progress)
        trajectory = torch.cat([trajectory, transform[None]])
        trajectory_scores = torch.cat([trajectory_scores, trajectory_scores.new_tensor([score])])
    verdict, reason = _verdict(found.transforms, found.scores, fine)
    return VolumeRegistration(
        transform,
        score,
        initial_score,
        found.transforms,
        found.scores,
        verdict,
        found.evaluations,
        fine,
        reason,
        start,
        trajectory,
        trajectory_scores,
    )


def mean_displacement_mm(
    one: Float64[Tensor, "*B 4 4"], other: Float64[Tensor, "*#B 4 4"], ultrasound: Volume
) -> Float64[Tensor, "*B"]:
    """How far two transforms carry the points of an ultrasound volume's support apart, on average.

    Args:
        one: transforms of the ultrasound's world, rigid or affine.
        other: those they are compared with.
        ultrasound: whose support counts.
    """
    support = support_of(ultrasound)
    index = support.data.nonzero()[:: max(1, int(support.data.sum()) // 2000)].double()
    points = index @ support.world_from_voxel[:3, :3].T + support.world_from_voxel[:3, 3]
    apart = pose.transform_points(one, points) - pose.transform_points(other, points)
    return apart.norm(dim=-1).mean(dim=-1)


def _cut(ultrasound: Volume, geometry: SweepGeometry, sampling: SweepSampling) -> VirtualSweep:
    return VirtualSweep.cut(
        ultrasound, geometry.probe, geometry.world_from_probe, geometry.sweep_direction, sampling
    )


def _affine(
    level: RenderedSweep, start: Float64[Tensor, "4 4"], n_steps: int, progress: Progress | None
) -> tuple[Float64[Tensor, "4 4"], float]:
    """`descend_affine` as a step that is kept."""

    def work() -> dict[str, Tensor]:
        transform, score = descend_affine(level, start, level.sweep.centre_mm, n_steps)
        return {"transform": transform, "score": torch.tensor(score, dtype=torch.float64)}

    if progress is not None:
        progress("affine", 0, 1)
    found = step("affine", work)
    return found["transform"], float(found["score"])


def _verdict(
    candidates: Float64[Tensor, "C 4 4"], scores: Float64[Tensor, " C"], sweep: VirtualSweep
) -> tuple[str, str]:
    """The verdict and why, in words."""
    best = float(scores[0])
    if best <= -1:
        return "out_of_view", "nothing within reach leaves half of the ultrasound in the medium"
    if best <= 0:
        return "ambiguous", f"no motion within reach explains the ultrasound: score {best:.3f} at best"
    middles = sweep.world_from_probe[:, :3, 3] + 20 * sweep.world_from_probe[:, :3, 2]
    places = pose.transform_points(candidates, middles)
    apart = (places - places[0]).norm(dim=-1).mean(dim=-1)
    rivals = ((apart > _APART_MM) & (scores > _NEARLY * best)).nonzero()[:, 0]
    if len(rivals):
        other = int(rivals[0])
        return "ambiguous", (
            f"a motion {float(apart[other]):.1f} mm away scores nearly as well: {float(scores[other]):.3f} "
            f"against {best:.3f}"
        )
    return "converged", f"score {best:.3f}, nothing more than {_APART_MM:g} mm away comes near"
