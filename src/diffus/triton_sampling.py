"""`_triton_sampling` behind PyTorch, differentiable once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import _triton_sampling
from diffus.propagation.once import differentiable_once

_forward: Any = _triton_sampling.sample_forward
_position_adjoint: Any = _triton_sampling.sample_position_adjoint
_grid_adjoint: Any = _triton_sampling.sample_grid_adjoint
_WIDE = {"BLOCK": 128, "num_warps": 4}
"""A node to a thread."""
_ONE_WARP = {"BLOCK": 64, "num_warps": 1}
"""Two nodes to a thread of a single warp, which sums over them without waiting for others."""


def sample_lines(
    grid: Float[Tensor, "I J K 3"],
    origins: Float64[Tensor, "B S 3"],
    directions: Float64[Tensor, "B S 3"],
    across: Float64[Tensor, "B 3"],
    depths: Float64[Tensor, " nodes"],
    offsets: Float64[Tensor, "E nodes"],
) -> Float[Tensor, "3 B E S nodes"]:
    """Sample three maps at the voxel indices ``origins + directions depths + across offsets``.

    As `numba_sampling.sample_maps` but in one tensor, on a CUDA device, or on the CPU by Triton's
    interpreter. Beyond the grid the maps go on as at its border; the third fades to zero within a voxel. The
    gradient to the grid is summed in no fixed order: its last digits vary between runs.
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
    ) -> Tensor:
        places = tuple(t.contiguous() for t in (origins, directions, across, depths, offsets))
        grid = grid.contiguous()
        ctx.save_for_backward(grid, *places)
        n_poses, n_lines = origins.shape[:2]
        values = grid.new_empty(3, n_poses, offsets.shape[0], n_lines, depths.numel())
        _launch(_forward, _WIDE, grid, places, grid, *places, values)
        return values

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, bars: Tensor) -> tuple[Tensor | None, ...]:
        grid, *places = ctx.saved_tensors
        bars = bars.contiguous()
        grid_bar = None
        if ctx.needs_input_grad[0]:
            grid_bar = torch.zeros_like(grid)
            _launch(_grid_adjoint, _WIDE, grid, places, *places, bars, grid_bar)
        if not any(ctx.needs_input_grad[1:]):
            return grid_bar, None, None, None, None, None
        return grid_bar, *_position_gradients(grid, places, bars, nodes=any(ctx.needs_input_grad[4:]))


def _position_gradients(
    grid: Tensor, places: list[Tensor], bars: Tensor, *, nodes: bool
) -> tuple[Tensor | None, ...]:
    """Gradients to origins, directions, across and, where wanted, to depths and offsets."""
    origins, _directions, _across, depths, offsets = places
    n_poses, n_lines = origins.shape[:2]
    n_planes, n_nodes = offsets.shape
    line_bar = depths.new_empty(n_poses * n_lines, n_planes, _n_blocks(n_nodes, _ONE_WARP), 9)
    node_bar = depths.new_empty(n_poses * n_lines if nodes else 1, *offsets.shape, 2)
    tensors = (grid, *places, bars, line_bar, node_bar)
    _launch(_position_adjoint, _ONE_WARP, grid, places, *tensors, WANTS_NODES=nodes)
    origin_bar, direction_bar, across_bar = line_bar.sum(dim=(1, 2)).view(n_poses, n_lines, 3, 3).unbind(2)
    if not nodes:
        return origin_bar, direction_bar, across_bar.sum(dim=1), None, None
    depth_bar, offset_bar = node_bar.sum(dim=0).unbind(-1)
    return origin_bar, direction_bar, across_bar.sum(dim=1), depth_bar.sum(dim=0), offset_bar


def _launch(
    kernel: Any,
    form: dict[str, int],
    grid: Tensor,
    places: tuple[Tensor, ...] | list[Tensor],
    *tensors: Tensor,
    **options: bool,
) -> None:
    """Run a kernel on every block of nodes of every scanline in every plane, on the grid's own device."""
    origins, offsets = places[0], places[-1]
    n_poses, n_lines = origins.shape[:2]
    n_planes, n_nodes = offsets.shape
    programs = (n_poses * n_lines, _n_blocks(n_nodes, form), n_planes)
    with torch.cuda.device_of(grid):
        kernel[programs](*tensors, *grid.shape[:3], n_lines, n_nodes, **options, **form)


def _n_blocks(n_nodes: int, form: dict[str, int]) -> int:
    return -(-n_nodes // form["BLOCK"])
