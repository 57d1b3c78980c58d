"""Volumes whose slices are known: values that grow linearly over the world, and one bright point."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float64
from tests.support import placed
from torch import Tensor

from diffus import LinearProbe, Probe, Volume, pose
from diffus.datasets.landmarks import Landmarks

SLOPE = torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64)
"""Change of `linear_volume` per mm of R, A and S."""

FLAT = LinearProbe(width_mm=16.0, depth_mm=40.0, n_scanlines=17, n_samples=80)


def voxel_centres_mm(
    shape: tuple[int, int, int], affine: Float64[Tensor, "4 4"]
) -> Float64[Tensor, "I J K 3"]:
    axes = (torch.arange(n, dtype=torch.float64) for n in shape)
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@cache
def linear_volume(dtype: torch.dtype = torch.float64) -> Volume:
    """An oblique, left-handed, anisotropic grid."""
    affine = placed(left_handed=True)
    return Volume((voxel_centres_mm((40, 36, 20), affine) @ SLOPE).to(dtype), affine)


def ball(centre_mm: tuple[float, float, float], radius_mm: float, affine: Float64[Tensor, "4 4"]) -> Volume:
    """A soft-edged ball on 80 x 80 x 80 voxels, between 0 and 1."""
    away = (voxel_centres_mm((80, 80, 80), affine) - torch.tensor(centre_mm)).norm(dim=-1)
    return Volume((radius_mm + 0.5 - away).clamp(0, 1).float(), affine)


@cache
def head() -> Volume:
    """An oblique volume without any symmetry: a big ball with a bright one right, up and in front."""
    affine = placed((0.9, 1.0, 1.1), (0.0, 0.0, 0.0), turn=(0.2, -0.3, 0.25))
    affine[:3, 3] = -affine[:3, :3] @ torch.full((3,), 39.5, dtype=torch.float64)
    big, small = ball((0.0, 0.0, 0.0), 32.0, affine), ball((14.0, 10.0, 12.0), 7.0, affine)
    return Volume(0.4 * big.data + 0.6 * small.data, affine)


def from_the_left() -> tuple[Probe, Float64[Tensor, "4 4"]]:
    """A probe at the left side of `head`, turned against all planes."""
    at = pose.look_at((-34.0, 2.0, 4.0), (0.0, 0.0, 0.0))
    return FLAT, pose.perturb(at, torch.tensor([8.0, 12.0, 30.0, 0.0, 0.0, 0.0], dtype=torch.float64))


def landmarks() -> Landmarks:
    """Five places, and the same 3 mm further right and up to 4 mm further in front."""
    mri = torch.tensor(
        [[-12.0, -10, 4], [9, -14, -8], [15, 8, 11], [-4, 13, -9], [2, 1, 14]], dtype=torch.float64
    )
    away = torch.tensor([[3.0, n, 0.0] for n in range(5)], dtype=torch.float64)
    return Landmarks(mri, mri + away)
