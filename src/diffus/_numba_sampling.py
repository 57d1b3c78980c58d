"""The three maps of a medium along scanlines, in one pass: positions, eight corners and the fade at the
border.

Nothing is stored but the results: a position is formed where it is used, ``o + d z_k + a y_ek``, in float64.
The adjoint forms it again.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from diffus.kernels import compiled


@njit(inline="always")
@no_type_check
def _corner(position, size):
    """Lower corner along one axis, share of the upper one, fade, and their slopes (0 where clamped)."""
    last = size - 1
    fade, fade_slope, slope = 1.0, 0.0, 1.0
    if position < 0:
        fade, fade_slope, slope = 1 + position, 1.0, 0.0
        position = 0.0
    elif position > last:
        fade, fade_slope, slope = 1 - (position - last), -1.0, 0.0
        position = float(last)
    if fade < 0:
        fade, fade_slope = 0.0, 0.0
    low = min(int(position), max(size - 2, 0))
    return low, position - low, slope, fade, fade_slope


@njit(inline="always")
@no_type_check
def _lerp3(grid, i, j, k, u, v, w, ni, nj, nk, c):
    """Trilinear value of one channel and its slopes along i, j and k."""
    g000, g001 = grid[i, j, k, c], grid[i, j, nk, c]
    g010, g011 = grid[i, nj, k, c], grid[i, nj, nk, c]
    g100, g101 = grid[ni, j, k, c], grid[ni, j, nk, c]
    g110, g111 = grid[ni, nj, k, c], grid[ni, nj, nk, c]
    a00, a01 = g000 + w * (g001 - g000), g010 + w * (g011 - g010)
    a10, a11 = g100 + w * (g101 - g100), g110 + w * (g111 - g110)
    b0, b1 = a00 + v * (a01 - a00), a10 + v * (a11 - a10)
    slope_k0 = (g001 - g000) + v * ((g011 - g010) - (g001 - g000))
    slope_k1 = (g101 - g100) + v * ((g111 - g110) - (g101 - g100))
    slope_j = (a01 - a00) + u * ((a11 - a10) - (a01 - a00))
    return b0 + u * (b1 - b0), b1 - b0, slope_j, slope_k0 + u * (slope_k1 - slope_k0)


@compiled
@no_type_check
def sample_forward(grid, origins, directions, across, depths, offsets, values, lines):
    """Fill values (3, B, E, S, N) for some of the B x S scanlines."""
    real = grid.dtype.type
    si, sj, sk = grid.shape[0], grid.shape[1], grid.shape[2]
    n_planes, n_lines, n_nodes = offsets.shape[0], origins.shape[1], depths.size
    for line in range(lines[0], lines[1]):
        b, s = line // n_lines, line % n_lines
        o, d, a = origins[b, s], directions[b, s], across[b]
        for e in range(n_planes):
            for n in range(n_nodes):
                z, y = depths[n], offsets[e, n]
                i, u, _, fi, _ = _corner(o[0] + d[0] * z + a[0] * y, si)
                j, v, _, fj, _ = _corner(o[1] + d[1] * z + a[1] * y, sj)
                k, w, _, fk, _ = _corner(o[2] + d[2] * z + a[2] * y, sk)
                ni, nj, nk = min(i + 1, si - 1), min(j + 1, sj - 1), min(k + 1, sk - 1)
                for c in range(3):
                    value = _lerp3(grid, i, j, k, real(u), real(v), real(w), ni, nj, nk, c)[0]
                    values[c, b, e, s, n] = value * real(fi * fj * fk) if c == 2 else value


@compiled
@no_type_check
def sample_position_adjoint(grid, origins, directions, across, depths, offsets, bars, out, lines):
    """Gradients to the positions, into ``out``.

    These are (B, S, 3) to origins, directions and across, the last to be summed over scanlines, and
    (B S, E, N, 2) to depths and offsets, to be summed over scanlines; without rows where not wanted.
    """
    origin_bar, direction_bar, across_bar, node_bar = out
    si, sj, sk = grid.shape[0], grid.shape[1], grid.shape[2]
    n_planes, n_lines, n_nodes = offsets.shape[0], origins.shape[1], depths.size
    wants_nodes = node_bar.shape[0] > 0
    p = np.zeros(3)
    for line in range(lines[0], lines[1]):
        b, s = line // n_lines, line % n_lines
        o, d, a = origins[b, s], directions[b, s], across[b]
        for e in range(n_planes):
            for n in range(n_nodes):
                z, y = depths[n], offsets[e, n]
                i, u, si_, fi, gi = _corner(o[0] + d[0] * z + a[0] * y, si)
                j, v, sj_, fj, gj = _corner(o[1] + d[1] * z + a[1] * y, sj)
                k, w, sk_, fk, gk = _corner(o[2] + d[2] * z + a[2] * y, sk)
                ni, nj, nk = min(i + 1, si - 1), min(j + 1, sj - 1), min(k + 1, sk - 1)
                p[0], p[1], p[2] = 0.0, 0.0, 0.0
                for c in range(3):
                    value, di, dj, dk = _lerp3(grid, i, j, k, u, v, w, ni, nj, nk, c)
                    bar = bars[c, b, e, s, n]
                    if c == 2:
                        p[0] += bar * value * gi * fj * fk
                        p[1] += bar * value * fi * gj * fk
                        p[2] += bar * value * fi * fj * gk
                        bar *= fi * fj * fk
                    p[0] += bar * di * si_
                    p[1] += bar * dj * sj_
                    p[2] += bar * dk * sk_
                for axis in range(3):
                    origin_bar[b, s, axis] += p[axis]
                    direction_bar[b, s, axis] += p[axis] * z
                    across_bar[b, s, axis] += p[axis] * y
                if wants_nodes:
                    node_bar[line, e, n, 0] = p[0] * d[0] + p[1] * d[1] + p[2] * d[2]
                    node_bar[line, e, n, 1] = p[0] * a[0] + p[1] * a[1] + p[2] * a[2]


@compiled
@no_type_check
def sample_grid_adjoint(origins, directions, across, depths, offsets, bars, grid_bar, lines):
    """Gradient to the grid. Scanlines share voxels: one thread, always in the same order."""
    si, sj, sk = grid_bar.shape[0], grid_bar.shape[1], grid_bar.shape[2]
    n_planes, n_lines, n_nodes = offsets.shape[0], origins.shape[1], depths.size
    for line in range(lines[0], lines[1]):
        b, s = line // n_lines, line % n_lines
        o, d, a = origins[b, s], directions[b, s], across[b]
        for e in range(n_planes):
            for n in range(n_nodes):
                z, y = depths[n], offsets[e, n]
                i, u, _, fi, _ = _corner(o[0] + d[0] * z + a[0] * y, si)
                j, v, _, fj, _ = _corner(o[1] + d[1] * z + a[1] * y, sj)
                k, w, _, fk, _ = _corner(o[2] + d[2] * z + a[2] * y, sk)
                ni, nj, nk = min(i + 1, si - 1), min(j + 1, sj - 1), min(k + 1, sk - 1)
                for c in range(3):
                    bar = bars[c, b, e, s, n]
                    if c == 2:
                        bar *= fi * fj * fk
                    near, far = bar * (1 - u), bar * u
                    grid_bar[i, j, k, c] += near * (1 - v) * (1 - w)
                    grid_bar[i, j, nk, c] += near * (1 - v) * w
                    grid_bar[i, nj, k, c] += near * v * (1 - w)
                    grid_bar[i, nj, nk, c] += near * v * w
                    grid_bar[ni, j, k, c] += far * (1 - v) * (1 - w)
                    grid_bar[ni, j, nk, c] += far * (1 - v) * w
                    grid_bar[ni, nj, k, c] += far * v * (1 - w)
                    grid_bar[ni, nj, nk, c] += far * v * w
