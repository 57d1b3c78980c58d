"""From a rigid transform to the nearest best affine one."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.rendered_sweep import RenderedSweep
from diffus.registration.rigid_search import GAIN
from diffus.registration.warped_medium import WarpedSweep, WarpGrid

_PER_MM = 30.0
"""An entry of the matrix changed by 1 / so many moves points at that distance by a millimetre."""


def descend_affine(
    level: RenderedSweep,
    start: Float64[Tensor, "4 4"],
    centre_mm: Float64[Tensor, "3"],
    n_steps: int,
    spacing_mm: float = 0.7,
) -> tuple[Float64[Tensor, "4 4"], float]:
    """Descend all twelve numbers of a transform by L-BFGS; the medium is warped, as poses stay rigid.

    Args:
        level: sweep, medium, similarity and settings.
        start: ``mri_from_ultrasound``.
        centre_mm: pivot, in the world of the ultrasound.
        n_steps: at most.
        spacing_mm: of the grid that the warped medium lies on.

    Returns:
        The transform and its score.
    """
    grid = WarpGrid.around(level.sweep, spacing_mm)
    score_of = WarpedSweep(level.sweep, level.medium, grid, level.similarity, level.settings)
    points = grid.points_mm() - centre_mm
    change = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS(
        [change],
        max_iter=n_steps,
        max_eval=2 * n_steps,
        tolerance_change=1e-3,
        tolerance_grad=1e-3,
        line_search_fn="strong_wolfe",
    )
    best, at = -torch.inf, change.detach().clone()

    def closure() -> Tensor:
        nonlocal best, at
        descent.zero_grad()
        nudged = points + points @ change[:, :3].T / _PER_MM + change[:, 3] + centre_mm
        score = score_of(nudged @ start[:3, :3].T + start[:3, 3]).double()
        loss = -GAIN * score
        loss.backward()
        if float(score.detach()) > best:
            best, at = float(score.detach()), change.detach().clone()
        return loss

    descent.step(closure)
    return start @ _matrix(at, centre_mm), best


def _matrix(change: Float64[Tensor, "3 4"], centre_mm: Float64[Tensor, "3"]) -> Float64[Tensor, "4 4"]:
    """``x -> x + L (x - centre) + t`` as a matrix."""
    matrix = torch.eye(4, dtype=torch.float64)
    linear = change[:, :3] / _PER_MM
    matrix[:3, :3] += linear
    matrix[:3, 3] = change[:, 3] - linear @ centre_mm
    return matrix
