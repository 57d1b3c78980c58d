"""Covariance of a pose: measured slope, blocks left out, directions that nothing determines."""

from __future__ import annotations

import math

import torch
from tests.registration.scene import PROBE, TRUTH, sampled
from tests.registration.scene import target as target_of

from diffus.registration.motion import pivot_of, sector_points
from diffus.registration.search import Target
from diffus.registration.stages import Stage
from diffus.registration.uncertainty import _of_left_out, pose_covariance

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
    found = inverse @ _of_left_out(jacobian, jacobian, residual, blocks) @ inverse
    assert torch.allclose(found, 11 / 12 * apart @ apart.mT, rtol=1e-6)


def test_excess_widens_and_what_changes_nothing_stays_open() -> None:
    objective = target(3).objective(STAGE)
    once, thrice = (pose_covariance(objective, TRUTH, PIVOT, (), excess) for excess in (1.0, 3.0))
    assert torch.allclose(thrice, 3 * once, rtol=1e-6)
    flat = torch.zeros(6, 50, dtype=torch.float64)
    assert math.isclose(float(_of_left_out(flat, flat, flat[0], torch.arange(50) // 5).abs().max()), 0.0)


def target(seed: int) -> Target:
    return target_of(sampled(seed=seed).scanlines)
