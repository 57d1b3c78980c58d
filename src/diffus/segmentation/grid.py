"""A coarse grid under a fine one: averaging down, and sampling up a few planes at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from diffus.volume import Volume

Factors = tuple[int, int, int]
"""How many fine voxels one coarse voxel spans along i, j and k."""


def coarsening_factors(volume: Volume, spacing_mm: float) -> Factors:
    """The factors that bring a volume nearest to an isotropic spacing; never below 1."""
    i, j, k = (
        min(size, max(1, round(spacing_mm / spacing)))
        for size, spacing in zip(volume.shape, volume.spacing_mm, strict=True)
    )
    return i, j, k


def average_down(
    volume: Volume, factors: Factors, read: Callable[[int, int], Tensor] | None = None
) -> Volume:
    """Mean over blocks of voxels, in float32; blocks that the far border cuts are left out.

    Works a block of planes at a time, so that an integer volume is never held as floats in full.

    Args:
        volume: what to average.
        factors: the size of a block.
        read: gives the values of the planes ``start <= i < stop`` in place of the volume's own.
    """
    step = factors[0]
    planes = []
    for start in range(0, volume.shape[0] - step + 1, step):
        block = volume.data[start : start + step] if read is None else read(start, start + step)
        planes.append(torch.nn.functional.avg_pool3d(block[None, None].to(torch.float32), factors)[0, 0])
    scale = torch.tensor(factors, dtype=torch.float64)
    affine = volume.world_from_voxel.clone()
    affine[:3, 3] += affine[:3, :3] @ ((scale - 1) / 2)
    affine[:3, :3] *= scale
    return Volume(torch.cat(planes), affine)


def sample_up(
    coarse: Shaped[Tensor, "a b c"], factors: Factors, shape: tuple[int, int, int], start: int, stop: int
) -> Float[Tensor, "slab J K"]:
    """Trilinear interpolation of a grid made by `average_down`, back on planes of the fine grid.

    Beyond the outermost coarse centres the border's value goes on.

    Args:
        coarse: values on the coarse grid.
        factors: the factors it was made with.
        shape: shape of the fine grid.
        start: first plane along i.
        stop: one past the last plane.
    """
    values = coarse.to(torch.float32)
    along_i = _weights(range(start, stop), values.shape[0], factors[0])
    along_j = _weights(range(shape[1]), values.shape[1], factors[1])
    along_k = _weights(range(shape[2]), values.shape[2], factors[2])
    values = torch.einsum("ia,abc->ibc", along_i, values)
    return along_j @ values @ along_k.T


def sample_up_mask(
    soft: Shaped[Tensor, "a b c"], factors: Factors, shape: tuple[int, int, int], level: float = 0.5
) -> Bool[Tensor, "I J K"]:
    """Where `sample_up` lies above a level, a few planes at a time."""
    mask = torch.empty(shape, dtype=torch.bool)
    for start in range(0, shape[0], 16):
        stop = min(start + 16, shape[0])
        torch.gt(sample_up(soft, factors, shape, start, stop), level, out=mask[start:stop])
    return mask


def _weights(fine: range, coarse_size: int, factor: int) -> Float[Tensor, "fine coarse"]:
    position = (torch.tensor(fine, dtype=torch.float32) - (factor - 1) / 2) / factor
    position = position.clamp(0, coarse_size - 1)
    return (1 - (position[:, None] - torch.arange(coarse_size)).abs()).clamp_min(0)
