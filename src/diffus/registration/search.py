"""The way from an initial pose to the best one: a survey around it, then descents, coarse to fine, pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.checkpoint import step
from diffus.registration.descent import MOST_TRIES, Descent, descend
from diffus.registration.motion import pivot_of, sector_points
from diffus.registration.objective import Compared, Objective
from diffus.registration.options import SearchOptions
from diffus.registration.priors import Prior
from diffus.registration.stages import Stage
from diffus.registration.starts import best_apart, starts_around
from diffus.registration.trust import trust_at
from diffus.settings import RenderSettings

_AT_ONCE = 64
"""Frames rendered together, which bounds the memory."""
APART_MM = 2.0
"""Two starts of the survey that show the same points nearer together than this count as one."""
SAME_MM = 0.5
"""Two descents that end nearer together than this have met."""

Progress = Callable[[str, int, int], None]
"""Called with the name of what is done, how much of it is, and how much there may be at most."""
Seen = Callable[[Float64[Tensor, "B 4 4"], Compared], None]
"""Called with poses and what came of comparing there."""


@dataclass(frozen=True, eq=False)
class Target:
    """What is registered: F fixed frames of one probe, where they lie in the sweep, and what to render.

    Args:
        fixed: display values in [0, 1] on the scanlines.
        weights: what to compare, in [0, 1].
        medium: what is rendered.
        probe: of all frames.
        sweep_from_probe: pose of each frame in the sweep; the identity for one frame.
        settings: how frames are rendered.
        seen: shown each batch of poses that is compared, and what came of it.
    """

    fixed: Float[Tensor, "F S N"]
    weights: Float[Tensor, "F S N"]
    medium: Medium
    probe: Probe
    sweep_from_probe: Float64[Tensor, "F 4 4"]
    settings: RenderSettings
    seen: Seen | None = None

    def points(self) -> Float64[Tensor, "P 3"]:
        """Points spread over all sectors, in the frame of the sweep."""
        in_probe = sector_points(self.probe)
        turned = in_probe @ self.sweep_from_probe[:, :3, :3].mT + self.sweep_from_probe[:, None, :3, 3]
        return turned.flatten(0, 1)

    def objective(self, stage: Stage, which: Tensor | None = None) -> _WatchedObjective:
        """What poses are judged by in a stage, by all frames or some."""
        some = slice(None) if which is None else which
        objective = _WatchedObjective(
            self.fixed[some],
            self.weights[some],
            self.medium,
            self.probe,
            self.sweep_from_probe[some],
            self.settings,
            stage,
        )
        objective.seen = self.seen
        return objective


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Args:
        pose: the best, ``world_from_sweep``.
        starts: where the descents began.
        ends: where each was when it ended or was given up.
        scores: correlation of each there.
        rivals: poses of the last two stages that end elsewhere, with the logarithm of their energy over the
            least one of that stage.
        trajectory: poses on the way of the best one, from its start.
        trajectory_scores: correlation of each, in its own stage.
        objective: of the last stage.
        rendered: frames rendered in all, and their cells.
    """

    pose: Float64[Tensor, "4 4"]
    starts: Float64[Tensor, "K 4 4"]
    ends: Float64[Tensor, "K 4 4"]
    scores: Float64[Tensor, " K"]
    rivals: list[tuple[Float64[Tensor, "4 4"], float]]
    trajectory: Float64[Tensor, "T 4 4"]
    trajectory_scores: Float64[Tensor, " T"]
    objective: Objective
    rendered: tuple[int, int]


def search(
    target: Target,
    initial: Float64[Tensor, "4 4"],
    options: SearchOptions,
    priors: Sequence[Prior] = (),
    progress: Progress | None = None,
) -> Found:
    """Survey, descend, prune, and descend again more finely.

    Inside `checkpoint.kept_in` the survey and each stage are kept as they end.

    Args:
        target: what is registered.
        initial: where to look, ``world_from_sweep``.
        options: how.
        priors: what is known beforehand of ``world_from_sweep``.
        progress: told of each stage.
    """
    generator = torch.Generator().manual_seed(options.seed)
    points = target.points()
    pivot = pivot_of(points)
    costs = _Costs()
    starts = _survey(target, initial, options, pivot, points, generator, costs, progress)
    ends, scores = starts.clone(), torch.full((len(starts),), -1.0, dtype=torch.float64)
    trails = [[(start, float("nan"))] for start in starts]
    alive, poses = torch.arange(len(starts)), starts
    rivals: list[tuple[Tensor, float]] = []
    objective = None
    for number, stage in enumerate(options.stages):
        name = f"stage {number + 1} of {len(options.stages)}"
        last = number == len(options.stages) - 1
        frames = _frames(target, options.frames_at_once * (4 if last else 1), generator)
        objective = target.objective(stage, frames)
        path = _descended(name, objective, poses, pivot, priors, costs, progress)
        ends[alive], scores[alive] = path.poses, 1 - path.energy / 2
        for after, energy in path.trail:
            for place, which in enumerate(alive.tolist()):
                trails[which].append((after[place], 1 - float(energy[place]) / 2))
        kept = best_apart(path.poses, path.energy, 1 if last else stage.n_kept, SAME_MM, points)
        if number >= len(options.stages) - 2:
            apart = best_apart(path.poses, path.energy, len(alive), APART_MM, points)
            behind = torch.log(path.energy / path.energy[apart[0]])
            rivals += [(path.poses[other], float(behind[other])) for other in apart[1:].tolist()]
        alive, poses = alive[kept], path.poses[kept]
        if last:
            path = _descended("last steps", objective, poses, pivot, priors, costs, progress, central=True)
            if options.whole_tissue is not None:
                whole = target.objective(options.whole_tissue, frames)
                if trust_at(target, path.poses[0], whole).trusted:
                    objective, name = whole, "whole tissue"
                    path = _descended(name, whole, path.poses, pivot, priors, costs, progress, central=True)
            poses = path.poses
            trails[int(alive[0])] += [(at[0], 1 - float(energy[0]) / 2) for at, energy in path.trail]
            ends[alive], scores[alive] = poses, 1 - path.energy / 2
    assert objective is not None
    winner = trails[int(alive[0])]
    return Found(
        poses[0],
        starts,
        ends,
        scores,
        rivals,
        torch.stack([pose for pose, _ in winner]),
        torch.tensor([score for _, score in winner], dtype=torch.float64),
        objective,
        (costs.frames, costs.cells),
    )


class _Costs:
    """Frames rendered so far, and their cells."""

    def __init__(self) -> None:
        self.frames = self.cells = 0

    def add(self, rendered: Tensor, probe: Probe) -> None:
        self.frames += int(rendered)
        self.cells += int(rendered) * probe.n_scanlines * probe.n_samples


class _WatchedObjective(Objective):
    """An objective that says each time that it was asked."""

    watcher: Callable[[], None] | None = None
    seen: Seen | None = None

    def __call__(self, world_from_sweep: Float64[Tensor, "B 4 4"]) -> Compared:
        compared = super().__call__(world_from_sweep)
        if self.watcher is not None:
            self.watcher()
        if self.seen is not None:
            self.seen(world_from_sweep, compared)
        return compared


def _descended(
    name: str,
    objective: _WatchedObjective,
    poses: Float64[Tensor, "B 4 4"],
    pivot: Float64[Tensor, "4 4"],
    priors: Sequence[Prior],
    costs: _Costs,
    progress: Progress | None,
    central: bool = False,
) -> Descent:
    """`descend` as a step that is kept."""
    # Asked at the start, and in each iteration for the differences and for each step that is tried.
    most = 1 + objective.stage.n_iterations * (MOST_TRIES + (2 if central else 1))
    asked = 0

    def watcher() -> None:
        nonlocal asked
        asked += 1
        if progress is not None:
            progress(name, asked, most)

    def work() -> dict[str, Tensor]:
        before = objective.rendered
        objective.watcher = watcher
        path = descend(objective, poses, pivot, priors, central)
        objective.watcher = None
        return {
            "poses": path.poses,
            "energy": path.energy,
            "seen": path.seen,
            "trail": torch.stack([after for after, _ in path.trail]),
            "trail_energy": torch.stack([energy for _, energy in path.trail]),
            "rendered": torch.tensor(objective.rendered - before),
        }

    if progress is not None:
        progress(name, 0, most)
    found = step(name.replace(" ", "-"), work)
    costs.add(found["rendered"], objective.probe)
    trail = list(zip(found["trail"], found["trail_energy"], strict=True))
    return Descent(found["poses"], found["energy"], found["seen"], trail)


def _survey(
    target: Target,
    initial: Float64[Tensor, "4 4"],
    options: SearchOptions,
    pivot: Float64[Tensor, "4 4"],
    points: Float64[Tensor, "P 3"],
    generator: torch.Generator,
    costs: _Costs,
    progress: Progress | None,
) -> Float64[Tensor, "K 4 4"]:
    """The most promising poses around the initial one, which is always among them."""
    candidates = starts_around(
        initial, options.n_survey, options.reach_mm, options.reach_deg, pivot, options.seed
    )
    if len(candidates) == 1:
        return candidates
    frames = _frames(target, options.frames_at_once, generator)
    objective = target.objective(options.survey, frames)

    def work() -> dict[str, Tensor]:
        energies: list[Tensor] = []
        for part in candidates.split(max(1, _AT_ONCE // len(objective.sweep_from_probe))):
            if progress is not None:
                progress("survey", sum(map(len, energies)), len(candidates))
            energies.append(objective(part).energy)
        return {"energy": torch.cat(energies), "rendered": torch.tensor(objective.rendered)}

    found = step("survey", work)
    costs.add(found["rendered"], objective.probe)
    best = best_apart(candidates, found["energy"], options.n_starts, APART_MM, points)
    if options.n_starts > 1 and 0 not in best.tolist():
        best[-1 if len(best) == options.n_starts else len(best) - 1] = 0
    return candidates[best]


def _frames(target: Target, count: int, generator: torch.Generator) -> Tensor | None:
    """Numbers of some frames, drawn evenly; None for all."""
    total = len(target.fixed)
    if count >= total:
        return None
    first = float(torch.rand((), generator=generator, dtype=torch.float64)) * total / count
    return (first + torch.arange(count, dtype=torch.float64) * total / count).floor().long()
