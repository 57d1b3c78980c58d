"""How well the image determines the pose: the covariance, and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from diffus.registration.descent import linearised
from diffus.registration.motion import moved
from diffus.registration.objective import Objective
from diffus.registration.priors import Prior, residuals

_ANATOMY = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
_SHIFTS = ("sliding along the face", "sliding out of the image plane", "moving along the beam")
_TURNS = ("tilting out of the image plane", "turning in the image plane", "twisting about the beam")
BLOCK_MM = 6.0
"""Side of the blocks of the image that are left out: longer than residuals resemble their neighbours."""
_SLOPES = (0.1, 1.0)
"""Least and largest slope of the score in units of the Gauss-Newton matrix. A wrong medium, and weights that
fall with the residual, make it less than one."""
_NOTHING = 1e-9
"""Squared change of an image of norm one, for a degree or mm, that is none."""
_PARAMETERS = 6
_LARGEST = 1e6
"""Variance, in degrees or mm squared, of a direction of which the image says nothing."""


def pose_covariance(
    objective: Objective,
    best: Float64[Tensor, "4 4"],
    pivot: Float64[Tensor, "4 4"],
    priors: Sequence[Prior] = (),
    excess: float = 1.0,
) -> Float64[Tensor, "6 6"]:
    """Covariance of the tangent at the best pose, in degrees and mm about the pivot.

    The estimate is where the score ``J^T W r`` vanishes; its covariance is ``S^-1 V S^-1`` with the slope S
    of the score and its covariance V (Huber 1967). Neither is taken from the Gauss-Newton matrix ``J^T W J``,
    which supposes a residual that is small and white. S is measured, by differences of the score. V is that
    of the scores of blocks of the image, each left out in turn (the jackknife: Tukey 1958; Efron and Stein,
    Annals of Statistics 1981), so that residuals may resemble their neighbours within a block as they like.
    Few blocks carry most of it, so that V itself is known to some ten per cent only: it is enlarged as
    Hotelling's distribution asks for (see `_spread_of`). Priors add their precision.

    Args:
        objective: of the last stage.
        best: the pose that was found.
        pivot: see `motion.moved`.
        priors: what was known beforehand.
        excess: how many times the residual's variance is what speckle alone would leave; the covariance is
            as many times larger (Birge, Physical Review 1932), for what is wrong with the medium everywhere,
            which no part of the image disagrees on.
    """
    here, known = objective(best[None]), residuals(priors, best[None])
    linear = linearised(objective, best[None], pivot, priors, here, known, central=True)
    residual, jacobian = here.residual[0].double(), linear.jacobian[0]
    down = jacobian * objective.robust_weights(here.residual)[0]
    matrix = down @ jacobian.mT
    scores = _spread_of(_moves_of_left_out(down, jacobian, residual, objective.blocks(BLOCK_MM)))
    inverse = _inverse(_measured_slope(objective, best, pivot, matrix))
    of_image = excess * inverse @ scores @ inverse + _LARGEST * _undetermined(matrix)
    of_priors = linear.prior_jacobian[0]
    precision = _inverse(of_image) + of_priors @ of_priors.mT
    return _inverse(precision)


def _moves_of_left_out(
    down: Float64[Tensor, "6 C"],
    jacobian: Float64[Tensor, "6 C"],
    residual: Float64[Tensor, " C"],
    blocks: Int64[Tensor, " C"],
) -> Float64[Tensor, "6 blocks"]:
    """How the pose moves as each block is left out, times the Gauss-Newton matrix."""
    count = int(blocks.max()) + 1
    scores = residual.new_zeros(6, count).index_add(1, blocks, down * residual)
    products = (down[:, None] * jacobian).flatten(0, 1)
    parts = residual.new_zeros(36, count).index_add(1, blocks, products).T.unflatten(1, (6, 6))
    matrix = parts.sum(dim=0)
    left = matrix - parts + _NOTHING * torch.eye(6, dtype=torch.float64)
    return matrix @ torch.linalg.solve(left, scores.T[..., None])[..., 0].T


def _spread_of(moves: Float64[Tensor, "6 blocks"]) -> Float64[Tensor, "6 6"]:
    """Covariance of the score from the moves as each block is left out.

    Errors in units of a covariance that was estimated from n vectors are larger than chi-square says, on
    average by ``n / (n - p - 1)`` in square (Hotelling, Annals of Mathematical Statistics 1931), here with
    p = 6. Blocks are not alike: n is the number of equal ones that would vary as much, ``p^2 / sum |u|^4``
    with the whitened moves u (after Satterthwaite, Biometrics Bulletin 1946).
    """
    count = moves.shape[1]
    found = (count - 1) / count * moves @ moves.mT
    values, vectors = torch.linalg.eigh(found)
    known = values > 1e-12 * values[-1].clamp_min(_NOTHING)
    # |u|^2 of each block; together they are as many as there are directions that blocks move in.
    squares = ((vectors[:, known].mT @ moves) ** 2 / values[known, None]).sum(dim=0)
    alike = float(squares.sum() ** 2 / squares.square().sum().clamp_min(_NOTHING))
    return alike / max(alike - _PARAMETERS - 1, 1.0) * found


def _measured_slope(
    objective: Objective,
    best: Float64[Tensor, "4 4"],
    pivot: Float64[Tensor, "4 4"],
    matrix: Float64[Tensor, "6 6"],
) -> Float64[Tensor, "6 6"]:
    """Slope of the score in the pose, by central differences; within bounds of the Gauss-Newton matrix."""
    size = objective.stage.step
    steps = torch.eye(6, dtype=torch.float64) * size
    scores = []
    for pose in moved(best, torch.cat([steps, -steps]), pivot):
        compared = objective(pose[None])
        linear = linearised(
            objective, pose[None], pivot, (), compared, residuals((), pose[None]), central=True
        )
        down = linear.jacobian[0] * objective.robust_weights(compared.residual)[0]
        scores.append(down @ compared.residual[0].double())
    ahead, behind = torch.stack(scores).split(6)
    slope = (ahead - behind) / (2 * size)
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    root = vectors * values.clamp_min(_NOTHING).sqrt()
    unroot = torch.linalg.inv(root)
    share, directions = torch.linalg.eigh(unroot @ ((slope + slope.mT) / 2) @ unroot.mT)
    turned = root @ directions
    return turned @ torch.diag(share.clamp(*_SLOPES)) @ turned.mT


def _undetermined(matrix: Float64[Tensor, "6 6"]) -> Float64[Tensor, "6 6"]:
    """Projector on the directions in which nothing changes."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    still = vectors[:, values <= 10 * _NOTHING]
    return still @ still.mT


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
