"""The way back in fewer operations, for media that let enough through: two multiply-adds a cell, not three.

Carrying the wave going down in units of ``1 / c`` and the one going up in units of c, c being the product of
s over the interfaces above, leaves of the cell's inverse and of its adjoint

    g = g' + a d       w = d - b g'

with ``a = r c^2 / Q`` and ``b = r Q / c'^2`` for the inverse, and with 1 / Q for Q in the adjoint, where c'
is c below the interface. The price is range: c and Q both must stay well above the smallest number. See
`_numba` for the rest.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from diffus.kernels import compiled
from diffus.propagation._numba import FIRST, MARGIN, aligned_zeros
from diffus.propagation._simd import (
    LINE_BYTES,
    add_product,
    divide,
    load,
    multiply,
    spread,
    store,
    subtract_product,
)

LEAST = 1e-9
"""Least transmitted power and least two-way loss of any depth for which the scaling is used."""


@compiled
@no_type_check
def lets_through(s, reach, lanes):
    """Whether every scanline of a block keeps both ``c^2`` and Q above ``LEAST`` down to its end."""
    power = np.ones(lanes, s.dtype)
    for k in range(reach.size // lanes - 1):
        for lane in range(lanes):
            power[lane] *= s[k * lanes + lane] * s[k * lanes + lane]
    last = reach.size - 2 * lanes
    return min(power.min(), reach[last : last + lanes].min()) > LEAST


@compiled
@no_type_check
def scaled_coefficients(s, ratio, reach, face, lanes):
    """A and b of the inverse, a and b of the adjoint at each place, c below each place, in units as above."""
    n = s.size // lanes - 1
    size = (n + MARGIN) * lanes
    inverse_a, inverse_b = aligned_zeros(s, size), aligned_zeros(s, size)
    adjoint_a, adjoint_b = aligned_zeros(s, size), aligned_zeros(s, size)
    scale = aligned_zeros(s, size)
    scale[:] = s.dtype.type(1)
    face_place = (FIRST - 1) * lanes
    for lane in range(lanes):
        inverse_a[face_place + lane] = -face
        adjoint_b[face_place + lane] = -face
    for k in range(n):
        place = FIRST + k
        above, through, q = load(scale, place - 1), load(s, k), load(reach, k)
        below, r = multiply(above, through), multiply(load(ratio, k), through)
        squared_above = multiply(r, multiply(above, above))
        squared_below = divide(r, multiply(below, below))
        store(scale, place, below)
        store(inverse_a, place, divide(squared_above, q))
        store(adjoint_a, place, multiply(squared_above, q))
        store(inverse_b, place, multiply(squared_below, q))
        store(adjoint_b, place, divide(squared_below, q))
    for k in range(n, n + MARGIN - FIRST):
        store(scale, FIRST + k, load(scale, FIRST + k - 1))
    return inverse_a, inverse_b, adjoint_a, adjoint_b, scale


@compiled
@no_type_check
def march_back_scaled(
    coefficients, n_interfaces, n_times, echoes, exits, echoes_bar, checkpoints, every, down_up, up_down
):
    """As `_numba.march_back`; both sums come out s times as large."""
    inverse_a, inverse_b, adjoint_a, adjoint_b, scale = coefficients
    nothing = spread(scale, 0.0)
    waves, waves_bar = aligned_zeros(scale, scale.size), aligned_zeros(scale, scale.size)
    lanes = LINE_BYTES // scale.itemsize
    place = checkpoints.size
    for t in range(n_times - 4, -1, -4):
        reach = min(n_interfaces + 3, n_times - t)
        g0, g1 = multiply(load(exits, t), load(scale, reach + 7)), load(exits, t + 1)
        g1, g2 = multiply(g1, load(scale, reach + 6)), load(exits, t + 2)
        g2, g3 = multiply(g2, load(scale, reach + 5)), load(exits, t + 3)
        g3 = multiply(g3, load(scale, reach + 4))
        h0 = h1 = h2 = h3 = nothing
        store(waves, 4, load(echoes, t - 1) if t > 0 else nothing)
        for step in range(4):
            store(waves, step + 5, load(echoes, t + step))
        for step in range(3):
            store(waves_bar, step + 5, load(echoes_bar, t + step))
        store(waves_bar, 8, add_product(load(echoes_bar, t + 3), spread(scale, 1.0), load(waves_bar, 8)))
        a1, a2, a3 = load(down_up, reach + 7), load(down_up, reach + 6), load(down_up, reach + 5)
        b1, b2, b3 = load(up_down, reach + 7), load(up_down, reach + 6), load(up_down, reach + 5)
        for i in range(reach, -1, -1):
            w, v = load(waves, i + 4), load(waves_bar, i + 4)
            a, b = add_product(v, g3, load(down_up, i + 4)), add_product(h3, w, load(up_down, i + 4))
            g, h = add_product(load(inverse_a, i + 4), w, g3), add_product(load(adjoint_a, i + 4), v, h3)
            w = subtract_product(load(inverse_b, i + 4), g3, w)
            v = subtract_product(load(adjoint_b, i + 4), h3, v)
            g3, h3 = g, h
            a, a3 = add_product(v, g2, a3), a
            b, b3 = add_product(h2, w, b3), b
            g, h = add_product(load(inverse_a, i + 5), w, g2), add_product(load(adjoint_a, i + 5), v, h2)
            w = subtract_product(load(inverse_b, i + 5), g2, w)
            v = subtract_product(load(adjoint_b, i + 5), h2, v)
            g2, h2 = g, h
            a, a2 = add_product(v, g1, a2), a
            b, b2 = add_product(h1, w, b2), b
            g, h = add_product(load(inverse_a, i + 6), w, g1), add_product(load(adjoint_a, i + 6), v, h1)
            w = subtract_product(load(inverse_b, i + 6), g1, w)
            v = subtract_product(load(adjoint_b, i + 6), h1, v)
            g1, h1 = g, h
            store(down_up, i + 7, add_product(v, g0, a1))
            store(up_down, i + 7, add_product(h0, w, b1))
            a1, b1 = a, b
            g, h = add_product(load(inverse_a, i + 7), w, g0), add_product(load(adjoint_a, i + 7), v, h0)
            w = subtract_product(load(inverse_b, i + 7), g0, w)
            v = subtract_product(load(adjoint_b, i + 7), h0, v)
            g0, h0 = g, h
            store(waves, i + 8, w)
            store(waves_bar, i + 8, v)
        if t > 0 and t % every == 0 and checkpoints.size > 0:
            kept = min(n_interfaces, n_times - t) * lanes
            place -= kept
            for i in range(kept):
                waves[(FIRST + 1) * lanes + i] = checkpoints[place + i] / scale[FIRST * lanes + i]
