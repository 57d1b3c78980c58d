"""Whether the medium explains a frame: the residual against what speckle alone would leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64

from diffus.registration.objective import Objective
from diffus.registration.verdict import tissue_share
from diffus.render import render

if TYPE_CHECKING:
    from torch import Tensor

    from diffus.registration.target import Target

TRUSTED = 1.25
"""Excess up to which the medium counts as right. Frames of the very medium have 0.9 to 1.1, of one with
another source's values 2 and more."""
_SAMPLED = 4
"""Frames of a sweep that tell how far speckle lets images correlate."""
_LEAST_NOISE = 1e-3


@dataclass(frozen=True)
class Trust:
    """How well a medium explains what is seen at a pose.

    Args:
        score: correlation of the images.
        attainable: what it would be if the medium were right and only speckle told the images apart.
    """

    score: float
    attainable: float

    @property
    def excess(self) -> float:
        """How many times the variance that speckle alone leaves unexplained is left, one or more."""
        return max(1.0, (1 - self.score**2) / max(1 - self.attainable**2, _LEAST_NOISE))

    @property
    def trusted(self) -> bool:
        """Whether the medium counts as right."""
        return self.excess <= TRUSTED


def trust_at(target: Target, best: Float64[Tensor, "4 4"], objective: Objective) -> Trust:
    """Compare with frames of the very medium, rendered at the pose with sampled speckle, a few of a sweep's.

    Args:
        target: what is registered.
        best: ``world_from_sweep``.
        objective: how both are looked at.
    """
    score = 1 - float(objective(best[None]).energy) / 2
    some = _seeing(
        target, best, torch.linspace(0, len(target.fixed) - 1, min(len(target.fixed), _SAMPLED)).tolist()
    )
    if not some:
        return Trust(score, 1.0)
    places, weights = target.sweep_from_probe[some], target.weights[some]
    settings = target.settings.with_options(speckle="sampled")
    with torch.no_grad():
        sampled = render(target.medium, target.probe, best @ places, settings).scanlines
    ideal = replace(target, fixed=sampled * (weights > 0), weights=weights, sweep_from_probe=places)
    return Trust(score, 1 - float(ideal.objective(objective.stage)(best[None]).energy) / 2)


def _seeing(target: Target, best: Float64[Tensor, "4 4"], numbers: Sequence[float]) -> list[int]:
    """Those of some frames that see tissue."""
    rounded = [round(number) for number in numbers]
    poses = best @ target.sweep_from_probe
    return [n for n in rounded if tissue_share(target.medium, target.probe, poses[n : n + 1]) > 0]
