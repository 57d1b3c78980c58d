"""From scanlines to blocks of the lattice and back: packing, coefficients, gradients, in Numba.

A block is one vector of scanlines; the last one is filled up by repeating the last scanline.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from diffus.kernels import compiled
from diffus.propagation._numba import FIRST, MARGIN, aligned_zeros, march, march_back
from diffus.propagation._numba_scaled import lets_through, march_back_scaled, scaled_coefficients
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
from diffus.propagation.checkpoints import CELL_STEPS

_TILE = 16
"""Samples that are moved of one scanline before the next: a cache line of each."""


@compiled
@no_type_check
def packed(lines, block, lanes):
    """A block of scanlines (B, size) as vectors, sample after sample."""
    n_lines, size = lines.shape
    columns = aligned_zeros(lines, size * lanes)
    for start in range(0, size, _TILE):
        for lane in range(lanes):
            line = min(block * lanes + lane, n_lines - 1)
            for k in range(start, min(start + _TILE, size)):
                columns[k * lanes + lane] = lines[line, k]
    return columns


@compiled
@no_type_check
def unpack(columns, lines, block, lanes):
    """The way back: fill the scanlines of a block."""
    n_lines, size = lines.shape
    for start in range(0, size, _TILE):
        for lane in range(min(lanes, n_lines - block * lanes)):
            for k in range(start, min(start + _TILE, size)):
                lines[block * lanes + lane, k] = columns[k * lanes + lane]


@compiled
@no_type_check
def _coefficients(impedance, both_ways, face, floor, lanes):
    """R and P of each place, and what the gradients need of each interface: s, r / s and Q.

    Below the depth where Q falls under ``floor`` the medium is cut: r is 0 and Q stays what it was.
    """
    n = impedance.size // lanes - 1
    up, down = aligned_zeros(impedance, (n + MARGIN) * lanes), aligned_zeros(impedance, (n + MARGIN) * lanes)
    s, ratio, reach = np.empty_like(impedance), np.empty_like(impedance), np.empty_like(impedance)
    roots = np.sqrt(impedance)
    left = np.ones(lanes, impedance.dtype)
    half, two = impedance.dtype.type(0.5), impedance.dtype.type(2)
    nothing, one = impedance.dtype.type(0), impedance.dtype.type(1)
    for lane in range(lanes):
        down[(FIRST - 1) * lanes + lane] = -half * face
    for k in range(n):
        at = (FIRST + k) * lanes
        for lane in range(lanes):
            i = k * lanes + lane
            above, below = impedance[i], impedance[i + lanes]
            total = above + below
            through = two * roots[i] * roots[i + lanes] / total
            q = left[lane]
            if both_ways.size > 0:
                q *= both_ways[i]
            heard = one if q >= floor else nothing
            q = max(q, floor)
            r = heard * (below - above) / total
            left[lane] = q
            up[at + lane] = r * q
            down[at + lane] = r / ((one + through) * q)
            s[i], ratio[i], reach[i] = through, r / through, q
    return up, down, s, ratio, reach


@compiled
@no_type_check
def forward_blocks(impedance, both_ways, face, floor, echoes, left_up, left_down, checkpoints, every, blocks):
    """Echoes of some blocks of scanlines.

    Args:
        impedance: (B, N + 1).
        both_ways: (B, N), square of the loss of each layer; no rows where nothing is lost.
        face: face reflection.
        floor: two-way loss under which nothing is heard.
        echoes: (B, T), filled.
        left_up: (blocks, T' * lanes), filled where it has rows: the echoes of blocks, T' being a multiple of
            ``CELL_STEPS``.
        left_down: (blocks, T' * lanes), filled where it has rows: what left the lattice downwards.
        checkpoints: (blocks, size), filled where it is not empty; see `march`.
        every: times between two checkpoints.
        blocks: first and last of the blocks, as a half-open interval.
    """
    n_times = echoes.shape[1]
    n = impedance.shape[1] - 1
    lanes = LINE_BYTES // impedance.itemsize
    padded = -(-n_times // CELL_STEPS) * CELL_STEPS
    for block in range(blocks[0], blocks[1]):
        columns = packed(impedance, block, lanes)
        passes = packed(both_ways, block, lanes) if both_ways.shape[0] > 0 else columns[:0]
        up, down, _s, _ratio, _reach = _coefficients(columns, passes, face, floor, lanes)
        keep = left_up.shape[0] > 0
        received = left_up[block] if keep else aligned_zeros(up, padded * lanes)
        exits = left_down[block] if keep else aligned_zeros(up, padded * lanes)
        march(up, down, n, padded, received, exits, checkpoints[block if keep else 0], every)
        unpack(received, echoes, block, lanes)


@compiled
@no_type_check
def backward_blocks(
    impedance, both_ways, face, floor, echoes_bar, left_up, left_down, checkpoints, every, bars, blocks
):
    """Gradients of some blocks of scanlines, from what `forward_blocks` kept.

    With S1 and S2 the sums of `march_back`, the gradient to the angle of interface k is ``Q S1 - S2 / Q``,
    and a unit of half the logarithm of the ratio of its impedances turns it by s. The product of field and
    adjoint is conserved across an interface, and nothing of the adjoint comes from below the last: so
    ``flux_k = flux_{k+1} + (r / s) (Q S1 + S2 / Q)`` is what layer k hands up of it, the gradient to the
    logarithm of its two-way loss.

    ``echoes_bar`` (B, T) is the gradient to the echoes. ``bars`` are filled: the gradients to the impedance
    (B, N + 1), to the logarithm of the two-way loss (B, N) if that has rows, to the face reflection (B,). The
    other arguments are those of `forward_blocks`.
    """
    impedance_bar, flux_bar, face_bar = bars
    n_lines, n_times = echoes_bar.shape
    n = impedance.shape[1] - 1
    lanes = LINE_BYTES // impedance.itemsize
    padded = -(-n_times // CELL_STEPS) * CELL_STEPS
    for block in range(blocks[0], blocks[1]):
        columns = packed(impedance, block, lanes)
        passes = packed(both_ways, block, lanes) if both_ways.shape[0] > 0 else columns[:0]
        up, down, s, ratio, reach = _coefficients(columns, passes, face, floor, lanes)
        bar = aligned_zeros(up, padded * lanes)
        bar[: n_times * lanes] = packed(echoes_bar, block, lanes)
        down_up, up_down = aligned_zeros(up, up.size), aligned_zeros(up, up.size)
        kept = left_up[block], left_down[block], bar, checkpoints[block]
        if lets_through(s, reach, lanes):
            scaled = scaled_coefficients(s, ratio, reach, face, lanes)
            march_back_scaled(scaled, n, padded, *kept, every, down_up, up_down)
            for i in range(n * lanes):
                down_up[FIRST * lanes + i] /= s[i]
                up_down[FIRST * lanes + i] /= s[i]
        else:
            march_back(up, down, n, padded, *kept, every, down_up, up_down)
        _to_medium(columns, s, ratio, reach, down_up, up_down)
        unpack(columns, impedance_bar, block, lanes)
        if flux_bar.shape[0] > 0:
            unpack(ratio, flux_bar, block, lanes)
        for lane in range(min(lanes, n_lines - block * lanes)):
            face_bar[block * lanes + lane] = up_down[(FIRST - 1) * lanes + lane]


@compiled
@no_type_check
def _to_medium(columns, s, ratio, reach, down_up, up_down):
    """Turn impedances into the gradient to them, and r / s into that to the logarithm of the two-way loss."""
    one, half = spread(columns, 1.0), spread(columns, 0.5)
    flux = turned = spread(columns, 0.0)
    for k in range(columns.size * columns.itemsize // LINE_BYTES - 2, -1, -1):
        q = load(reach, k)
        from_above = multiply(q, load(down_up, FIRST + k))
        from_below = divide(load(up_down, FIRST + k), q)
        flux = add_product(load(ratio, k), add_product(one, from_above, from_below), flux)
        store(ratio, k, flux)
        below, turned = (
            turned,
            multiply(multiply(half, load(s, k)), subtract_product(one, from_below, from_above)),
        )
        store(columns, k + 1, divide(subtract_product(one, below, turned), load(columns, k + 1)))
    store(columns, 0, divide(subtract_product(one, turned, spread(columns, 0.0)), load(columns, 0)))
