"""Levenberg and Marquardt's descent to the settings whose model differs least from the frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.acquisition.evidence import Evidence
from diffus.registration.acquisition.unknowns import Acquisition, Unknowns
from diffus.scalars import number

_DAMPING = 1e-3
_EASIER, _HARDER = 0.2, 8.0
_REFUSALS = 6
_ARRIVED = 0.02
"""Step, in tolerances, below which a descent has arrived."""
_GAINED = 0.01
"""Sum of squares, in units of their variance, that is not worth another step."""
_NUDGE_DB = 0.25
"""Change of brightness that gives derivatives."""


class Fit(NamedTuple):
    """Where a descent is.

    Args:
        coordinates: of the unknowns.
        cost: sum of squared differences, those from what was known among them.
        arrived: whether it stopped because there was nothing left to gain.
    """

    coordinates: Float64[Tensor, " P"]
    cost: float
    arrived: bool


def descend(evidence: Evidence, unknowns: Unknowns, start: Float64[Tensor, " P"], n_iterations: int) -> Fit:
    """Walk down from a start.

    Args:
        evidence: what is to be made small.
        unknowns: what is sought, and what was known of it.
        start: coordinates to begin at.
        n_iterations: steps at most.
    """
    residual = _with_priors(evidence, unknowns)
    at, damping = start, _DAMPING
    here = residual(at)
    cost = float(here @ here)
    tolerance = _tolerances(unknowns, at)
    for _ in range(n_iterations):
        slope = differences(residual, unknowns, at, here)
        matrix, gradient = slope.mT @ slope, slope.mT @ here
        for _ in range(_REFUSALS):
            damped = matrix + damping * torch.diag(matrix.diagonal())
            tried = unknowns.bounded(at - torch.linalg.solve(damped, gradient))
            there = residual(tried)
            if float(there @ there) < cost:
                break
            damping *= _HARDER
        else:
            return Fit(at, cost, True)
        step, gained = (tried - at) / tolerance, cost - float(there @ there)
        at, here, cost, damping = tried, there, cost - gained, damping * _EASIER
        if float(step.abs().max()) < _ARRIVED or gained < _GAINED:
            return Fit(at, cost, True)
    return Fit(at, cost, False)


def information(
    evidence: Evidence, unknowns: Unknowns, at: Float64[Tensor, " P"], brightness_db: float = 0.0
) -> Float64[Tensor, "P P"]:
    """Gauss-Newton matrix of the frames alone, by central differences.

    A medium that is wrong from patch to patch may be as wrong everywhere alike. Two errors of its brightness
    that the whole image shares, one constant and one that grows with depth, are therefore unknowns too, of
    that standard deviation, and eliminated.

    Args:
        evidence: around the coordinates.
        unknowns: what is sought.
        at: coordinates.
        brightness_db: see `Misfit`.
    """

    def residual(coordinates: Float64[Tensor, " P"]) -> Float64[Tensor, " R"]:
        return evidence(unknowns.acquisition(coordinates))

    here = residual(at)
    ahead = differences(residual, unknowns, at, here)
    behind = differences(residual, unknowns, at, here, sign=-1.0)
    slope = (ahead + behind) / 2
    matrix = slope.mT @ slope
    if brightness_db == 0:
        return matrix
    shared = brightness_db * _of_shared_errors(evidence, unknowns.acquisition(at), here)
    mixed = slope.mT @ shared
    own = shared.mT @ shared + torch.eye(2, dtype=torch.float64)
    return matrix - mixed @ torch.linalg.solve(own, mixed.mT)


def differences(
    residual: Callable[[Tensor], Tensor],
    unknowns: Unknowns,
    at: Float64[Tensor, " P"],
    here: Float64[Tensor, " R"],
    sign: float = 1.0,
) -> Float64[Tensor, "R P"]:
    """Derivatives of the differences by finite steps to one side, inwards at a bound."""
    columns = []
    for place, unknown in enumerate(unknowns.each):
        moved = at.clone()
        moved[place] += sign * unknown.kind.step
        step = unknowns.bounded(moved) - at
        if float(step[place].abs()) < 0.5 * unknown.kind.step:
            step[place] = -sign * unknown.kind.step
        columns.append((residual(at + step) - here) / step[place])
    return torch.stack(columns, dim=1)


def _of_shared_errors(
    evidence: Evidence, acquisition: Acquisition, here: Float64[Tensor, " R"]
) -> Float64[Tensor, "R 2"]:
    """Derivatives by a dB of brightness everywhere, and by one that is a dB, rms, about the middle depth."""
    probe, settings = acquisition.probe, acquisition.settings
    gain, tgc = number(settings.gain_db), number(settings.tgc_at(probe))
    depth_cm = number(probe.depth_mm) / 10
    steeper = _NUDGE_DB * math.sqrt(12) / depth_cm
    changes = (
        {"gain_db": gain + _NUDGE_DB, "tgc_db_per_cm": tgc},
        {"gain_db": gain - steeper * depth_cm / 2, "tgc_db_per_cm": tgc + steeper},
    )
    moved = [acquisition._replace(settings=settings.with_options(**change)) for change in changes]
    return torch.stack([(evidence(each) - here) / _NUDGE_DB for each in moved], dim=1)


def _with_priors(evidence: Evidence, unknowns: Unknowns) -> Callable[[Tensor], Tensor]:
    middle = unknowns.coordinates()
    sigma = torch.tensor([u.prior for u in unknowns.each], dtype=torch.float64)

    def residual(coordinates: Float64[Tensor, " P"]) -> Float64[Tensor, " R"]:
        of_frames = evidence(unknowns.acquisition(coordinates))
        return torch.cat([of_frames, (coordinates - middle) / sigma])

    return residual


def _tolerances(unknowns: Unknowns, at: Float64[Tensor, " P"]) -> Float64[Tensor, " P"]:
    values = unknowns.values(at)
    each = [u.tolerance(v) / u.slope(v) for u, v in zip(unknowns.each, values, strict=True)]
    return torch.tensor(each, dtype=torch.float64)
