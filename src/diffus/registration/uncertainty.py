"""How well the image determines the pose: covariance from the Gauss-Newton matrix, and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.descent import linearised
from diffus.registration.objective import Objective
from diffus.registration.priors import Prior, residuals

_ANATOMY = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
_SHIFTS = ("sliding along the face", "sliding out of the image plane", "moving along the beam")
_TURNS = ("tilting out of the image plane", "turning in the image plane", "twisting about the beam")
_LARGEST = 1e6
"""Variance, in degrees or mm squared, of a direction of which the image says nothing."""


def pose_covariance(
    objective: Objective,
    best: Float64[Tensor, "4 4"],
    pivot: Float64[Tensor, "4 4"],
    priors: Sequence[Prior] = (),
) -> Float64[Tensor, "6 6"]:
    """Covariance of the tangent at the best pose, in degrees and mm about the pivot.

    With the residual's derivatives J, robust weights W and the residual's covariance S, the estimate of least
    squares has the covariance ``H^-1 J^T W S W J H^-1`` with ``H = J^T W J`` (Huber 1967): the Gauss-Newton
    matrix, corrected for residuals that are not independent. S is the residual's variance times
    ``exp(-d^2 / 4 sigma^2)``, with sigma measured from the residual itself: that of blurred speckle where the
    model is right, wider where it is not. Priors add their precision.

    Args:
        objective: of the last stage.
        best: the pose that was found.
        pivot: see `motion.moved`.
        priors: what was known beforehand.
    """
    here, known = objective(best[None]), residuals(priors, best[None])
    linear = linearised(objective, best[None], pivot, priors, here, known, central=True)
    residual, jacobian = here.residual[0].double(), linear.jacobian[0]
    weights = objective.robust_weights(here.residual)[0].double()
    variance = (weights * residual**2).sum() / weights.sum()
    lengths = objective.correlation_mm(here.residual[0])
    down = jacobian * weights
    matrix = down @ jacobian.mT
    noise = variance * (down @ objective.correlated(down.float(), lengths).double().mT)
    inverse = torch.linalg.pinv((matrix + matrix.mT) / 2, hermitian=True, rtol=1e-9)
    of_image = inverse @ ((noise + noise.mT) / 2) @ inverse
    of_priors = linear.prior_jacobian[0]
    precision = _inverse(of_image) + of_priors @ of_priors.mT
    return _inverse(precision)


def in_mm(covariance: Float64[Tensor, "6 6"], arm_mm: float) -> Float64[Tensor, "6 6"]:
    """The covariance with degrees turned into the mm by which they move points an arm away."""
    scale = torch.ones(6, dtype=torch.float64)
    scale[:3] = math.radians(1.0) * arm_mm
    return covariance * scale[:, None] * scale


def worst_direction(
    covariance: Float64[Tensor, "6 6"], arm_mm: float, world_from_probe: Float64[Tensor, "4 4"]
) -> str:
    """The direction that the image determines worst, in words, with its standard deviation.

    Args:
        covariance: of the tangent, degrees then mm.
        arm_mm: typical distance of the sector's points from the pivot, which compares turns with shifts.
        world_from_probe: says where a shift leads in the head.
    """
    values, vectors = torch.linalg.eigh(in_mm(covariance, arm_mm))
    worst, sigma = vectors[:, -1], math.sqrt(max(float(values[-1]), 0.0))
    if float(worst[3:].norm()) >= float(worst[:3].norm()):
        shift = worst[3:]
        towards = world_from_probe[:3, :3] @ shift
        what = f"{_SHIFTS[int(shift.abs().argmax())]}, towards {_anatomy(towards)}"
        return f"{what}, {sigma:.2g} mm"
    degrees = sigma / (math.radians(1.0) * arm_mm)
    return f"{_TURNS[int(worst[:3].abs().argmax())]}, {degrees:.2g} deg"


def _anatomy(direction: Float64[Tensor, "3"]) -> str:
    """The two largest components as letters of the body; a line has no sign, so the first is positive."""
    order = direction.abs().argsort(descending=True).tolist()
    sign = 1.0 if float(direction[order[0]]) >= 0 else -1.0
    named = [axis for axis in order if abs(float(direction[axis])) > 0.35 * float(direction.norm())][:2]
    return "-".join(_ANATOMY[axis][int(sign * float(direction[axis]) > 0)] for axis in named)


def _inverse(matrix: Float64[Tensor, "6 6"]) -> Float64[Tensor, "6 6"]:
    """Inverse of a symmetric matrix whose eigenvalues are kept within bounds."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return vectors @ torch.diag(1 / values.clamp(1 / _LARGEST, _LARGEST)) @ vectors.mT
