"""What is registered: fixed frames, where they lie in their sweep, and what to render."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.motion import sector_points
from diffus.registration.objective import Compared, Objective
from diffus.registration.stages import Stage
from diffus.settings import RenderSettings

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

    def objective(self, stage: Stage, which: Int64[Tensor, " n"] | None = None) -> WatchedObjective:
        """What poses are judged by in a stage, by all frames or some."""
        some = slice(None) if which is None else which
        objective = WatchedObjective(
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

    def drawn(self, count: int, generator: torch.Generator) -> Int64[Tensor, " count"] | None:
        """Numbers of so many frames, drawn evenly; None for all."""
        total = len(self.fixed)
        if count >= total:
            return None
        first = float(torch.rand((), generator=generator, dtype=torch.float64)) * total / count
        return (first + torch.arange(count, dtype=torch.float64) * total / count).floor().long()


class WatchedObjective(Objective):
    """An objective that says each time that it was asked."""

    watcher: Callable[[], None] | None = None
    seen: Seen | None = None

    def __call__(self, world_from_sweep: Float64[Tensor, "B 4 4"]) -> Compared:
        """See `Objective`."""
        compared = super().__call__(world_from_sweep)
        if self.watcher is not None:
            self.watcher()
        if self.seen is not None:
            self.seen(world_from_sweep, compared)
        return compared
