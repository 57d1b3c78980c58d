"""The lattice on a CUDA GPU, in Triton: a thread for each scanline, several time steps in flight.

The same cells in the same order as the CPU's (see `_numba`, whose names these are): each thread marches
through its own scanline, so that threads never wait for each other. Arrays are (places, lines), scanlines
side by side in memory. Numbers are carried in the arrays' own dtype.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def _cell(up, down, g, w):
    middle = g - down * w
    d = w + up * middle
    return middle - down * d, d


@triton.jit
@no_type_check
def _undone(up, down, g, d):
    middle = g + down * d
    w = d - up * middle
    return middle + down * w, w


@triton.jit
@no_type_check
def _adjoint(up, down, g_bar, d_bar):
    at_d = d_bar - down * g_bar
    middle = g_bar + up * at_d
    return middle, at_d - down * middle


@triton.jit
@no_type_check
def march(
    up, down, waves, echoes, exits, checkpoints, n_interfaces, n_times, every, n_lines, LANES: tl.constexpr
):
    """Run the lattice forwards in time; ``waves`` is zero at the start. See `_numba.march`.

    ``every`` is 0 where no checkpoint is kept.
    """
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    nothing = tl.zeros((LANES,), up.dtype.element_ty)
    place = 0
    for t in range(0, n_times, 8):
        if every > 0 and t > 0 and t % every == 0:
            kept = tl.minimum(n_interfaces, n_times - t)
            for k in range(kept):
                tl.store(
                    checkpoints + (place + k) * n_lines + lane, tl.load(waves + (9 + k) * n_lines + lane)
                )
            place += kept
        g0 = nothing + tl.where(t == 0, 1.0, 0.0).to(up.dtype.element_ty)
        g1, g2, g3, g4, g5, g6, g7 = nothing, nothing, nothing, nothing, nothing, nothing, nothing
        for i in range(tl.minimum(n_interfaces + 7, n_times - t) + 1):
            at = i * n_lines + lane
            w = tl.load(waves + at + 8 * n_lines)
            g0, w = _cell(tl.load(up + at + 7 * n_lines), tl.load(down + at + 7 * n_lines), g0, w)
            g1, w = _cell(tl.load(up + at + 6 * n_lines), tl.load(down + at + 6 * n_lines), g1, w)
            g2, w = _cell(tl.load(up + at + 5 * n_lines), tl.load(down + at + 5 * n_lines), g2, w)
            g3, w = _cell(tl.load(up + at + 4 * n_lines), tl.load(down + at + 4 * n_lines), g3, w)
            g4, w = _cell(tl.load(up + at + 3 * n_lines), tl.load(down + at + 3 * n_lines), g4, w)
            g5, w = _cell(tl.load(up + at + 2 * n_lines), tl.load(down + at + 2 * n_lines), g5, w)
            g6, w = _cell(tl.load(up + at + n_lines), tl.load(down + at + n_lines), g6, w)
            g7, w = _cell(tl.load(up + at), tl.load(down + at), g7, w)
            tl.store(waves + at, w)
        for step in range(8):
            tl.store(echoes + (t + step) * n_lines + lane, tl.load(waves + (step + 1) * n_lines + lane))
        left = exits + t * n_lines + lane
        tl.store(left, g0)
        tl.store(left + n_lines, g1)
        tl.store(left + 2 * n_lines, g2)
        tl.store(left + 3 * n_lines, g3)
        tl.store(left + 4 * n_lines, g4)
        tl.store(left + 5 * n_lines, g5)
        tl.store(left + 6 * n_lines, g6)
        tl.store(left + 7 * n_lines, g7)


@triton.jit
@no_type_check
def march_back(
    up,
    down,
    waves,
    waves_bar,
    echoes,
    exits,
    echoes_bar,
    checkpoints,
    down_up,
    up_down,
    n_interfaces,
    n_times,
    every,
    n_kept,
    n_lines,
    LANES: tl.constexpr,
):
    """Run the lattice backwards in time, and its adjoint with it. See `_numba.march_back`.

    ``waves``, ``waves_bar``, ``down_up`` and ``up_down`` are zero at the start; ``n_kept`` is the number of
    rows of the checkpoints.
    """
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    nothing = tl.zeros((LANES,), up.dtype.element_ty)
    place = n_kept
    for back in range(0, n_times, 4):
        t = n_times - 4 - back
        reach = tl.minimum(n_interfaces + 3, n_times - t)
        left = exits + t * n_lines + lane
        g0, g1 = tl.load(left), tl.load(left + n_lines)
        g2, g3 = tl.load(left + 2 * n_lines), tl.load(left + 3 * n_lines)
        h0, h1, h2, h3 = nothing, nothing, nothing, nothing
        heard = echoes + t * n_lines + lane
        tl.store(waves + 4 * n_lines + lane, tl.load(heard - n_lines, mask=lane < t * n_lines, other=0.0))
        for step in range(4):
            tl.store(waves + (step + 5) * n_lines + lane, tl.load(heard + step * n_lines))
        bar = echoes_bar + t * n_lines + lane
        for step in range(3):
            tl.store(waves_bar + (step + 5) * n_lines + lane, tl.load(bar + step * n_lines))
        again = waves_bar + 8 * n_lines + lane
        tl.store(again, tl.load(again) + tl.load(bar + 3 * n_lines))
        last = (reach + 5) * n_lines + lane
        a1, a2, a3 = (
            tl.load(down_up + last + 2 * n_lines),
            tl.load(down_up + last + n_lines),
            tl.load(down_up + last),
        )
        b1, b2, b3 = (
            tl.load(up_down + last + 2 * n_lines),
            tl.load(up_down + last + n_lines),
            tl.load(up_down + last),
        )
        for above in range(reach + 1):
            at = (reach - above + 4) * n_lines + lane
            w, v = tl.load(waves + at), tl.load(waves_bar + at)
            r, p = tl.load(up + at), tl.load(down + at)
            next_a3, next_b3 = tl.load(down_up + at) + v * g3, tl.load(up_down + at) + h3 * w
            g3, w = _undone(r, p, g3, w)
            h3, v = _adjoint(r, p, h3, v)
            r, p = tl.load(up + at + n_lines), tl.load(down + at + n_lines)
            next_a2, next_b2 = a3 + v * g2, b3 + h2 * w
            g2, w = _undone(r, p, g2, w)
            h2, v = _adjoint(r, p, h2, v)
            r, p = tl.load(up + at + 2 * n_lines), tl.load(down + at + 2 * n_lines)
            next_a1, next_b1 = a2 + v * g1, b2 + h1 * w
            g1, w = _undone(r, p, g1, w)
            h1, v = _adjoint(r, p, h1, v)
            r, p = tl.load(up + at + 3 * n_lines), tl.load(down + at + 3 * n_lines)
            tl.store(down_up + at + 3 * n_lines, a1 + v * g0)
            tl.store(up_down + at + 3 * n_lines, b1 + h0 * w)
            g0, w = _undone(r, p, g0, w)
            h0, v = _adjoint(r, p, h0, v)
            tl.store(waves + at + 4 * n_lines, w)
            tl.store(waves_bar + at + 4 * n_lines, v)
            a1, a2, a3, b1, b2, b3 = next_a1, next_a2, next_a3, next_b1, next_b2, next_b3
        if every > 0 and t > 0 and t % every == 0:
            kept = tl.minimum(n_interfaces, n_times - t)
            place -= kept
            for k in range(kept):
                tl.store(
                    waves + (9 + k) * n_lines + lane, tl.load(checkpoints + (place + k) * n_lines + lane)
                )
