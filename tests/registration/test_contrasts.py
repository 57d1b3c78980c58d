"""Contrasts of one head are brought onto each other, whatever the grids they are given on."""

from __future__ import annotations

import pytest
import torch
from tests.registration.scene import medium

from diffus import Volume, pose
from diffus.registration import align_contrast, aligned

APART = pose.exp(torch.tensor([2.0, -3.0, 1.0, 2.0, -1.5, 3.0], dtype=torch.float64))
WITHIN_MM = 0.2


def contrast(number: int) -> Volume:
    """Balls in tissue, 2 mm voxels: bright ones brightest in one contrast and darkest in the other."""
    scatters = medium().backscatter[::2, ::2, ::2]
    affine = medium().world_from_voxel @ torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0]).double())
    values = ((0.0, 40.0, 90.0), (100.0, 60.0, 10.0))[number]
    image = torch.full_like(scatters, values[1])
    image[scatters < 0.004], image[scatters > 0.013] = values[0], values[2]
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(number))
    return Volume(image + 3 * noise, affine)


def on_another_grid(volume: Volume) -> Volume:
    """Slices of 3 mm, turned, over the middle of the volume."""
    affine = pose.exp(torch.tensor([0.0, 20.0, 10.0, 0, 0, 0], dtype=torch.float64)) @ torch.diag(
        torch.tensor([1.5, 1.5, 3.0, 1.0], dtype=torch.float64)
    )
    affine[:3, 3] = -affine[:3, :3] @ torch.tensor([23.5, 23.5, 11.5], dtype=torch.float64)
    return volume.resample((48, 48, 24), affine)


def off_mm(found: torch.Tensor, truth: torch.Tensor) -> float:
    corners = 30 * torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])
    ends = [pose.transform_points(each, corners.double()) for each in (found, truth)]
    return float((ends[0] - ends[1]).norm(dim=-1).mean())


def test_a_contrast_that_lies_elsewhere_is_found() -> None:
    still, other = contrast(0), contrast(1)
    displaced = Volume(other.data, pose.inverse(APART) @ other.world_from_voxel)
    found = align_contrast(displaced, still)
    assert off_mm(torch.eye(4, dtype=torch.float64), APART) > 4
    assert off_mm(found, APART) < WITHIN_MM
    assert torch.allclose(align_contrast(displaced, still), found, atol=1e-5)


def test_it_comes_onto_the_grid_of_the_first() -> None:
    still, other = contrast(0), on_another_grid(contrast(1))
    displaced = Volume(other.data, pose.inverse(APART) @ other.world_from_voxel)
    moved = aligned(displaced, still)
    assert moved.same_grid(still)
    middle = (slice(12, 28),) * 3
    truth = other.resample(still.shape, still.world_from_voxel)
    before = displaced.resample(still.shape, still.world_from_voxel)

    def alike(image: Volume) -> float:
        pair = torch.stack([image.data[middle].flatten(), truth.data[middle].flatten()])
        return float(torch.corrcoef(pair)[0, 1])

    assert alike(moved) > 0.95
    assert alike(before) < 0.7


def test_what_cannot_be_aligned_is_refused() -> None:
    still = contrast(0)
    with pytest.raises(ValueError, match="moving volume is constant"):
        align_contrast(Volume(torch.ones(still.shape), still.world_from_voxel), still)
    far = still.world_from_voxel.clone()
    far[0, 3] += 500
    with pytest.raises(ValueError, match="do they overlap"):
        align_contrast(Volume(still.data, far), still)
