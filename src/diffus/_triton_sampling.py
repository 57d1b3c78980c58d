"""The three maps of a medium along scanlines on a CUDA GPU, in Triton: one pass, as `_numba_sampling` does it
on the CPU.

A program serves a block of consecutive nodes of one scanline in one elevation plane, so that results are
written side by side and neighbours read the same voxels. A position is formed where it is used, in float64;
what is read from the grid is mixed in the grid's own type. Programs are numbered (scanline of B S, block of
nodes, plane). Places in memory are int64: large volumes have more values than int32 counts.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

_COUNTS = ["si", "sj", "sk", "n_lines", "n_nodes"]
"""Sizes that change from probe to probe and volume to volume: the kernels are not compiled anew for them."""


@triton.jit
@no_type_check
def _here(depths, offsets, n_lines, n_nodes, BLOCK: tl.constexpr):
    """Scanline, pose, plane and nodes of this program, which nodes there are, their depths and offsets."""
    line, plane = tl.program_id(0).to(tl.int64), tl.program_id(2).to(tl.int64)
    node = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = node < n_nodes
    z = tl.load(depths + node, mask=exists, other=0.0)
    y = tl.load(offsets + plane * n_nodes + node, mask=exists, other=0.0)
    return line, line // n_lines, plane, node, exists, z, y


@triton.jit
@no_type_check
def _start(line, pose, plane, n_lines, n_nodes):
    """Where the nodes of a scanline start in values (3, B, E, S, N), and how far apart the channels lie."""
    channel_stride = tl.num_programs(0).to(tl.int64) * tl.num_programs(2) * n_nodes
    return ((pose * tl.num_programs(2) + plane) * n_lines + line % n_lines) * n_nodes, channel_stride


@triton.jit
@no_type_check
def _axis(
    origins, directions, across, line, pose, z, y, size, stride, real: tl.constexpr, AXIS: tl.constexpr
):
    """Places of the lower and upper corner along one axis, share of the upper one, fade, and their slopes.

    Slopes are 0 where clamped; see `_numba_sampling._corner`.
    """
    position = tl.load(origins + 3 * line + AXIS)
    position += tl.load(directions + 3 * line + AXIS) * z
    position += tl.load(across + 3 * pose + AXIS) * y
    last = size - 1
    below, above = position < 0, position > last
    outside = tl.where(below, -position, tl.where(above, position - last, 0.0))
    inside = tl.minimum(tl.maximum(position, 0.0), last)
    low = tl.minimum(inside.to(tl.int32), tl.maximum(size - 2, 0))
    high = tl.minimum(low + 1, last)
    slope = tl.where(below | above, 0.0, 1.0).to(real)
    fade_slope = tl.where(outside > 1, 0.0, tl.where(below, 1.0, tl.where(above, -1.0, 0.0))).to(real)
    fade = tl.maximum(1 - outside, 0.0).to(real)
    share = (inside - low).to(real)
    return low.to(tl.int64) * stride, high.to(tl.int64) * stride, share, slope, fade, fade_slope


@triton.jit
@no_type_check
def _mixed(voxel, i, ni, j, nj, k, nk, u, v, w):
    """Trilinear value of one channel and its slopes along i, j and k."""
    g000, g001 = tl.load(voxel + i + j + k), tl.load(voxel + i + j + nk)
    g010, g011 = tl.load(voxel + i + nj + k), tl.load(voxel + i + nj + nk)
    g100, g101 = tl.load(voxel + ni + j + k), tl.load(voxel + ni + j + nk)
    g110, g111 = tl.load(voxel + ni + nj + k), tl.load(voxel + ni + nj + nk)
    a00, a01 = g000 + w * (g001 - g000), g010 + w * (g011 - g010)
    a10, a11 = g100 + w * (g101 - g100), g110 + w * (g111 - g110)
    b0, b1 = a00 + v * (a01 - a00), a10 + v * (a11 - a10)
    slope_k0 = (g001 - g000) + v * ((g011 - g010) - (g001 - g000))
    slope_k1 = (g101 - g100) + v * ((g111 - g110) - (g101 - g100))
    slope_j = (a01 - a00) + u * ((a11 - a10) - (a01 - a00))
    return b0 + u * (b1 - b0), b1 - b0, slope_j, slope_k0 + u * (slope_k1 - slope_k0)


@triton.jit(do_not_specialize=_COUNTS)
@no_type_check
def sample_forward(
    grid,
    origins,
    directions,
    across,
    depths,
    offsets,
    values,
    si,
    sj,
    sk,
    n_lines,
    n_nodes,
    BLOCK: tl.constexpr,
):
    """Fill values (3, B, E, S, N)."""
    real: tl.constexpr = grid.dtype.element_ty
    line, pose, plane, node, exists, z, y = _here(depths, offsets, n_lines, n_nodes, BLOCK)
    i, ni, u, _, fi, _ = _axis(origins, directions, across, line, pose, z, y, si, 3 * sj * sk, real, 0)
    j, nj, v, _, fj, _ = _axis(origins, directions, across, line, pose, z, y, sj, 3 * sk, real, 1)
    k, nk, w, _, fk, _ = _axis(origins, directions, across, line, pose, z, y, sk, 3, real, 2)
    start, channel_stride = _start(line, pose, plane, n_lines, n_nodes)
    for channel in tl.static_range(3):
        value, _, _, _ = _mixed(grid + channel, i, ni, j, nj, k, nk, u, v, w)
        if channel == 2:
            value *= fi * fj * fk
        tl.store(values + channel * channel_stride + start + node, value, mask=exists)


@triton.jit(do_not_specialize=_COUNTS)
@no_type_check
def sample_position_adjoint(
    grid,
    origins,
    directions,
    across,
    depths,
    offsets,
    bars,
    line_bar,
    node_bar,
    si,
    sj,
    sk,
    n_lines,
    n_nodes,
    WANTS_NODES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients to the positions, in float64.

    ``line_bar`` (B S, E, blocks, 9) holds sums over each block of nodes of the gradients to origin, direction
    and across; ``node_bar`` (B S, E, N, 2) those to depths and offsets, where wanted.
    """
    real: tl.constexpr = grid.dtype.element_ty
    line, pose, plane, node, exists, z, y = _here(depths, offsets, n_lines, n_nodes, BLOCK)
    i, ni, u, si_, fi, gi = _axis(origins, directions, across, line, pose, z, y, si, 3 * sj * sk, real, 0)
    j, nj, v, sj_, fj, gj = _axis(origins, directions, across, line, pose, z, y, sj, 3 * sk, real, 1)
    k, nk, w, sk_, fk, gk = _axis(origins, directions, across, line, pose, z, y, sk, 3, real, 2)
    start, channel_stride = _start(line, pose, plane, n_lines, n_nodes)
    pi, pj, pk = 0.0, 0.0, 0.0
    for channel in tl.static_range(3):
        value, di, dj, dk = _mixed(grid + channel, i, ni, j, nj, k, nk, u, v, w)
        bar = tl.load(bars + channel * channel_stride + start + node, mask=exists, other=0.0)
        if channel == 2:
            pi += bar * value * gi * fj * fk
            pj += bar * value * fi * gj * fk
            pk += bar * value * fi * fj * gk
            bar *= fi * fj * fk
        pi += bar * di * si_
        pj += bar * dj * sj_
        pk += bar * dk * sk_
    pi, pj, pk = pi.to(tl.float64), pj.to(tl.float64), pk.to(tl.float64)
    block = (line * tl.num_programs(2) + plane) * tl.num_programs(1) + tl.program_id(1)
    _store_sums(line_bar + 9 * block, pi, pj, pk)
    _store_sums(line_bar + 9 * block + 3, pi * z, pj * z, pk * z)
    _store_sums(line_bar + 9 * block + 6, pi * y, pj * y, pk * y)
    if WANTS_NODES:
        at = node_bar + 2 * ((line * tl.num_programs(2) + plane) * n_nodes + node)
        tl.store(at, _dot(pi, pj, pk, directions + 3 * line), mask=exists)
        tl.store(at + 1, _dot(pi, pj, pk, across + 3 * pose), mask=exists)


@triton.jit
@no_type_check
def _store_sums(at, pi, pj, pk):
    tl.store(at, tl.sum(pi, axis=0))
    tl.store(at + 1, tl.sum(pj, axis=0))
    tl.store(at + 2, tl.sum(pk, axis=0))


@triton.jit
@no_type_check
def _dot(pi, pj, pk, vector):
    return pi * tl.load(vector) + pj * tl.load(vector + 1) + pk * tl.load(vector + 2)


@triton.jit(do_not_specialize=_COUNTS)
@no_type_check
def sample_grid_adjoint(
    origins,
    directions,
    across,
    depths,
    offsets,
    bars,
    grid_bar,
    si,
    sj,
    sk,
    n_lines,
    n_nodes,
    BLOCK: tl.constexpr,
):
    """Gradient to the grid, added atomically in no fixed order: its last digits vary between runs."""
    real: tl.constexpr = grid_bar.dtype.element_ty
    line, pose, plane, node, exists, z, y = _here(depths, offsets, n_lines, n_nodes, BLOCK)
    i, ni, u, _, fi, _ = _axis(origins, directions, across, line, pose, z, y, si, 3 * sj * sk, real, 0)
    j, nj, v, _, fj, _ = _axis(origins, directions, across, line, pose, z, y, sj, 3 * sk, real, 1)
    k, nk, w, _, fk, _ = _axis(origins, directions, across, line, pose, z, y, sk, 3, real, 2)
    start, channel_stride = _start(line, pose, plane, n_lines, n_nodes)
    for channel in tl.static_range(3):
        bar = tl.load(bars + channel * channel_stride + start + node, mask=exists, other=0.0)
        if channel == 2:
            bar *= fi * fj * fk
        voxel = grid_bar + channel
        near, far = bar * (1 - u), bar * u
        _add_pair(voxel + i + j, k, nk, near * (1 - v), w, exists)
        _add_pair(voxel + i + nj, k, nk, near * v, w, exists)
        _add_pair(voxel + ni + j, k, nk, far * (1 - v), w, exists)
        _add_pair(voxel + ni + nj, k, nk, far * v, w, exists)


@triton.jit
@no_type_check
def _add_pair(column, k, nk, bar, w, exists):
    tl.atomic_add(column + k, bar * (1 - w), mask=exists, sem="relaxed")
    tl.atomic_add(column + nk, bar * w, mask=exists, sem="relaxed")
