"""What is wrong with a dataset: every case looked at, none fatal for the others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from diffus.datasets import paired, remind2reg, resect
from diffus.datasets.appearance import Appearance, appearance_of
from diffus.datasets.case_files import CaseFiles
from diffus.datasets.landmarks import read_landmark_pairs, read_points
from diffus.io.matrix import read_rigid
from diffus.io.volumes import read_raw
from diffus.volume import Volume

LEAST_OVERLAP = 0.3
"""Share of the ultrasound's support that must show something in the MRI."""
_SAMPLES = 200_000

Kind = Literal["ReMIND2Reg", "RESECT", "paired"]
Told = Callable[[str, int, int], None]
"""Told the case, how many are done, and how many there are."""


@dataclass(frozen=True)
class CaseReport:
    """What was found in one case.

    Args:
        case: its name.
        split: part of the dataset.
        has: what the case has by its lists: us, and the contrasts.
        problems: what makes it unusable, each with what was expected.
        warnings: what looks wrong.
        missing: files that are not there.
    """

    case: str
    split: str
    has: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    missing: tuple[Path, ...]

    @property
    def is_fine(self) -> bool:
        """Whether nothing was found."""
        return not (self.problems or self.warnings or self.missing)


@dataclass(frozen=True)
class DatasetReport:
    """What was found in a dataset.

    Args:
        root: where it is.
        kind: whose layout it has.
        cases: in their order.
        source: where missing files are to be had.
    """

    root: Path
    kind: Kind
    cases: tuple[CaseReport, ...]
    source: str

    @property
    def is_fine(self) -> bool:
        """Whether nothing was found in any case."""
        return all(case.is_fine for case in self.cases)

    @property
    def missing(self) -> list[Path]:
        """Files that are not there, of all cases."""
        return [path for case in self.cases for path in case.missing]


def check_dataset(root: str | os.PathLike[str], told: Told | None = None) -> DatasetReport:
    """Read every file of a dataset and say what is wrong: absent, broken, empty, misplaced or swapped.

    Args:
        root: folder of ReMIND2Reg or RESECT, or the CSV of `diffus.datasets.paired`.
        told: progress.

    Raises:
        FileNotFoundError: when there is no dataset.
        ValueError: when its list of cases cannot be read.
    """
    kind, cases, source = _found(Path(root))
    reports = []
    for number, case in enumerate(cases):
        if told is not None:
            told(case.case, number, len(cases))
        reports.append(check_case(case))
    return DatasetReport(Path(root), kind, tuple(reports), source)


def check_case(case: CaseFiles) -> CaseReport:
    """Read every file of a case that is there; never raises for what is in them."""
    problems: list[str] = []
    warnings: list[str] = []
    named = {} if case.ultrasound is None else {"us": case.ultrasound}
    named |= case.contrasts
    if case.ultrasound is None:
        problems.append("has no ultrasound")
    if not case.contrasts:
        problems.append("has no MRI")
    looks: dict[str, Appearance] = {}
    volumes: dict[str, Volume] = {}
    for name, path in named.items():
        if not path.exists():
            continue
        volume = _read(name, path, problems)
        if volume is None:
            continue
        volumes[name] = volume
        looks[name] = appearance_of(volume)
        problems += [f"{name}: {fault}" for fault in _faults(case, volume)]
    problems += _misplaced(case, volumes)
    warnings += _swapped(looks)
    problems += _unreadable_extras(case, volumes)
    has = tuple(named)
    return CaseReport(case.case, case.split, has, tuple(problems), tuple(warnings), tuple(case.missing))


def _found(root: Path) -> tuple[Kind, list[CaseFiles], str]:
    """Whose layout a folder or file has, and its cases."""
    if root.suffix.lower() == ".csv":
        return "paired", paired.list_cases(root), f"mend the paths in {root.name}"
    try:
        return "ReMIND2Reg", remind2reg.list_cases(root), remind2reg.SOURCE
    except FileNotFoundError:
        cases = resect.list_cases(root) if root.is_dir() else []
        if not cases:
            raise
        return "RESECT", cases, resect.SOURCE


def _read(name: str, path: Path, problems: list[str]) -> Volume | None:
    """A volume that can be looked at; NaN is noted and read as 0."""
    try:
        raw = read_raw(path)
        bad = int(np.size(raw.voxels) - np.isfinite(raw.voxels).sum())
        if bad:
            problems.append(f"{name}: {bad} NaN or infinite voxels of {np.size(raw.voxels)}")
        voxels = torch.from_numpy(raw.voxels).nan_to_num_(0, 0, 0)
        return Volume(voxels, torch.from_numpy(raw.world_from_voxel))
    except (ValueError, OSError) as error:
        problems.append(f"{name}: {error}")
        return None


def _faults(case: CaseFiles, volume: Volume) -> Iterator[str]:
    if case.grid is not None:
        yield from case.grid.faults(volume.shape, volume.world_from_voxel)
    low, high = (float(value) for value in volume.data.aminmax())
    if low == high:
        yield f"every voxel is {low:g}"


def _misplaced(case: CaseFiles, volumes: dict[str, Volume]) -> Iterator[str]:
    """Grids that should agree and do not, and volumes that do not overlap."""
    ultrasound = volumes.get("us")
    contrasts = {name: volume for name, volume in volumes.items() if name != "us"}
    reference = ultrasound if case.grid is not None else next(iter(contrasts.values()), None)
    may_differ = case.regrid and case.grid is None
    for name, volume in contrasts.items():
        if reference is not None and not may_differ and not volume.same_grid(reference):
            other = "us" if reference is ultrasound else next(iter(contrasts))
            yield f"{name} does not lie on the grid of {other}: {_apart(volume, reference)}"
        if ultrasound is not None:
            share = _overlap(case, ultrasound, volume)
            if share is not None and share < LEAST_OVERLAP:
                yield f"{name} shows something in {share:.0%} of what the ultrasound covers"


def _apart(one: Volume, other: Volume) -> str:
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape}"
    corner = torch.tensor([*(n - 1 for n in one.shape), 1], dtype=torch.float64)
    difference = (one.world_from_voxel - other.world_from_voxel) @ corner
    first = (one.world_from_voxel - other.world_from_voxel)[:3, 3]
    return f"affines place voxels up to {float(max(difference[:3].norm(), first.norm())):.3g} mm apart"


def _overlap(case: CaseFiles, ultrasound: Volume, mri: Volume) -> float | None:
    """Share of the ultrasound's support where the MRI is not empty; None where it cannot be told."""
    transform = torch.eye(4, dtype=torch.float64)
    if case.transform is not None:
        try:
            transform = read_rigid(case.transform)
        except (ValueError, OSError):
            return None
    voxels = (ultrasound.data > ultrasound.data.min()).nonzero()
    if not len(voxels):
        return None
    voxels = voxels[:: max(1, len(voxels) // _SAMPLES)].double()
    matrix = transform @ ultrasound.world_from_voxel
    points = (voxels @ matrix[:3, :3].T + matrix[:3, 3]).float()
    shown = Volume(mri.data > mri.data.min(), mri.world_from_voxel).sample(points) > 0.5
    return float(shown.float().mean())


def _swapped(looks: dict[str, Appearance]) -> Iterator[str]:
    """Files that look as if they had been given for one another."""
    for name, look in looks.items():
        if name == "us" and look.votes <= 1:
            yield f"us looks like MRI ({_numbers(look)}): are the modalities swapped?"
        # Coarse or noisy MRI is rough too, but not rougher than the ultrasound of the same patient.
        rough = look.roughness >= looks.get("us", look).roughness
        if name != "us" and look.votes == 3 and rough:
            yield f"{name} looks like ultrasound ({_numbers(look)}): are the modalities swapped?"


def _numbers(look: Appearance) -> str:
    return f"{look.empty_share:.0%} empty, roughness {look.roughness:.2f}, step at the border {look.step:.2f}"


def _unreadable_extras(case: CaseFiles, volumes: dict[str, Volume]) -> Iterator[str]:
    """What is wrong with transform, mask and landmarks that are there."""
    readers: list[tuple[str, Path | None, Callable[[Path], object]]] = [
        ("transform", case.transform, read_rigid),
        ("landmarks", case.landmark_pairs, read_landmark_pairs),
        *(("landmarks", path, read_points) for path in case.landmark_voxels or ()),
    ]
    for name, path, read in readers:
        if path is None or not path.exists():
            continue
        try:
            read(path)
        except (ValueError, OSError) as error:
            yield f"{name}: {error}"
    if case.mask is not None and case.mask.exists():
        noted: list[str] = []
        mask = _read("mask", case.mask, noted)
        yield from noted
        mri = next((volume for name, volume in volumes.items() if name != "us"), None)
        if mask is not None and mri is not None and not mask.same_grid(mri):
            yield f"mask does not lie on the grid of the MRI: {_apart(mask, mri)}"
