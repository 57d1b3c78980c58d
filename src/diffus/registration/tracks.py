"""Descents that go on from stage to stage, and new ones that begin near where the best of them ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.objective import cost_of
from diffus.registration.starts import best_apart, starts_around
from diffus.registration.steps import Steps
from diffus.registration.target import WatchedObjective

SAME_MM = 0.5
"""Two descents that end nearer together than this have met."""
AROUND_MM = 2.0
"""How far poses are looked at around the best end: shifts, and turns that move the sector as far in the mean
square."""
N_AROUND_STARTS = 8
"""Of them, those that a descent begins at."""
N_AROUND_KEPT = 4
"""Of where these end, those that go on."""
MOST_ROUNDS = 3
WORTH_ANOTHER = 0.05
"""By what share of its cost the best end must have become better to look around it once more."""


@dataclass(eq=False)
class Track:
    """One descent on its way.

    Args:
        start: where it began.
        pose: where it is.
        energy: there, in the last stage it took part in.
        seen: share of the sectors in the volume.
        trail: poses on the way, each with the correlation there; NaN before the first stage.
    """

    start: Float64[Tensor, "4 4"]
    pose: Float64[Tensor, "4 4"]
    energy: float = 4.0
    seen: float = 1.0
    trail: list[tuple[Float64[Tensor, "4 4"], float]] = field(default_factory=list)

    @classmethod
    def at(cls, start: Float64[Tensor, "4 4"]) -> Track:
        """A descent that has not left yet."""
        return cls(start, start, trail=[(start, math.nan)])

    def from_near(self, pose: Float64[Tensor, "4 4"]) -> Track:
        """Another that goes on from near here."""
        return Track(self.start, pose, trail=list(self.trail))

    @property
    def score(self) -> float:
        """Correlation where it is."""
        return 1 - self.energy / 2

    @property
    def cost(self) -> float:
        """See `objective.cost_of`."""
        return float(costs([self])[0])


def costs(tracks: Sequence[Track]) -> Float64[Tensor, " B"]:
    """What descents are ranked by; the less the better."""
    energy, seen = torch.tensor([[track.energy, track.seen] for track in tracks], dtype=torch.float64).T
    return cost_of(energy, seen)


def walk(
    steps: Steps, name: str, objective: WatchedObjective, tracks: Sequence[Track], central: bool = False
) -> None:
    """Take descents to the minima near them, all at once."""
    path = steps.descend(name, objective, torch.stack([track.pose for track in tracks]), central)
    for number, track in enumerate(tracks):
        track.pose = path.poses[number]
        track.energy, track.seen = float(path.energy[number]), float(path.seen[number])
        for poses, energy in path.trail:
            at = poses[number], 1 - float(energy[number]) / 2
            if at[1] != track.trail[-1][1] or not torch.equal(at[0], track.trail[-1][0]):
                track.trail.append(at)


def look_around(
    steps: Steps,
    objective: WatchedObjective,
    tracks: Sequence[Track],
    count: int,
    points: Float64[Tensor, "P 3"],
    seed: int,
) -> list[Track]:
    """Descents from the most promising poses near the best end, and near theirs while that helps.

    A first descent often stops 2 mm short of the true pose, where a shift makes up for a turn.

    Args:
        steps: of the search.
        objective: of the stage.
        tracks: descents that have ended; they are left as they are.
        count: poses that are looked at in a round.
        points: of what is seen, in the frame that poses place.
        seed: of the poses.
    """
    lever = (points - steps.pivot[:3, 3]).square().sum(dim=1).mean().sqrt().clamp_min(AROUND_MM)
    reach_deg = math.degrees(AROUND_MM / float(lever))
    found: list[Track] = []
    for number in range(MOST_ROUNDS):
        best = min([*tracks, *found], key=lambda track: track.cost)
        near = starts_around(best.pose, count + 1, AROUND_MM, reach_deg, steps.pivot, seed + number)[1:]
        there = steps.look(f"look around {number + 1}", objective, near)
        chosen = best_apart(near, there, N_AROUND_STARTS, SAME_MM, points)
        new = [best.from_near(pose) for pose in near[chosen]]
        walk(steps, f"around the best {number + 1}", objective, new)
        found += new
        if min(track.cost for track in new) > best.cost - WORTH_ANOTHER * abs(best.cost):
            break
    poses = torch.stack([track.pose for track in found])
    return [found[which] for which in best_apart(poses, costs(found), N_AROUND_KEPT, SAME_MM, points)]
