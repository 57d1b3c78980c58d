"""Batched Gauss-Newton descent with Levenberg and Marquardt's damping: all starts at once.

A pose has six numbers, so its derivatives are six more poses of the same batch (forward differences), and a
step costs seven renderings or, when refused, one. Measured on the example brain this is an order of magnitude
cheaper than first-order descent through the backward pass. The steps of rotation and translation are kept
apart by the pivot and by damping each direction on its own scale (Marquardt, SIAM 1963).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.registration.motion import moved
from diffus.registration.objective import LEAST_ENERGY, Compared, Objective
from diffus.registration.priors import Prior, residuals

_DAMPING = 1e-2
_EASIER, _HARDER = 0.25, 6.0
MOST_TRIES = 2
"""Steps that are tried in one iteration."""
PLATEAU = 0.005
"""Step, in degrees and mm, below which a descent has arrived."""


@dataclass
class Descent:
    """Poses on their way down.

    Args:
        poses: where they are.
        energy: ``2 - 2 r`` there.
        seen: share of the sectors in the volume.
        trail: poses after each step, and their energies.
    """

    poses: Float64[Tensor, "B 4 4"]
    energy: Float64[Tensor, " B"]
    seen: Float[Tensor, " B"]
    trail: list[tuple[Float64[Tensor, "B 4 4"], Float64[Tensor, " B"]]] = field(default_factory=list)


@dataclass(frozen=True)
class Linearised:
    """Residuals and their derivatives at B poses; degrees, then mm."""

    compared: Compared
    jacobian: Float64[Tensor, "B 6 C"]
    prior: Float64[Tensor, "B R"]
    prior_jacobian: Float64[Tensor, "B 6 R"]


def descend(
    objective: Objective,
    poses: Float64[Tensor, "B 4 4"],
    pivot: Float64[Tensor, "4 4"],
    priors: Sequence[Prior] = (),
    central: bool = False,
) -> Descent:
    """Walk every pose down to the minimum near it.

    What is minimised is ``n log(2 - 2 r)`` and the squares of the priors' residuals: the likelihood of n
    independent differences whose variance is not known, and of the priors.

    Args:
        objective: what is compared.
        poses: starts.
        pivot: what poses turn about, see `motion.moved`.
        priors: what is known beforehand.
        central: differences on both sides, for the last tenths of a millimetre: they cost twice as much.
    """
    damping = torch.full((len(poses),), _DAMPING, dtype=torch.float64)
    here, known = objective(poses), residuals(priors, poses)
    path = Descent(poses, here.energy, here.seen)
    active = torch.ones(len(poses), dtype=torch.bool)
    for _ in range(objective.stage.n_iterations):
        at = active.nonzero()[:, 0]
        some = Compared(here.residual[at], here.seen[at])
        linear = linearised(objective, poses[at], pivot, priors, some, known[at], central)
        solver = _Normal.of(objective, linear)
        step = torch.zeros_like(solver.slope)
        for _ in range(MOST_TRIES):
            step = solver.step(damping[at], objective.stage.step)
            tried = moved(poses[at], step, pivot)
            there, expected = objective(tried), residuals(priors, tried)
            better = solver.improves(there, expected)
            taken = at[better]
            poses = poses.index_copy(0, taken, tried[better])
            known = known.index_copy(0, taken, expected[better])
            here = Compared(
                here.residual.index_copy(0, taken, there.residual[better]),
                here.seen.index_copy(0, taken, there.seen[better]),
            )
            damping[at] *= torch.where(better, _EASIER, _HARDER)
            if bool(better.any()):
                break
        path.trail.append((poses, here.energy))
        arrived = step.abs().amax(dim=1) < PLATEAU
        active[at[arrived]] = False
        if not bool(active.any()):
            break
    path.poses, path.energy, path.seen = poses, here.energy, here.seen
    return path


def linearised(
    objective: Objective,
    poses: Float64[Tensor, "B 4 4"],
    pivot: Float64[Tensor, "4 4"],
    priors: Sequence[Prior],
    here: Compared,
    known: Float64[Tensor, "B R"],
    central: bool = False,
) -> Linearised:
    """Differences of all residuals in the six directions of the tangent, forward or central."""
    size = objective.stage.step
    steps = torch.eye(6, dtype=torch.float64) * size
    count = len(poses)

    def at(step: Float64[Tensor, "6 6"]) -> Float[Tensor, "B 6 C"]:
        around = moved(poses[:, None], step, pivot).flatten(0, 1)
        return objective(around).residual.unflatten(0, (count, 6))

    if central:
        jacobian = (at(steps) - at(-steps)).double() / (2 * size)
    else:
        jacobian = (at(steps) - here.residual[:, None]).double() / size
    small = 1e-3
    near = moved(poses[:, None], steps * (small / size), pivot).flatten(0, 1)
    of_priors = (residuals(priors, near).unflatten(0, (count, 6)) - known[:, None]) / small
    return Linearised(here, jacobian, known, of_priors)


@dataclass(frozen=True)
class _Normal:
    """Normal equations of a batch, and the merit that a step must lower."""

    matrix: Float64[Tensor, "B 6 6"]
    slope: Float64[Tensor, "B 6"]
    weights: Float64[Tensor, "B C"]
    scale: Float64[Tensor, " B"]
    merit: Callable[[Compared, Float64[Tensor, "B R"]], Float64[Tensor, " B"]]
    start: Float64[Tensor, " B"]

    @classmethod
    def of(cls, objective: Objective, linear: Linearised) -> _Normal:
        residual = linear.compared.residual.double()
        weights = objective.robust_weights(linear.compared.residual).double()
        independent = objective.independent()
        weighted = (weights * residual**2).sum(dim=1).clamp_min(LEAST_ENERGY)
        scale = independent / weighted

        def merit(compared: Compared, known: Float64[Tensor, "B R"]) -> Float64[Tensor, " B"]:
            energy = (weights * compared.residual.double() ** 2).sum(dim=1).clamp_min(LEAST_ENERGY)
            lost = compared.seen < 0.5 * linear.compared.seen
            value = independent * torch.log(energy) + (known**2).sum(dim=1)
            return torch.where(lost, torch.inf, value)

        down = linear.jacobian * weights[:, None]
        matrix = scale[:, None, None] * (down @ linear.jacobian.mT)
        slope = scale[:, None] * (down @ residual[..., None])[..., 0]
        of_priors = linear.prior_jacobian
        matrix = matrix + of_priors @ of_priors.mT
        slope = slope + (of_priors @ linear.prior[..., None])[..., 0]
        return cls(matrix, slope, weights, scale, merit, merit(linear.compared, linear.prior))

    def step(self, damping: Float64[Tensor, " B"], reach: float) -> Float64[Tensor, "B 6"]:
        """The damped Gauss-Newton step, no longer than where differences still say something."""
        diagonal = torch.diagonal(self.matrix, dim1=1, dim2=2)
        floor = 1e-9 * diagonal.amax(dim=1, keepdim=True) + 1e-12
        damped = self.matrix + torch.diag_embed(damping[:, None] * diagonal + floor)
        step = -torch.cholesky_solve(self.slope[..., None], torch.linalg.cholesky(damped))[..., 0]
        length = step.norm(dim=1, keepdim=True) / (4 * reach + 1.0)
        return step / length.clamp_min(1.0)

    def improves(self, there: Compared, known: Float64[Tensor, "B R"]) -> Tensor:
        """Which poses are better than where the step began."""
        return self.merit(there, known) < self.start
