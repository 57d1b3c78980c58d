"""Where the files of a paired case lie, and what they must keep to; read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float64
from torch import Tensor

from diffus.affine import spacing_of
from diffus.datasets.landmarks import Landmarks, read_landmark_pairs, read_points
from diffus.datasets.pair import Pair
from diffus.io.matrix import read_rigid
from diffus.volume import Volume

SPACING_TOLERANCE_MM = 1e-3
"""What single precision in a header leaves of a spacing."""


@dataclass(frozen=True)
class Grid:
    """What a dataset promises of every volume.

    Args:
        shape: voxels along i, j and k.
        spacing_mm: distance between voxel centres.
    """

    shape: tuple[int, int, int]
    spacing_mm: float

    def faults(self, shape: Sequence[int], world_from_voxel: Float64[Tensor, "4 4"]) -> list[str]:
        """In what a volume departs from it; empty where it does not."""
        found = []
        if tuple(shape) != self.shape:
            found.append(f"shape {_by(shape)}, expected {_by(self.shape)}")
        spacing = spacing_of(world_from_voxel)
        if max(abs(step - self.spacing_mm) for step in spacing) > SPACING_TOLERANCE_MM:
            found.append(
                f"spacing {_by([f'{step:.3g}' for step in spacing])} mm, expected {self.spacing_mm:g} mm"
            )
        return found


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case; nothing is read until `load`.

    Args:
        case: name of the case.
        ultrasound: the swept volume, or None where the dataset has none for this case.
        contrasts: MRI by the name of its contrast.
        split: part of the dataset that it belongs to.
        mask: of the brain, on the grid of the MRI.
        transform: ``mri_from_ultrasound``, see `diffus.io.matrix.read_rigid`.
        landmark_pairs: one file of landmarks of both images, see `read_landmark_pairs`.
        landmark_voxels: a file of the ultrasound's and one of the MRI's landmarks, in voxels, with no header.
        grid: what the dataset promises of every volume; ultrasound and MRI then lie on the same.
        regrid: whether contrasts that lie on other grids than the first are resampled onto it.
        source: where missing files are to be had, in words.
    """

    case: str
    ultrasound: Path | None
    contrasts: Mapping[str, Path]
    split: str = "training"
    mask: Path | None = None
    transform: Path | None = None
    landmark_pairs: Path | None = None
    landmark_voxels: tuple[Path, Path] | None = None
    grid: Grid | None = None
    regrid: bool = False
    source: str = ""

    @property
    def paths(self) -> list[Path]:
        """Every file of the case."""
        extras = (self.ultrasound, self.mask, self.transform, self.landmark_pairs)
        given = [path for path in extras if path is not None]
        return [*given, *self.contrasts.values(), *(self.landmark_voxels or ())]

    @property
    def missing(self) -> list[Path]:
        """Files of the case that are not there."""
        return [path for path in self.paths if not path.exists()]

    def load(self) -> Pair:
        """Read everything.

        Raises:
            FileNotFoundError: naming the files that are missing and where they are to be had.
            ValueError: for a case without ultrasound or MRI, a file that cannot be read, and volumes that
                break the dataset's promise.
        """
        if self.missing:
            names = ", ".join(str(path) for path in self.missing)
            raise FileNotFoundError(f"case {self.case}: no such file: {names}{self._hint()}")
        if self.ultrasound is None:
            raise ValueError(f"case {self.case} has no ultrasound: leave it out{self._hint()}")
        ultrasound = Volume.load(self.ultrasound)
        contrasts = {name: Volume.load(path) for name, path in self.contrasts.items()}
        self._check_grids({"ultrasound": ultrasound} | contrasts)
        if self.regrid:
            contrasts = _on_first_grid(contrasts)
        return Pair(
            self.case,
            ultrasound,
            contrasts,
            None if self.transform is None else read_rigid(self.transform),
            None if self.mask is None else Volume.load(self.mask),
            self._landmarks(ultrasound, contrasts),
        )

    def _check_grids(self, volumes: Mapping[str, Volume]) -> None:
        if self.grid is None:
            return
        for name, volume in volumes.items():
            faults = self.grid.faults(volume.shape, volume.world_from_voxel)
            if faults:
                raise ValueError(f"case {self.case}, {name}: {'; '.join(faults)}: is the download complete?")
            if not volume.same_grid(volumes["ultrasound"]):
                raise ValueError(
                    f"case {self.case}: {name} does not lie on the grid of the ultrasound, as it should: "
                    f"affine {volume.world_from_voxel.tolist()} and "
                    f"{volumes['ultrasound'].world_from_voxel.tolist()}"
                )

    def _landmarks(self, ultrasound: Volume, contrasts: Mapping[str, Volume]) -> Landmarks | None:
        if self.landmark_pairs is not None:
            return read_landmark_pairs(self.landmark_pairs)
        if self.landmark_voxels is None:
            return None
        in_ultrasound, in_mri = (read_points(path) for path in self.landmark_voxels)
        mri = next(iter(contrasts.values()))
        return Landmarks(_world(mri, in_mri), _world(ultrasound, in_ultrasound))

    def _hint(self) -> str:
        return f"; {self.source}" if self.source else ""


def _on_first_grid(contrasts: Mapping[str, Volume]) -> dict[str, Volume]:
    first = next(iter(contrasts.values()))
    return {
        name: volume if volume.same_grid(first) else volume.resample(first.shape, first.world_from_voxel)
        for name, volume in contrasts.items()
    }


def _world(volume: Volume, voxels: Float64[Tensor, "L 3"]) -> Float64[Tensor, "L 3"]:
    return voxels @ volume.world_from_voxel[:3, :3].T + volume.world_from_voxel[:3, 3]


def _by(values: Sequence[object]) -> str:
    return " x ".join(map(str, values))
