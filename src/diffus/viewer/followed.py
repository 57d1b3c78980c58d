"""A registration of one frame that tells of each better pose as it finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from jaxtyping import Bool, Float64
from torch import Tensor

from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.inputs import checked_target
from diffus.registration.objective import Compared
from diffus.registration.options import SearchOptions
from diffus.registration.outcome import result_of
from diffus.registration.result import RegistrationResult
from diffus.registration.search import Target, WatchedObjective, search
from diffus.registration.stages import Stage
from diffus.settings import RenderSettings


class Told(NamedTuple):
    """Where a registration is.

    Args:
        stage: what it does.
        step: how much of it is done.
        of: how much there may be.
        world_from_probe: the best pose of this stage so far; None before the first.
        score: correlation there.
    """

    stage: str
    step: int
    of: int
    world_from_probe: Float64[Tensor, "4 4"] | None
    score: float | None


def register_followed(
    frame: Frame,
    medium: Medium,
    probe: Probe,
    initial: Float64[Tensor, "4 4"],
    *,
    mask: Bool[Tensor, "S N"] | None,
    settings: RenderSettings,
    options: SearchOptions,
    told: Callable[[Told], None],
) -> RegistrationResult:
    """`diffus.register`, with the best pose so far told at each step.

    Args:
        frame: one image.
        medium: what the waves travelled through.
        probe: of the frame.
        initial: pose to look around.
        mask: what to compare.
        settings: how to render.
        options: how far to look.
        told: called at each step; what it raises ends the registration.

    Raises:
        ValueError: as `diffus.register`.
    """
    plain, starts = checked_target(frame, medium, probe, initial, mask, settings)
    best = _Best()
    target = _Followed(**{field.name: getattr(plain, field.name) for field in fields(plain)}, best=best)

    def progress(what: str, done: int, most: int) -> None:
        told(Told(what, done, most, best.pose, best.score))

    found = search(target, starts[0], options, (), progress)
    return result_of(found, plain, starts[0], found.pose[None], options)


class _Best:
    """The best pose that an objective has seen."""

    def __init__(self) -> None:
        self.pose: Tensor | None = None
        self.score: float | None = None

    def begin(self) -> None:
        """Another stage: its energies are not those of the one before."""
        self.score = None

    def see(self, poses: Float64[Tensor, "B 4 4"], energies: Tensor) -> None:
        which = int(energies.argmin())
        score = 1 - float(energies[which]) / 2
        if self.score is None or score > self.score:
            self.pose, self.score = poses[which], score


class _Seen(WatchedObjective):
    """An objective that shows what it was asked to a `_Best`."""

    best: _Best

    def __call__(self, world_from_sweep: Float64[Tensor, "B 4 4"]) -> Compared:
        compared = super().__call__(world_from_sweep)
        self.best.see(world_from_sweep, compared.energy)
        return compared


@dataclass(frozen=True, eq=False)
class _Followed(Target):
    """A target whose objectives show what they are asked."""

    best: _Best

    def objective(self, stage: Stage, which: Tensor | None = None) -> WatchedObjective:
        some = slice(None) if which is None else which
        self.best.begin()
        seen = _Seen(
            self.fixed[some],
            self.weights[some],
            self.medium,
            self.probe,
            self.sweep_from_probe[some],
            self.settings,
            stage,
        )
        seen.best = self.best
        return seen
