"""Poses to begin at."""

from __future__ import annotations

import torch
from tests.registration.scene import PROBE, TRUTH

from diffus.registration.motion import displacement_mm, moved, pivot_of, sector_points, tangent_between
from diffus.registration.starts import best_apart, starts_around

POINTS = sector_points(PROBE)
PIVOT = pivot_of(POINTS)


def test_starts_fill_both_balls_evenly_and_begin_with_the_initial_pose() -> None:
    poses = starts_around(TRUTH, 4097, 8.0, 20.0, PIVOT, seed=3)
    assert torch.equal(poses[0], TRUTH)
    tangent = tangent_between(TRUTH, poses[1:], PIVOT)
    for part, reach in ((tangent[:, :3], 20.0), (tangent[:, 3:], 8.0)):
        length = part.norm(dim=1)
        assert float(length.max()) <= reach + 1e-6
        assert abs(float((length < reach / 2).double().mean()) - 1 / 8) < 0.01  # a ball's volume
        assert float(part.mean(dim=0).norm()) < 0.02 * reach


def test_starts_are_more_even_than_chance() -> None:
    poses = starts_around(TRUTH, 257, 8.0, 20.0, PIVOT)
    length = tangent_between(TRUTH, poses[1:], PIVOT)[:, 3:].norm(dim=1)
    counts = torch.histc((length / 8) ** 3, bins=16, min=0, max=1)
    assert float(counts.std()) < 2.0  # independent draws give 4


def test_the_same_seed_gives_the_same_starts() -> None:
    first, again, other = (starts_around(TRUTH, 9, 5.0, 5.0, PIVOT, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_best_are_chosen_and_none_twice() -> None:
    steps = torch.zeros(4, 6, dtype=torch.float64)
    steps[:, 3] = torch.tensor([0.0, 0.5, 5.0, 9.0])
    poses = moved(TRUTH, steps, PIVOT)
    cost = torch.tensor([2.0, 1.0, 3.0, 0.5])
    assert best_apart(poses, cost, 3, 1.0, POINTS).tolist() == [3, 1, 2]
    assert best_apart(poses, cost, 2, 1.0, POINTS).tolist() == [3, 1]


def test_turning_about_the_pivot_leaves_it_in_place() -> None:
    turned = moved(TRUTH, torch.tensor([0.0, 0.0, 30.0, 0.0, 0.0, 0.0]), PIVOT)
    assert torch.allclose((turned @ PIVOT)[:3, 3], (TRUTH @ PIVOT)[:3, 3])
    shifted = moved(TRUTH, torch.tensor([0.0, 0.0, 0.0, 1.0, -2.0, 2.0]), PIVOT)
    assert torch.allclose(displacement_mm(TRUTH, shifted, POINTS), torch.tensor(3.0, dtype=torch.float64))


def test_tangent_between_undoes_moved() -> None:
    tangent = torch.tensor([5.0, -7.0, 11.0, 1.0, 2.0, -3.0], dtype=torch.float64)
    assert torch.allclose(tangent_between(TRUTH, moved(TRUTH, tangent, PIVOT), PIVOT), tangent)
