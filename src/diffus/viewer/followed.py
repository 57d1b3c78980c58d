"""A registration of one frame that tells of each better pose as it finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
from diffus.registration.search import search
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
    target, starts = checked_target(frame, medium, probe, initial, mask, settings)
    best = _Best()
    watched = replace(target, seen=best.see)

    def progress(what: str, done: int, most: int) -> None:
        best.enter(what)
        told(Told(what, done, most, best.pose, best.score))

    found = search(watched, starts[0], options, (), progress)
    return result_of(found, watched, starts[0], found.pose[None], options)


class _Best:
    """The best pose of a stage so far."""

    def __init__(self) -> None:
        self.pose: Tensor | None = None
        self.score: float | None = None
        self._stage = ""

    def enter(self, stage: str) -> None:
        """Another stage: its energies are not those of the one before."""
        if stage != self._stage:
            self._stage, self.score = stage, None

    def see(self, poses: Float64[Tensor, "B 4 4"], compared: Compared) -> None:
        which = int(compared.energy.argmin())
        score = 1 - float(compared.energy[which]) / 2
        if self.score is None or score > self.score:
            self.pose, self.score = poses[which], score
