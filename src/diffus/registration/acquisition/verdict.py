"""Which settings an image determines, and which combinations of them it leaves open, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.acquisition.unknowns import Unknowns

_NAMED = 0.3
"""Least share of the largest component of a combination for a setting to be named in it."""
_AT_BOUND = 1e-6


@dataclass(frozen=True)
class Estimate:
    """One number that was sought.

    Args:
        name: of the setting; a slider of the TGC carries its number.
        value: what was found.
        start: where the search began.
        sigma: standard deviation, all other settings that were sought being unknown too.
        tolerance: the standard deviation up to which it counts as determined: 5 % of the value, 1 dB, 1 mm or
            1 degree.
        determined: whether the image determines it.
    """

    name: str
    value: float
    start: float
    sigma: float
    tolerance: float
    determined: bool


def estimates_of(
    unknowns: Unknowns,
    at: Float64[Tensor, " P"],
    information: Float64[Tensor, "P P"],
    converged: bool,
) -> tuple[tuple[Estimate, ...], Float64[Tensor, "P P"]]:
    """Estimates, and the covariance of their values.

    The covariance is the inverse of the image's information and that of what was known before. What the image
    says nothing of keeps the standard deviation that it had before.

    Args:
        unknowns: what was sought.
        at: coordinates that were found.
        information: Gauss-Newton matrix of the image, in those coordinates.
        converged: whether the descent came to rest.
    """
    values = unknowns.values(at)
    known = torch.tensor([u.prior for u in unknowns.each], dtype=torch.float64) ** -2
    inverse = torch.linalg.inv(information + torch.diag(known))
    scale = torch.tensor(
        [u.slope(v) for u, v in zip(unknowns.each, values, strict=True)], dtype=torch.float64
    )
    covariance = (inverse + inverse.mT) / 2 * scale[:, None] * scale
    estimates = []
    for unknown, value, sigma in zip(
        unknowns.each, values, covariance.diagonal().sqrt().tolist(), strict=True
    ):
        tolerance, kind = unknown.tolerance(value), unknown.kind
        at_bound = min(value - kind.low, kind.high - value) < _AT_BOUND
        determined = converged and sigma <= tolerance and not at_bound
        estimates.append(Estimate(unknown.name, value, unknown.start, sigma, tolerance, determined))
    return tuple(estimates), covariance


def open_combinations(estimates: Sequence[Estimate], covariance: Float64[Tensor, "P P"]) -> tuple[str, ...]:
    """Directions that stay open by more than the tolerances, the widest first, in words.

    Eigenvectors of the covariance in units of the tolerances.
    """
    tolerance = torch.tensor([estimate.tolerance for estimate in estimates], dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance / (tolerance[:, None] * tolerance))
    words = []
    for value, vector in zip(values.flip(0).tolist(), vectors.T.flip(0), strict=True):
        if value <= 1:
            break
        named = [k for k, share in enumerate((vector / vector.abs().max()).tolist()) if abs(share) > _NAMED]
        named.sort(key=lambda k: -abs(float(vector[k])))
        if any(not estimates[k].determined for k in named):
            words.append(_sentence([estimates[k].name for k in named], vector[named], math.sqrt(value)))
    return tuple(words)


def _sentence(names: Sequence[str], components: Float64[Tensor, " n"], tolerances: float) -> str:
    """ "a and b against c", those that grow together on one side."""
    first = [n for n, c in zip(names, components.tolist(), strict=True) if c * float(components[0]) > 0]
    second = [n for n in names if n not in first]
    sides = [" and ".join(side) for side in (first, second) if side]
    return f"{' against '.join(sides)}, by {tolerances:.1f} tolerances"
