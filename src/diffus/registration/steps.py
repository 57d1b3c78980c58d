"""The steps of a search: each is kept as it ends, told of, and its cost counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from diffus.registration.checkpoint import step
from diffus.registration.descent import MOST_TRIES, Descent, descend
from diffus.registration.priors import Prior
from diffus.registration.target import WatchedObjective

_AT_ONCE = 64
"""Frames rendered together, which bounds the memory."""

Progress = Callable[[str, int, int], None]
"""Called with the name of what is done, how much of it is, and how much there may be at most."""


@dataclass(eq=False)
class Steps:
    """The steps of one search.

    Args:
        pivot: what poses turn about, see `motion.moved`.
        priors: what is known beforehand.
        progress: told of each step.
        frames: rendered so far.
        cells: of them.
    """

    pivot: Float64[Tensor, "4 4"]
    priors: Sequence[Prior] = ()
    progress: Progress | None = None
    frames: int = 0
    cells: int = 0

    def look(
        self, name: str, objective: WatchedObjective, poses: Float64[Tensor, "n 4 4"]
    ) -> Float64[Tensor, " n"]:
        """Cost (`objective.cost_of`) of many poses."""

        def work() -> dict[str, Tensor]:
            before = objective.rendered
            costs: list[Tensor] = []
            for part in poses.split(max(1, _AT_ONCE // len(objective.sweep_from_probe))):
                self._tell(name, sum(map(len, costs)), len(poses))
                costs.append(objective(part).cost)
            return {"cost": torch.cat(costs), "rendered": torch.tensor(objective.rendered - before)}

        found = step(name.replace(" ", "-"), work)
        self._count(found["rendered"], objective)
        return found["cost"]

    def descend(
        self,
        name: str,
        objective: WatchedObjective,
        poses: Float64[Tensor, "B 4 4"],
        central: bool = False,
    ) -> Descent:
        """See `descent.descend`."""
        # Asked at the start, and in each iteration for the differences and for each step that is tried.
        most = 1 + objective.stage.n_iterations * (MOST_TRIES + (2 if central else 1))
        asked = 0

        def watcher() -> None:
            nonlocal asked
            asked += 1
            self._tell(name, asked, most)

        def work() -> dict[str, Tensor]:
            before = objective.rendered
            objective.watcher = watcher
            path = descend(objective, poses, self.pivot, self.priors, central)
            objective.watcher = None
            return {
                "poses": path.poses,
                "energy": path.energy,
                "seen": path.seen,
                "trail": torch.stack([after for after, _ in path.trail]),
                "trail_energy": torch.stack([energy for _, energy in path.trail]),
                "rendered": torch.tensor(objective.rendered - before),
            }

        self._tell(name, 0, most)
        found = step(name.replace(" ", "-"), work)
        self._count(found["rendered"], objective)
        trail = list(zip(found["trail"], found["trail_energy"], strict=True))
        return Descent(found["poses"], found["energy"], found["seen"], trail)

    def _tell(self, name: str, done: int, most: int) -> None:
        if self.progress is not None:
            self.progress(name, done, most)

    def _count(self, rendered: Int64[Tensor, ""], objective: WatchedObjective) -> None:
        self.frames += int(rendered)
        self.cells += int(rendered) * objective.probe.n_scanlines * objective.probe.n_samples
