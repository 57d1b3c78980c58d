"""The three maps of a medium along scanlines, in one pass: positions, eight corners and the fade at the
border.

Nothing is stored but the results: a position is formed where it is used, ``o + d z_k + a y_ek``, in float64.
The adjoint forms it again.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from diffus._numba_corners import interpolated, slopes
from diffus.kernels import compiled


@njit(inline="always")
@no_type_check
def _corner(position, size):
    """Lower corner along one axis, share of the upper one, and fade."""
    last = float(size - 1)
    inside = min(max(position, 0.0), last)
    low = min(int(inside), max(size - 2, 0))
    return low, inside - low, max(1.0 - max(-position, position - last, 0.0), 0.0)


@njit(inline="always")
@no_type_check
def _steps(grid):
    """How far the next voxel along each axis lies in the flat grid; 0 along an axis of one voxel."""
    _, sj, sk, channels = grid.shape
    step_i = sj * sk * channels if grid.shape[0] > 1 else 0
    return step_i, sk * channels if sj > 1 else 0, channels if sk > 1 else 0


@njit(inline="always")
@no_type_check
def _axis(origin, direction, across, depths, offsets, size, stride, first, share, fade):
    """Along one axis: add the place of the lower corner to ``first``, set the share, multiply the fade."""
    last, lowest = float(size - 1), float(max(size - 2, 0))
    for n in range(len(depths)):
        position = origin + direction * depths[n] + across * offsets[n]
        inside = min(max(position, 0.0), last)
        low = np.int64(min(inside, lowest))
        first[n] += low * stride
        share[n] = inside - low
        fade[n] *= max(1.0 - max(-position, position - last, 0.0), 0.0)


@njit(inline="always")
@no_type_check
def _axis_slopes(origin, direction, across, depths, offsets, size, stride, first, share, free, fade, turn):
    """As `_axis`, with the fade of this axis alone, and the slopes of share and fade in the position."""
    last, lowest = float(size - 1), float(max(size - 2, 0))
    for n in range(len(depths)):
        position = origin + direction * depths[n] + across * offsets[n]
        inside = min(max(position, 0.0), last)
        low = np.int64(min(inside, lowest))
        first[n] += low * stride
        share[n] = inside - low
        free[n] = 1.0 if inside == position else 0.0
    for n in range(len(depths)):
        position = origin + direction * depths[n] + across * offsets[n]
        left = 1.0 - max(-position, position - last, 0.0)
        fade[n] = max(left, 0.0)
        turn[n] = ((position < 0.0) * 1.0 - (position > last) * 1.0) if left >= 0.0 else 0.0


@compiled
@no_type_check
def sample_forward(grid, origins, directions, across, depths, offsets, values, seen, lines):
    """Fill the three maps of ``values``, (B, E, S, N) each, for some of the B x S scanlines.

    ``seen`` (B, S) is set where a node lies within the grid.
    """
    real = grid.dtype.type
    si, sj, sk = grid.shape[0], grid.shape[1], grid.shape[2]
    flat = grid.reshape(grid.size)
    step_i, step_j, step_k = _steps(grid)
    n_planes, n_lines, n_nodes = offsets.shape[0], origins.shape[1], depths.size
    first = np.empty(n_nodes, np.int64)
    u, v, w, fade = np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes), np.empty(n_nodes)
    for line in range(lines[0], lines[1]):
        b, s = line // n_lines, line % n_lines
        o, d, a = origins[b, s], directions[b, s], across[b]
        most = 0.0
        for e in range(n_planes):
            first[:] = 0
            fade[:] = 1.0
            _axis(o[0], d[0], a[0], depths, offsets[e], si, sj * sk * 3, first, u, fade)
            _axis(o[1], d[1], a[1], depths, offsets[e], sj, sk * 3, first, v, fade)
            _axis(o[2], d[2], a[2], depths, offsets[e], sk, 3, first, w, fade)
            impedance, attenuation, backscatter = values[0][b, e, s], values[1][b, e, s], values[2][b, e, s]
            for n in range(n_nodes):
                impedance[n], attenuation[n], scatters = interpolated(
                    flat, first[n], step_i, step_j, step_k, real(u[n]), real(v[n]), real(w[n])
                )
                backscatter[n] = scatters * real(fade[n])
                most = max(most, fade[n])
        seen[b, s] = most == 1.0


@compiled
@no_type_check
def sample_position_adjoint(grid, origins, directions, across, depths, offsets, bars, out, lines):
    """Gradients to the positions, from those to the three maps, into ``out``.

    They are (B, S, 3) to origins, directions and across, the last to be summed over scanlines, and
    (B S, E, N, 2) to depths and offsets, to be summed over scanlines; without rows where not wanted.
    """
    origin_bar, direction_bar, across_bar, node_bar = out
    real = grid.dtype.type
    si, sj, sk = grid.shape[0], grid.shape[1], grid.shape[2]
    flat = grid.reshape(grid.size)
    step_i, step_j, step_k = _steps(grid)
    n_planes, n_lines, n_nodes = offsets.shape[0], origins.shape[1], depths.size
    wants_nodes = node_bar.shape[0] > 0
    first = np.empty(n_nodes, np.int64)
    room = np.empty((12, n_nodes))
    u, free_i, fade_i, turn_i, v, free_j, fade_j, turn_j, w, free_k, fade_k, turn_k = room
    for line in range(lines[0], lines[1]):
        b, s = line // n_lines, line % n_lines
        o, d, a = origins[b, s], directions[b, s], across[b]
        o0 = o1 = o2 = d0 = d1 = d2 = a0 = a1 = a2 = 0.0
        for e in range(n_planes):
            first[:] = 0
            y = offsets[e]
            _axis_slopes(o[0], d[0], a[0], depths, y, si, sj * sk * 3, first, u, free_i, fade_i, turn_i)
            _axis_slopes(o[1], d[1], a[1], depths, y, sj, sk * 3, first, v, free_j, fade_j, turn_j)
            _axis_slopes(o[2], d[2], a[2], depths, y, sk, 3, first, w, free_k, fade_k, turn_k)
            bar_0, bar_1, bar_2 = bars[0][b, e, s], bars[1][b, e, s], bars[2][b, e, s]
            for n in range(n_nodes):
                fi, fj, fk = fade_i[n], fade_j[n], fade_k[n]
                pi, pj, pk, scatters = slopes(
                    flat,
                    first[n],
                    step_i,
                    step_j,
                    step_k,
                    real(u[n]),
                    real(v[n]),
                    real(w[n]),
                    bar_0[n],
                    bar_1[n],
                    real(bar_2[n] * (fi * fj * fk)),
                )
                faded = float(bar_2[n] * scatters)
                p0 = pi * free_i[n] + faded * (turn_i[n] * fj * fk)
                p1 = pj * free_j[n] + faded * (fi * turn_j[n] * fk)
                p2 = pk * free_k[n] + faded * (fi * fj * turn_k[n])
                z = depths[n]
                o0, o1, o2 = o0 + p0, o1 + p1, o2 + p2
                d0, d1, d2 = d0 + p0 * z, d1 + p1 * z, d2 + p2 * z
                a0, a1, a2 = a0 + p0 * y[n], a1 + p1 * y[n], a2 + p2 * y[n]
                if wants_nodes:
                    node_bar[line, e, n, 0] = p0 * d[0] + p1 * d[1] + p2 * d[2]
                    node_bar[line, e, n, 1] = p0 * a[0] + p1 * a[1] + p2 * a[2]
        origin_bar[b, s, 0], origin_bar[b, s, 1], origin_bar[b, s, 2] = o0, o1, o2
        direction_bar[b, s, 0], direction_bar[b, s, 1], direction_bar[b, s, 2] = d0, d1, d2
        across_bar[b, s, 0], across_bar[b, s, 1], across_bar[b, s, 2] = a0, a1, a2


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
                i, u, fi = _corner(o[0] + d[0] * z + a[0] * y, si)
                j, v, fj = _corner(o[1] + d[1] * z + a[1] * y, sj)
                k, w, fk = _corner(o[2] + d[2] * z + a[2] * y, sk)
                ni, nj, nk = min(i + 1, si - 1), min(j + 1, sj - 1), min(k + 1, sk - 1)
                for c in range(3):
                    bar = float(bars[c][b, e, s, n])
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
