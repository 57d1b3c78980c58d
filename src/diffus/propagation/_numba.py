"""The lattice on the CPU: a cache line of scanlines side by side, several time steps in flight.

In the cell of interface k a rotation turns the waves g from above and w from below into g' (down) and
d (up), ``g' = s g - r w``, ``d = r g + s w``. Three lifting steps do it (Daubechies and Sweldens 1998), each
one fused multiply-add, with ``p = r / (1 + s)``, the tangent of half the angle:

    m = g - p w        d = w + r m        g' = m - p d

Undoing them in turn undoes the rotation, transposing them gives its adjoint. Losses cost nothing: the wave
going up is carried as what will be left of it at the face, which turns r into ``R = r Q`` and p into
``P = p / Q``, Q being the two-way loss from the face down to the interface. The face is a cell as well, the
one above interface 0, with R = 0 and ``P = -face / 2``: it sends ``g + face w`` down and lets w pass to the
receiver.

A cell needs g of the cell above at the same time and w of the cell below one step earlier. Cells (k, t),
(k - 1, t + 1), ... are done one after the other with w handed over in a register, and each time step in
flight keeps its g in one. Arrays are flat and hold one vector a place; interface k is at place ``FIRST + k``,
with cells that change nothing on either side.

Numba compiles the functions' own code: ``no_type_check`` keeps the tests' shape checks from wrapping them.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from diffus.kernels import compiled
from diffus.propagation._simd import LINE_BYTES, add_product, load, spread, store, subtract_product
from diffus.propagation.checkpoints import CELL_STEPS

FIRST = 8
"""Place of interface 0."""
MARGIN = 16
"""Places in all that are no interface."""


@njit(inline="always")
@no_type_check
def _cell(up, down, g, w):
    middle = subtract_product(down, w, g)
    d = add_product(up, middle, w)
    return subtract_product(down, d, middle), d


@njit(inline="always")
@no_type_check
def _undone(up, down, g, d):
    middle = add_product(down, d, g)
    w = subtract_product(up, middle, d)
    return add_product(down, w, middle), w


@njit(inline="always")
@no_type_check
def _adjoint(up, down, g_bar, d_bar):
    at_d = subtract_product(down, g_bar, d_bar)
    middle = add_product(up, at_d, g_bar)
    return middle, subtract_product(down, middle, at_d)


@compiled
@no_type_check
def aligned_zeros(like, size):
    """A flat array of zeros whose first element begins a cache line."""
    room = np.zeros(size + LINE_BYTES // like.itemsize, like.dtype)
    start = (-room.ctypes.data % LINE_BYTES) // like.itemsize
    return room[start : start + size]


@compiled
@no_type_check
def march(up, down, n_interfaces, n_times, echoes, exits, checkpoints, every):
    """Run the lattice forwards in time.

    Only cells with k + t < n_times are visited: what leaves them downwards cannot be heard any more.

    Args:
        up: R of each place.
        down: P of each place.
        n_interfaces: N.
        n_times: a multiple of ``CELL_STEPS``.
        echoes: filled with what reaches the face at each time.
        exits: filled with what leaves the visited cells downwards at each time.
        checkpoints: filled, where it is not empty, with the waves going up after each ``every`` times, as far
            down as they can still be heard, one after the other.
        every: a multiple of ``CELL_STEPS``.
    """
    nothing = spread(up, 0.0)
    waves = aligned_zeros(up, up.size)
    lanes = LINE_BYTES // up.itemsize
    below_first, place = (FIRST + 1) * lanes, 0
    for t in range(0, n_times, CELL_STEPS):
        if t > 0 and t % every == 0 and checkpoints.size > 0:
            kept = min(n_interfaces, n_times - t) * lanes
            checkpoints[place : place + kept] = waves[below_first : below_first + kept]
            place += kept
        g0 = nothing
        if t == 0:
            g0 = spread(up, 1.0)
        g1 = g2 = g3 = g4 = g5 = g6 = g7 = nothing
        for i in range(min(n_interfaces + 7, n_times - t) + 1):
            w = load(waves, i + 8)
            g0, w = _cell(load(up, i + 7), load(down, i + 7), g0, w)
            g1, w = _cell(load(up, i + 6), load(down, i + 6), g1, w)
            g2, w = _cell(load(up, i + 5), load(down, i + 5), g2, w)
            g3, w = _cell(load(up, i + 4), load(down, i + 4), g3, w)
            g4, w = _cell(load(up, i + 3), load(down, i + 3), g4, w)
            g5, w = _cell(load(up, i + 2), load(down, i + 2), g5, w)
            g6, w = _cell(load(up, i + 1), load(down, i + 1), g6, w)
            g7, w = _cell(load(up, i), load(down, i), g7, w)
            store(waves, i, w)
        for step in range(CELL_STEPS):
            store(echoes, t + step, load(waves, step + 1))
        store(exits, t, g0)
        store(exits, t + 1, g1)
        store(exits, t + 2, g2)
        store(exits, t + 3, g3)
        store(exits, t + 4, g4)
        store(exits, t + 5, g5)
        store(exits, t + 6, g6)
        store(exits, t + 7, g7)


@compiled
@no_type_check
def march_back(
    up, down, n_interfaces, n_times, echoes, exits, echoes_bar, checkpoints, every, down_up, up_down
):
    """Run the lattice backwards in time, and its adjoint with it.

    The waves are found again from what left the lattice, upwards (``echoes``) and downwards (``exits``), so
    that nothing else need be kept. ``down_up[k]`` becomes the sum over time of ``d_bar g'``, ``up_down[k]``
    that of ``g_bar' d``, both behind the cell. Where layers lose energy the way back amplifies rounding by
    their inverse; there the waves going up are set right from a checkpoint in time.
    """
    nothing = spread(up, 0.0)
    waves, waves_bar = aligned_zeros(up, up.size), aligned_zeros(up, up.size)
    lanes = LINE_BYTES // up.itemsize
    below_first, place = (FIRST + 1) * lanes, checkpoints.size
    for t in range(n_times - 4, -1, -4):
        reach = min(n_interfaces + 3, n_times - t)
        g0, g1, g2, g3 = load(exits, t), load(exits, t + 1), load(exits, t + 2), load(exits, t + 3)
        h0 = h1 = h2 = h3 = nothing
        store(waves, 4, load(echoes, t - 1) if t > 0 else nothing)
        for step in range(4):
            store(waves, step + 5, load(echoes, t + step))
        for step in range(3):
            store(waves_bar, step + 5, load(echoes_bar, t + step))
        store(waves_bar, 8, add_product(load(echoes_bar, t + 3), spread(up, 1.0), load(waves_bar, 8)))
        a1, a2, a3 = load(down_up, reach + 7), load(down_up, reach + 6), load(down_up, reach + 5)
        b1, b2, b3 = load(up_down, reach + 7), load(up_down, reach + 6), load(up_down, reach + 5)
        for i in range(reach, -1, -1):
            w, v = load(waves, i + 4), load(waves_bar, i + 4)
            r, p = load(up, i + 4), load(down, i + 4)
            a, b = add_product(v, g3, load(down_up, i + 4)), add_product(h3, w, load(up_down, i + 4))
            g3, w = _undone(r, p, g3, w)
            h3, v = _adjoint(r, p, h3, v)
            r, p = load(up, i + 5), load(down, i + 5)
            a, a3 = add_product(v, g2, a3), a
            b, b3 = add_product(h2, w, b3), b
            g2, w = _undone(r, p, g2, w)
            h2, v = _adjoint(r, p, h2, v)
            r, p = load(up, i + 6), load(down, i + 6)
            a, a2 = add_product(v, g1, a2), a
            b, b2 = add_product(h1, w, b2), b
            g1, w = _undone(r, p, g1, w)
            h1, v = _adjoint(r, p, h1, v)
            r, p = load(up, i + 7), load(down, i + 7)
            store(down_up, i + 7, add_product(v, g0, a1))
            store(up_down, i + 7, add_product(h0, w, b1))
            a1, b1 = a, b
            g0, w = _undone(r, p, g0, w)
            h0, v = _adjoint(r, p, h0, v)
            store(waves, i + 8, w)
            store(waves_bar, i + 8, v)
        if t > 0 and t % every == 0 and checkpoints.size > 0:
            kept = min(n_interfaces, n_times - t) * lanes
            place -= kept
            waves[below_first : below_first + kept] = checkpoints[place : place + kept]
