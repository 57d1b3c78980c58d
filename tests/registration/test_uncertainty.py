"""Covariance of a pose: measured slope, blocks left out, directions that nothing determines."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, sampled
from tests.registration.scene import target as target_of

from diffus.registration.motion import pivot_of, sector_points
from diffus.registration.stages import Stage
from diffus.registration.target import Target
from diffus.registration.uncertainty import _moves_of_left_out, _spread_of, pose_covariance

STAGE = Stage(blur_mm=0.9, spacing_mm=0.6, trend_mm=6.0, window_mm=5.0, n_iterations=8)
PIVOT = pivot_of(sector_points(PROBE))


def test_blocks_left_out_agree_with_refits_of_a_straight_line() -> None:
    generator = torch.Generator().manual_seed(1)
    jacobian = torch.randn(6, 240, generator=generator, dtype=torch.float64)
    residual = torch.randn(240, generator=generator, dtype=torch.float64)
    matrix = jacobian @ jacobian.mT
    residual = residual - jacobian.mT @ torch.linalg.solve(matrix, jacobian @ residual)
    blocks = torch.arange(240) // 20
    refits = []
    for left_out in range(12):
        kept = blocks != left_out
        some = jacobian[:, kept]
        refits.append(torch.linalg.solve(some @ some.mT, some @ residual[kept]))
    apart = torch.stack(refits, dim=1)
    inverse = torch.linalg.inv(matrix)
    found = inverse @ _moves_of_left_out(jacobian, jacobian, residual, blocks)
    assert torch.allclose(found, -apart, rtol=1e-6)


@pytest.mark.parametrize("unequal", [False, True])
def test_errors_in_units_of_an_estimated_covariance_are_chi_square_on_average(unequal: bool) -> None:
    """What blocks of one image are: few, and some of them carry more than others."""
    generator = torch.Generator().manual_seed(2)
    sizes = torch.linspace(0.2, 2.2, 40, dtype=torch.float64) if unequal else torch.ones(40).double()
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    squares, plain = [], []
    for _ in range(2000):
        moves = mixing @ (torch.randn(6, 40, generator=generator, dtype=torch.float64) * sizes)
        error = mixing @ torch.randn(6, generator=generator, dtype=torch.float64) * sizes.norm()
        squares.append(float(error @ torch.linalg.solve(_spread_of(moves), error)))
        plain.append(float(error @ torch.linalg.solve(moves @ moves.mT, error)))
    assert statistics.mean(plain) > 1.15 * 6
    assert statistics.mean(squares) == pytest.approx(6, rel=0.06)


def test_excess_widens_and_what_changes_nothing_stays_open() -> None:
    objective = target(3).objective(STAGE)
    once, thrice = (pose_covariance(objective, TRUTH, PIVOT, (), excess) for excess in (1.0, 3.0))
    assert torch.allclose(thrice, 3 * once, rtol=1e-6)
    flat = torch.zeros(6, 50, dtype=torch.float64)
    still = _spread_of(_moves_of_left_out(flat, flat, flat[0], torch.arange(50) // 5))
    assert math.isclose(float(still.abs().max()), 0.0)


def target(seed: int) -> Target:
    return target_of(sampled(seed=seed).scanlines)
