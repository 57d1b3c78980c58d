"""Trilinear sampling of a grid with interleaved channels: the plain PyTorch reference."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


def sample_trilinear(
    grid: Shaped[Tensor, "I J K C"], index: Float[Tensor, "*points 3"]
) -> Float[Tensor, "*points C"]:
    """Interpolate between the eight voxel centres around each point.

    Points outside the grid take the value of the nearest point on its border, so that a border makes no
    step. Differentiable twice in ``grid`` and ``index``; the gradient to ``index`` is zero outside along
    the axes that were clamped.

    Args:
        grid: values, channels last so that the channels of a voxel lie side by side in memory. Integers and
            booleans are converted after the gathering, so that no copy of the grid is made.
        index: fractional voxel indices (i, j, k).
    """
    i_size, j_size, k_size, channels = grid.shape
    flat = grid.reshape(-1, channels)
    sizes = (i_size, j_size, k_size)
    strides = (j_size * k_size, k_size, 1)
    low_offset, high_offset, weight = [], [], []
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        position = index[..., axis].clamp(0, size - 1)
        low = position.detach().floor().clamp(max=max(size - 2, 0))
        low_index = low.long()
        low_offset.append(low_index * stride)
        high_offset.append((low_index + 1).clamp(max=size - 1) * stride)
        weight.append((position - low)[..., None])
    along_k = []
    for i_offset in (low_offset[0], high_offset[0]):
        for j_offset in (low_offset[1], high_offset[1]):
            base = i_offset + j_offset
            low, high = flat[base + low_offset[2]], flat[base + high_offset[2]]
            if not grid.is_floating_point():
                low, high = low.to(index.dtype), high.to(index.dtype)
            along_k.append(torch.lerp(low, high, weight[2]))
    low_i = torch.lerp(along_k[0], along_k[1], weight[1])
    high_i = torch.lerp(along_k[2], along_k[3], weight[1])
    return torch.lerp(low_i, high_i, weight[0])


def inside_grid(index: Float[Tensor, "*points 3"], shape: tuple[int, int, int]) -> Bool[Tensor, "*points"]:
    """Whether fractional indices lie between the outermost voxel centres, rounding allowed for."""
    last = torch.tensor(shape, dtype=index.dtype, device=index.device) - 1
    slack = 1e-4
    return ((index >= -slack) & (index <= last + slack)).all(dim=-1)
