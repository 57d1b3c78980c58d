"""Frames put together into a volume, against a slow loop over all voxels."""

from __future__ import annotations

import pytest
import torch

from diffus import ConvexProbe, pose
from diffus.datasets.reconstruction import Reconstruction
from diffus.datasets.simulated_sweep import sweep_poses

PROBE = ConvexProbe(radius_mm=10.0, field_of_view_deg=60.0, depth_mm=24.0, n_scanlines=40, n_samples=60)
SHAPE = (22, 20, 18)


def _grid() -> torch.Tensor:
    affine = pose.exp(torch.tensor([20.0, -35.0, 50.0, 0.0, 0.0, 0.0])).clone()
    affine[:3, :3] *= torch.tensor([1.5, 1.7, 1.9], dtype=torch.float64)
    half = (torch.tensor(SHAPE, dtype=torch.float64) - 1) / 2
    affine[:3, 3] = torch.tensor([5.0, 7.0, 12.0]) - affine[:3, :3] @ half
    return affine


def _poses(count: int = 9) -> torch.Tensor:
    middle = pose.exp(torch.tensor([10.0, 5.0, -15.0, 4.0, 6.0, 1.0]))
    return sweep_poses(middle, count, 14.0, torch.Generator().manual_seed(3))


def _slowly(images: torch.Tensor, poses: torch.Tensor, thickness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Each voxel by itself: every frame, its distance, its scanline and depth."""
    affine, mean, seen = _grid(), torch.zeros(SHAPE), torch.zeros(SHAPE, dtype=torch.bool)
    origins, directions = PROBE.scanlines()
    step = torch.linalg.norm(directions[1] - directions[0])
    for index in torch.cartesian_prod(*(torch.arange(n) for n in SHAPE)).tolist():
        world = affine @ torch.tensor([*index, 1], dtype=torch.float64)
        total = weights = 0.0
        for image, at in zip(images, poses, strict=True):
            x, y, z, _ = (torch.linalg.inv(at) @ world).tolist()
            apex = -10.0
            angle = torch.atan2(torch.tensor(x), torch.tensor(z - apex))
            depth = (x**2 + (z - apex) ** 2) ** 0.5 - 10.0
            line = float(torch.rad2deg(angle) / 60 + 0.5) * 39
            if abs(y) >= thickness / 2 or not (0 <= depth <= 24 and 0 <= line <= 39):
                continue
            sample = min(max(depth / 0.4 - 0.5, 0), 59)
            a, b = min(int(line), 38), min(int(sample), 58)
            p, q = line - a, sample - b
            cell = image[a : a + 2, b : b + 2].tolist()
            value = (1 - p) * ((1 - q) * cell[0][0] + q * cell[0][1])
            value += p * ((1 - q) * cell[1][0] + q * cell[1][1])
            weight = 1 - abs(y) / (thickness / 2)
            total, weights = total + weight * value, weights + weight
        if weights:
            mean[tuple(index)], seen[tuple(index)] = total / weights, True
    assert float(step) > 0
    assert origins.shape == (40, 3)
    return mean, seen


def test_against_a_loop_over_voxels() -> None:
    images = torch.rand(4, PROBE.n_scanlines, PROBE.n_samples)
    poses = _poses(4)
    built = Reconstruction(SHAPE, _grid(), 3.0)
    built.add(images, PROBE, poses)
    mean, seen = _slowly(images, poses, 3.0)
    assert 50 < int(seen.sum()) < seen.numel() / 2
    # Points within rounding of a border fall to either side.
    assert int((built.support != seen).sum()) <= 1
    both = built.support & seen
    assert torch.allclose(built.volume().data[both], mean[both], atol=2e-4)


def test_frames_may_come_in_parts() -> None:
    images, poses = torch.rand(9, PROBE.n_scanlines, PROBE.n_samples), _poses()
    whole, parts = (Reconstruction(SHAPE, _grid(), 2.5) for _ in range(2))
    whole.add(images, PROBE, poses)
    for number in range(9):
        parts.add(images[number : number + 1], PROBE, poses[number : number + 1])
    assert torch.equal(whole.volume().data, parts.volume().data)


def test_a_field_of_the_world_comes_back_in_its_place() -> None:
    def field(points: torch.Tensor) -> torch.Tensor:
        return 100 + points @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

    poses = _poses(30)
    points = PROBE.sample_points_mm()
    images = torch.stack([field(points @ at[:3, :3].T + at[:3, 3]) for at in poses]).float()
    built = Reconstruction(SHAPE, _grid(), 1.5)
    built.add(images, PROBE, poses)
    index = built.support.nonzero().double()
    world = index @ _grid()[:3, :3].T + _grid()[:3, 3]
    error = built.volume().data[built.support] - field(world)
    assert len(index) > 300
    # A frame stands for up to 0.75 mm beside it, where the field differs by up to 1.7; the mean by less.
    assert float(error.abs().quantile(0.95)) < 0.9
    assert float(error.mean().abs()) < 0.05


def test_a_sweep_beside_the_grid_adds_nothing() -> None:
    away = pose.compose(pose.exp(torch.tensor([0.0, 0.0, 0.0, 300.0, 0.0, 0.0])), _poses(2))
    built = Reconstruction(SHAPE, _grid(), 2.0)
    built.add(torch.rand(2, PROBE.n_scanlines, PROBE.n_samples), PROBE, away)
    assert not bool(built.support.any())
    assert float(built.volume().data.abs().max()) == 0


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="thickness_mm must be a finite number above 0"):
        Reconstruction(SHAPE, _grid(), 0.0)
    with pytest.raises(ValueError, match=r"images: expected shape \(1, 40, 60\)"):
        Reconstruction(SHAPE, _grid(), 1.0).add(torch.rand(1, 3, 4), PROBE, _poses(1))
