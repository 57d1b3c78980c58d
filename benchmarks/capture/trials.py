"""Trials of the capture-range study: frames made as real ones are, offsets, and registrations."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

import diffus
from diffus import Medium, RenderSettings, pose
from diffus.registration import SearchOptions, register, register_sweep
from diffus.registration.motion import displacement_mm, moved, pivot_of, sector_points, tangent_between

from .scenes import Scene

UNSEEN_SEED = 20_250
MOST = 400
"""Poses drawn beforehand, so that the first ones are the same however many are used."""
SHADOWED = 0.1
SHADOW_DB = 40.0
GAIN_DB, SLOPE_DB, BEND_DB = 6.0, 6.0, 3.0
"""Unknown gain, and TGC that rises by as much from the middle to either end, standard deviations."""
SWEPT_MM = 3.0
"""Between the frames of a sweep."""


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Args:
        name: in the table.
        source: medium of the frame: ``same``, ``other`` or ``contrast``.
        reach: offsets go up to as many mm and degrees.
        options: of the search.
        degraded: whether gain and TGC are unknown and a shadow falls.
        frames: in the sweep.
        target: least share that the project asks for.
    """

    name: str
    source: str
    reach: float
    options: SearchOptions
    degraded: bool = False
    frames: int = 1
    target: float | None = None


@dataclass(frozen=True)
class Trial:
    """One registration.

    Args:
        offset_mm: mean displacement of the sector's points at the start.
        error_mm: and at the end.
        verdict: of the result.
        squared_error: of the tangent in units of its covariance; chi-square with six degrees of freedom.
        seconds: it took.
        cells: scanlines times samples that were rendered.
        score: correlation at the end.
        attainable: and what it would be if only speckle told the images apart.
    """

    offset_mm: float
    error_mm: float
    verdict: str
    squared_error: float
    seconds: float
    cells: int
    score: float
    attainable: float


def run_case(scene: Scene, case: Case, count: int, seed: int, kept: Path) -> list[Trial]:
    """Register as many frames, each from an offset of its own.

    Args:
        scene: the anatomy.
        case: row of the table.
        count: of frames.
        seed: of poses and offsets; trials do not depend on how many there are.
        kept: file of the trials made before, a line each, which new ones are added to.
    """
    poses = scene.views(max(count, MOST), torch.Generator().manual_seed(seed))
    trials = kept_trials(kept)[:count] if kept.is_file() else []
    for number in range(len(trials), count):
        generator = torch.Generator().manual_seed(1_000 * (seed + 1) + number)
        trials.append(_trial(scene, case, poses[number], number, generator))
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trials[-1])) + "\n")
    return trials


def kept_trials(file: Path) -> list[Trial]:
    """Trials that were made before."""
    return [Trial(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def _trial(scene: Scene, case: Case, at: Tensor, number: int, generator: torch.Generator) -> Trial:
    source = {"same": scene.medium, "other": scene.other, "contrast": scene.contrast}[case.source]
    assert source is not None
    places = sweep_of(case.frames)
    shown = torch.cat([frame_of(scene, source, at @ place, case.degraded, generator) for place in places])
    points = torch.cat([pose.transform_points(place, sector_points(scene.probe)) for place in places])
    pivot = pivot_of(points)
    start = moved(at, offset(case.reach, generator), pivot)
    options = replace(case.options, seed=number)
    began = time.perf_counter()
    if case.frames == 1:
        result = register(shown, scene.medium, scene.probe, start, options=options)
    else:
        result = register_sweep(shown, scene.medium, places, scene.probe, start, options=options)
    seconds = time.perf_counter() - began
    error = tangent_between(result.world_from_sweep, at, pivot)
    return Trial(
        float(displacement_mm(start, at, points)),
        result.displacement_mm(at),
        result.verdict,
        float(error @ torch.linalg.solve(result.covariance, error)),
        seconds,
        result.cells,
        result.score,
        result.attainable,
    )


def frame_of(scene: Scene, source: Medium, at: Tensor, degraded: bool, generator: torch.Generator) -> Tensor:
    """A frame with speckle of a seed that no registration knows; degraded as real ones are."""
    settings = RenderSettings(speckle="sampled", seed=UNSEEN_SEED)
    with torch.no_grad():
        shown = diffus.render(source, scene.probe, at, settings).scanlines
    return degrade(shown, generator, float(settings.dynamic_range_db)) if degraded else shown


def degrade(shown: Tensor, generator: torch.Generator, dynamic_range_db: float) -> Tensor:
    """Another gain and TGC, and a shadow over a tenth of the scanlines from somewhere near the face on."""
    lines, samples = shown.shape[1:]
    depth = torch.linspace(-1, 1, samples)
    sizes = torch.tensor([GAIN_DB, SLOPE_DB, BEND_DB])
    gain, slope, bend = (torch.randn(3, generator=generator) * sizes).tolist()
    decibel = (gain + slope * depth + bend * (2 * depth**2 - 1)).expand(lines, samples).clone()
    width = round(SHADOWED * lines)
    first = int(torch.randint(0, lines - width + 1, (), generator=generator))
    top = int(0.1 * samples * float(torch.rand((), generator=generator)))
    decibel[first : first + width, top:] -= SHADOW_DB
    return (shown + decibel / dynamic_range_db).clamp(0, 1)


def offset(reach: float, generator: torch.Generator) -> Tensor:
    """A tangent in a random direction; turn and shift are each as long as chance has it, up to the reach."""
    direction = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    length = reach * torch.rand(2, 1, generator=generator, dtype=torch.float64)
    return (direction / direction.norm(dim=1, keepdim=True) * length).flatten()


def sweep_of(frames: int) -> Tensor:
    """Poses of a sweep across the image plane, the middle one at the identity."""
    poses = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    poses[:, 1, 3] = (torch.arange(frames) - (frames - 1) / 2) * SWEPT_MM
    return poses
