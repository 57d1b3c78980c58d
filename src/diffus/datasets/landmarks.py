"""Landmarks that lie in the MRI and in the ultrasound of one patient, and the files that hold them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_shape
from diffus.files import write_text

_TAG_TITLE = "MNI Tag Point File"
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The same places of the anatomy in both images, row by row.

    Args:
        mri_mm: places in the world of the MRI, (L, 3), RAS+ mm.
        ultrasound_mm: places in the world of the ultrasound, (L, 3), RAS+ mm.

    Raises:
        ValueError: when they are not two equal numbers of finite points.
    """

    mri_mm: Float64[Tensor, "L 3"]
    ultrasound_mm: Float64[Tensor, "L 3"]

    def __post_init__(self) -> None:
        for name in ("mri_mm", "ultrasound_mm"):
            points = torch.as_tensor(getattr(self, name), dtype=torch.float64)
            fits = points.ndim == 2 and points.shape[1:] == (3,)
            require_shape(f"Landmarks {name}", points.shape, "(L, 3)", fits)
            if not bool(torch.isfinite(points).all()):
                raise ValueError(f"Landmarks {name} holds NaN or infinite coordinates")
            object.__setattr__(self, name, points)
        if len(self.mri_mm) != len(self.ultrasound_mm) or not len(self):
            raise ValueError(
                f"Landmarks: expected as many places in the MRI as in the ultrasound, at least one, got "
                f"{len(self.mri_mm)} and {len(self.ultrasound_mm)}"
            )

    def __len__(self) -> int:
        return len(self.mri_mm)

    def errors_mm(self, mri_from_ultrasound: Float[Tensor, "4 4"] | Any = None) -> Float64[Tensor, " L"]:
        """Distance of each landmark of the MRI from its ultrasound counterpart, moved by a transform.

        This is the target registration error (Fitzpatrick and West, IEEE TMI 20, 2001). Differentiable.

        Args:
            mri_from_ultrasound: (4, 4), or None for images that lie as they are.
        """
        moved = self.ultrasound_mm
        if mri_from_ultrasound is not None:
            moved = pose.transform_points(mri_from_ultrasound, moved)
        return (moved - self.mri_mm).norm(dim=-1)

    def tre_mm(self, mri_from_ultrasound: Float[Tensor, "4 4"] | Any = None) -> float:
        """Mean of `errors_mm`."""
        return float(self.errors_mm(mri_from_ultrasound).mean())


def read_tags(path: str | os.PathLike[str]) -> Landmarks:
    """Read an MNI tag file of two volumes: in each row x, y, z in the MRI, then in the ultrasound, in mm.

    The coordinates are RAS+ world coordinates, as those of NIfTI: taken so, all 45 landmarks of RESECT's
    cases 1, 4 and 6 lie inside the ultrasound, and with any axis turned round some or all do not.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no tag file, or does not hold two volumes.
    """
    source = _existing(path)
    text = source.read_text(encoding="utf-8", errors="replace")
    head, found, body = text.partition("Points")
    volumes = re.search(r"Volumes\s*=\s*(\d+)", head)
    if not text.lstrip().startswith(_TAG_TITLE) or not found or volumes is None:
        raise ValueError(
            f"{source} is no MNI tag file: expected a first line {_TAG_TITLE!r}, then Volumes and Points"
        )
    if volumes[1] != "2":
        raise ValueError(f"{source} holds landmarks of {volumes[1]} volumes, expected 2: MRI and ultrasound")
    rows = [
        [float(number) for number in _NUMBER.findall(line.split('"', maxsplit=1)[0])]
        for line in body.partition("=")[2].splitlines()
        if line.strip(" ;\t")
    ]
    return _pairs([row[:6] for row in rows], source)


def read_landmark_pairs(path: str | os.PathLike[str]) -> Landmarks:
    """Read landmarks of both images: a tag file, or a CSV of six numbers a row.

    The six are x, y, z in the MRI, then x, y, z in the ultrasound, RAS+ mm. A CSV may begin with a header.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds something else.
    """
    source = _existing(path)
    if source.suffix.lower() == ".tag":
        return read_tags(source)
    return _pairs(_rows(source), source)


def read_points(path: str | os.PathLike[str]) -> Float64[Tensor, "L 3"]:
    """Read three numbers a row, separated by commas, as Learn2Reg holds landmarks (in voxels, no header).

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a row is not three numbers.
    """
    source = _existing(path)
    rows = _rows(source)
    if not rows or any(len(row) != 3 for row in rows):
        raise ValueError(f"{source}: expected three numbers in every row, separated by commas")
    return torch.tensor(rows, dtype=torch.float64)


def write_points(path: str | os.PathLike[str], points: Float[Tensor, "L 3"]) -> Path:
    """Write what `read_points` reads, atomically, to a millionth of a voxel."""
    rows = (",".join(f"{value:.6f}" for value in row) for row in points.tolist())
    return write_text(path, "\n".join(rows) + "\n")


def _existing(path: str | os.PathLike[str]) -> Path:
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no such landmark file: {source}")
    return source


def _rows(source: Path) -> list[list[float]]:
    lines = [line for line in source.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if lines and re.search(r"[A-DF-Za-df-z]", lines[0]):
        lines = lines[1:]
    try:
        return [[float(cell) for cell in re.split(r"[,;\s]+", line.strip())] for line in lines]
    except ValueError as error:
        raise ValueError(f"{source} is no table of landmarks: {error}") from error


def _pairs(rows: list[list[float]], source: Path) -> Landmarks:
    if not rows or any(len(row) != 6 for row in rows):
        raise ValueError(
            f"{source}: expected six numbers in every row (x, y, z in the MRI, then in the ultrasound), got "
            f"rows of {sorted({len(row) for row in rows})}"
        )
    table = torch.tensor(rows, dtype=torch.float64)
    return Landmarks(table[:, :3], table[:, 3:])
