"""The way from an initial pose to the best one: a survey around it, then descents, coarse to fine, pruned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.motion import pivot_of
from diffus.registration.objective import Objective
from diffus.registration.options import SearchOptions
from diffus.registration.priors import Prior
from diffus.registration.starts import best_apart, starts_around
from diffus.registration.steps import Progress, Steps
from diffus.registration.target import Target
from diffus.registration.tracks import SAME_MM, Track, costs, look_around, walk
from diffus.registration.trust import trust_at

APART_MM = 2.0
"""Two starts of the survey that show the same points nearer together than this count as one."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Args:
        pose: the best, ``world_from_sweep``.
        starts: where the descents began.
        ends: where each was when it ended or was given up.
        scores: correlation of each there.
        rivals: poses of the last two stages that end elsewhere, with how much their cost exceeds the least
            one of that stage (`objective.cost_of`).
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
    """Survey, descend, look around the best end, prune, and descend again more finely.

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
    steps = Steps(pivot_of(points), priors, progress)
    alive = [Track.at(start) for start in _survey(target, initial, options, points, generator, steps)]
    tracks = list(alive)
    rivals: list[tuple[Tensor, float]] = []
    objective = frames = None
    for number, stage in enumerate(options.stages):
        last = number == len(options.stages) - 1
        frames = target.drawn(options.frames_at_once * (4 if last else 1), generator)
        objective = target.objective(stage, frames)
        walk(steps, f"stage {number + 1} of {len(options.stages)}", objective, alive)
        new: list[Track] = []
        if number == 0 and options.n_survey > 1 and options.n_around > 0:
            new = look_around(steps, objective, alive, options.n_around, points, options.seed)
            tracks, alive = tracks + new, alive + new
        cost, poses = costs(alive), torch.stack([track.pose for track in alive])
        if number >= len(options.stages) - 2:
            apart = best_apart(poses, cost, len(alive), APART_MM, points).tolist()
            rivals += [(poses[other], float(cost[other] - cost[apart[0]])) for other in apart[1:]]
        kept = best_apart(poses, cost, 1 if last else stage.n_kept + len(new), SAME_MM, points)
        alive = [alive[which] for which in kept.tolist()]
    assert objective is not None
    walk(steps, "last steps", objective, alive, central=True)
    if options.whole_tissue is not None:
        whole = target.objective(options.whole_tissue, frames)
        if trust_at(target, alive[0].pose, whole).trusted:
            objective = whole
            walk(steps, "whole tissue", whole, alive, central=True)
    return _found(tracks, alive[0], rivals, objective, steps)


def _found(
    tracks: Sequence[Track],
    best: Track,
    rivals: list[tuple[Float64[Tensor, "4 4"], float]],
    objective: Objective,
    steps: Steps,
) -> Found:
    return Found(
        best.pose,
        torch.stack([track.start for track in tracks]),
        torch.stack([track.pose for track in tracks]),
        torch.tensor([track.score for track in tracks], dtype=torch.float64),
        rivals,
        torch.stack([pose for pose, _ in best.trail]),
        torch.tensor([score for _, score in best.trail], dtype=torch.float64),
        objective,
        (steps.frames, steps.cells),
    )


def _survey(
    target: Target,
    initial: Float64[Tensor, "4 4"],
    options: SearchOptions,
    points: Float64[Tensor, "P 3"],
    generator: torch.Generator,
    steps: Steps,
) -> Float64[Tensor, "K 4 4"]:
    """The most promising poses around the initial one, which is always among them."""
    candidates = starts_around(
        initial, options.n_survey, options.reach_mm, options.reach_deg, steps.pivot, options.seed
    )
    if len(candidates) == 1:
        return candidates
    objective = target.objective(options.survey, target.drawn(options.frames_at_once, generator))
    cost = steps.look("survey", objective, candidates)
    best = best_apart(candidates, cost, options.n_starts, APART_MM, points)
    if options.n_starts > 1 and 0 not in best.tolist():
        best[-1 if len(best) == options.n_starts else len(best) - 1] = 0
    return candidates[best]
