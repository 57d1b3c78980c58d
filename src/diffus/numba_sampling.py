"""`_numba_sampling` behind PyTorch, differentiable once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.kernels import run_shared
from diffus.propagation.once import differentiable_once


def sample_maps(
    grid: Float[Tensor, "I J K 3"],
    origins: Float64[Tensor, "B S 3"],
    directions: Float64[Tensor, "B S 3"],
    across: Float64[Tensor, "B 3"],
    depths: Float64[Tensor, " nodes"],
    offsets: Float64[Tensor, "E nodes"],
) -> tuple[
    Float[Tensor, "B E S nodes"],
    Float[Tensor, "B E S nodes"],
    Float[Tensor, "B E S nodes"],
    Bool[Tensor, "B S"],
]:
    """Sample three maps at the voxel indices ``origins + directions depths + across offsets``.

    Beyond the grid the maps go on as at its border; the third fades to zero within a voxel.

    Returns:
        The three maps, and whether a node of each scanline lies within the grid.
    """
    return _SampleLines.apply(grid, origins, directions, across, depths, offsets)


class _SampleLines(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        grid: Tensor,
        origins: Tensor,
        directions: Tensor,
        across: Tensor,
        depths: Tensor,
        offsets: Tensor,
    ) -> tuple[Tensor, ...]:
        from diffus._numba_sampling import sample_forward

        places = tuple(t.contiguous() for t in (origins, directions, across, depths, offsets))
        grid = grid.contiguous()
        ctx.save_for_backward(grid, *places)
        n_poses, n_lines = origins.shape[:2]
        shape = (n_poses, offsets.shape[0], n_lines, depths.numel())
        values = tuple(grid.new_empty(shape) for _ in range(3))
        arrays = tuple(value.numpy() for value in values)
        seen = torch.empty(n_poses, n_lines, dtype=torch.bool)
        run_shared(sample_forward, n_poses * n_lines, grid, *places, arrays, seen)
        ctx.mark_non_differentiable(seen)
        return *values, seen

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        from diffus._numba_sampling import sample_grid_adjoint, sample_position_adjoint

        grid, *places = ctx.saved_tensors
        origins, directions, _across, depths, offsets = places
        given = tuple(bar.detach().contiguous().numpy() for bar in bars[:3])
        n_lines = origins.shape[0] * origins.shape[1]
        grid_bar = None
        if ctx.needs_input_grad[0]:
            grid_bar = torch.zeros_like(grid)
            run_shared(sample_grid_adjoint, n_lines, *places, given, grid_bar, alone=True)
        if not any(ctx.needs_input_grad[1:]):
            return grid_bar, None, None, None, None, None
        wants_nodes = any(ctx.needs_input_grad[4:])
        origin_bar, direction_bar, across_bar = (torch.zeros_like(directions) for _ in range(3))
        node_bar = depths.new_zeros(n_lines if wants_nodes else 0, *offsets.shape, 2)
        out = (origin_bar, direction_bar, across_bar, node_bar)
        arrays = tuple(bar.numpy() for bar in out)
        run_shared(sample_position_adjoint, n_lines, grid, *places, given, arrays)
        nodes = node_bar.sum(dim=0) if wants_nodes else None
        depth_bar = None if nodes is None else nodes[..., 0].sum(dim=0)
        offset_bar = None if nodes is None else nodes[..., 1]
        return grid_bar, origin_bar, direction_bar, across_bar.sum(dim=1), depth_bar, offset_bar
