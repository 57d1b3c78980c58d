"""Sampled speckle on the CPU: each scatterer is made, placed, and added to the few samples that it reaches.

Depth is cut into bands, one for each thread. A band goes through all rows of cells that may reach it, in order,
and adds to a tile of its own: every sample is the sum of the same numbers in the same order whatever the number
of bands. The adjoint gathers instead, each scatterer in the band that it lies in.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging.gain import SILENCE
from diffus.imaging.point_spread import REACH
from diffus.kernels import compiled

_FLOOR = SILENCE**2
_TURN = 2 * math.pi
LINEAR, SECTOR, CIRCLE = 0, 1, 2
"""Kinds of scanlines: parallel, fanning out over less than a circle, all round."""
BLOCK = 4
"""Samples added at a time: with their two parts, eight numbers side by side."""


@njit(inline="always")
@no_type_check
def _word(value):
    return np.uint32(value & 0xFFFFFFFF)


@njit(inline="always")
@no_type_check
def _mixed(x, y, z, w):
    x = np.uint32(x + np.uint32(y * w))
    y = np.uint32(y + np.uint32(z * x))
    z = np.uint32(z + np.uint32(x * y))
    return x, y, z, np.uint32(w + np.uint32(y * z))


@njit(inline="always")
@no_type_check
def _shares(i, j, k, seed):
    """The first 24 bits of the four words of pcg4d as numbers in [0, 1); see `scatterers.hash_cells`."""
    a, c = np.uint32(1664525), np.uint32(1013904223)
    x, y = np.uint32(np.uint32(_word(i) * a) + c), np.uint32(np.uint32(_word(j) * a) + c)
    z, w = np.uint32(np.uint32(_word(k) * a) + c), np.uint32(np.uint32(seed * a) + c)
    x, y, z, w = _mixed(x, y, z, w)
    half, low = np.uint32(16), np.uint32(8)
    x, y, z, w = _mixed(x ^ (x >> half), y ^ (y >> half), z ^ (z >> half), w ^ (w >> half))
    unit = 2.0**-24
    return (
        np.int32(x >> low) * unit, np.int32(y >> low) * unit, np.int32(z >> low) * unit, np.int32(w >> low) * unit
    )  # fmt: skip


@njit(inline="always")
@no_type_check
def _place_row(cell, count, axis, seed, place, row):
    """Fill row (4, at least count) with x, y, z in the probe's frame and the phase of each scatterer."""
    x, y, z, turns = row[0], row[1], row[2], row[3]
    i0, j0, k0 = cell[0], cell[1], cell[2]
    di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
    a0, a1, a2, a3 = place[0, 0], place[0, 1], place[0, 2], place[0, 3]
    b0, b1, b2, b3 = place[1, 0], place[1, 1], place[1, 2], place[1, 3]
    c0, c1, c2, c3 = place[2, 0], place[2, 1], place[2, 2], place[2, 3]
    for n in range(count):
        i, j, k = i0 + di * n, j0 + dj * n, k0 + dk * n
        u, v, w, turns[n] = _shares(i, j, k, seed)
        u, v, w = i + u, j + v, k + w
        x[n] = a0 * u + a1 * v + a2 * w + a3
        y[n] = b0 * u + b1 * v + b2 * w + b3
        z[n] = c0 * u + c1 * v + c2 * w + c3


@njit(inline="always")
@no_type_check
def _at(table, low, share):
    following = min(low + 1, table.size - 1)
    return table[low] + share * (table[following] - table[low])


@njit(inline="always")
@no_type_check
def _depth(x, z, kind, geometry):
    return z if kind == LINEAR else math.sqrt(x * x + (z - geometry[0]) ** 2) - geometry[1]


@njit(inline="always")
@no_type_check
def _line(x, z, kind, geometry):
    if kind == LINEAR:
        return x * geometry[2] + geometry[3]
    turn = math.atan2(x, z - geometry[0])
    if kind == CIRCLE and turn < 0:
        turn += _TURN
    return turn * geometry[2] + geometry[3]


@njit(inline="always")
@no_type_check
def _look(x, y, z, kind, geometry, tables, pulse, n_lines, low_sample, high_sample):
    """How one scatterer is seen, if it is and lies between two samples.

    Returns:
        Whether it is seen; scanline, sample, 1 / sigma in scanlines, scanlines reached to either side, gain.
    """
    n_samples = tables.shape[1]
    sample = _depth(x, z, kind, geometry) / pulse[1] - 0.5
    if not max(low_sample, -0.5) <= sample <= min(high_sample, n_samples - 0.5):
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    clamped = min(max(sample, 0.0), n_samples - 1.0)
    low = min(int(clamped), max(n_samples - 2, 0))
    share = clamped - low
    if abs(y) > _at(tables[3], low, share):
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    line = _line(x, z, kind, geometry)
    per_line = _at(tables[0], low, share)
    reach = min(REACH / per_line, float((n_lines - 1) // 2 if kind == CIRCLE else n_lines))
    if kind != CIRCLE and not -reach <= line <= n_lines - 1 + reach:
        return False, 0.0, 0.0, 0.0, 0.0, 0.0
    off_plane = y * _at(tables[1], low, share)
    gain = pulse[3] * math.exp(-0.5 * off_plane * off_plane) / math.sqrt(_at(tables[2], low, share))
    return True, line, sample, per_line, reach, gain


@njit(inline="always")
@no_type_check
def _corners(line, sample, n_lines, n_samples, wraps):
    """Scanlines and samples around a place, and the shares of the second ones."""
    if not wraps:
        line = min(max(line, 0.0), n_lines - 1.0)
    sample = min(max(sample, 0.0), n_samples - 1.0)
    l0, k0 = int(line), int(sample)
    line_share, sample_share = line - l0, sample - k0
    if wraps:
        l0, l1 = l0 % n_lines, (l0 + 1) % n_lines
    else:
        l1 = min(l0 + 1, n_lines - 1)
    return l0, l1, k0, min(k0 + 1, n_samples - 1), line_share, sample_share


@njit(inline="always")
@no_type_check
def _amplitude(power, l0, l1, k0, k1, line_share, sample_share):
    near = power[l0, k0] + sample_share * (power[l0, k1] - power[l0, k0])
    far = power[l1, k0] + sample_share * (power[l1, k1] - power[l1, k0])
    return math.sqrt(near + line_share * (far - near) + _FLOOR)


@njit(inline="always")
@no_type_check
def _taps(taps, centre, per_step, reach):
    """Fill the Gaussian at the whole numbers within reach of a centre; each follows from the one before.

    Returns:
        The first of them and how many they are.
    """
    first = int(math.ceil(centre - reach))
    count = int(math.floor(centre + reach)) - first + 1
    distance = (first - centre) * per_step
    weight = math.exp(-0.5 * distance * distance)
    ratio = math.exp(-per_step * (distance + 0.5 * per_step))
    change = math.exp(-per_step * per_step)
    for q in range(count):
        taps[q] = weight
        weight *= ratio
        ratio *= change
    return first, count


@njit(inline="always")
@no_type_check
def _add(tile, width, base, first, n, n_lines, wraps, across, along, n_along):
    """Add the product of two profiles to a tile of flat rows, block by block."""
    skipped = 0 if wraps else max(0, -first)
    stop = n if wraps else min(n, n_lines - first)
    for block in range(0, n_along, 2 * BLOCK):
        v0, v1, v2, v3 = along[block], along[block + 1], along[block + 2], along[block + 3]
        v4, v5, v6, v7 = along[block + 4], along[block + 5], along[block + 6], along[block + 7]
        line = first % n_lines if wraps else first + skipped
        for m in range(skipped, stop):
            weight = across[m]
            p = line * width + base + block
            tile[p] += weight * v0
            tile[p + 1] += weight * v1
            tile[p + 2] += weight * v2
            tile[p + 3] += weight * v3
            tile[p + 4] += weight * v4
            tile[p + 5] += weight * v5
            tile[p + 6] += weight * v6
            tile[p + 7] += weight * v7
            line += 1
            if wraps and line == n_lines:
                line = 0


@compiled
@no_type_check
def scatter(
    first, count, depth, drift, axis, seed, place, kind, geometry, tables, pulse, power, edges, iq, bands
):
    """Fill iq (S, N, 2) in some bands of depth.

    Args:
        first: (rows, 3), first cell of each row, which runs along ``axis``.
        count: cells in each row.
        depth: of each row in mm, from which its scatterers are at most ``drift`` away.
        seed: one uint32.
        place: (3, 4), from lattice coordinates to mm in the probe's frame.
        kind: of scanlines.
        geometry: centre z, radius, scanlines for each mm or radian, scanline at the middle.
        tables: (4, N): 1 / lateral sigma in scanlines, 1 / elevation sigma, resolution cell, elevation reach.
        pulse: 1 / axial sigma in samples, sample in mm, turns of the carrier per mm, strength of a scatterer.
        power: (S, N).
        edges: first sample of each band, and the end of the last.
    """
    n_lines, n_samples = power.shape
    reach = REACH / pulse[0]
    room = 2 * int(reach) + 2 + BLOCK
    along, across = np.zeros(2 * (room + BLOCK), iq.dtype), np.zeros(2 * n_lines + 2, iq.dtype)
    pulse_taps = np.zeros(room)
    placed = np.zeros((4, count.max() if count.size else 0))
    wraps = kind == CIRCLE
    for band in range(bands[0], bands[1]):
        start, stop = edges[band], edges[band + 1]
        width = 2 * (stop - start + 2 * room)
        tile = np.zeros(n_lines * width, iq.dtype)
        low_sample, high_sample = start - reach, stop - 1 + reach
        low_row, high_row = (low_sample + 0.5) * pulse[1] - drift, (high_sample + 0.5) * pulse[1] + drift
        for row in range(count.size):
            if not low_row <= depth[row] <= high_row:
                continue
            _place_row(first[row], count[row], axis, seed, place, placed)
            for n in range(count[row]):
                seen, line, sample, per_line, lines_reached, gain = _look(
                    placed[0, n], placed[1, n], placed[2, n], kind, geometry, tables, pulse, n_lines,
                    low_sample, high_sample,
                )  # fmt: skip
                if not seen:
                    continue
                l0, l1, k0, k1, a, b = _corners(line, sample, n_lines, n_samples, wraps)
                gain *= _amplitude(power, l0, l1, k0, k1, a, b)
                phase = placed[3, n] - pulse[2] * (sample + 0.5) * pulse[1]
                phase = _TURN * (phase - math.floor(phase))
                real_part, imaginary_part = gain * math.cos(phase), gain * math.sin(phase)
                first_sample, n_taps = _taps(pulse_taps, sample, pulse[0], reach)
                n_along = 0
                while n_along < n_taps:
                    for q in range(n_along, n_along + BLOCK):
                        weight = pulse_taps[q] if q < n_taps else 0.0
                        along[2 * q] = weight * real_part
                        along[2 * q + 1] = weight * imaginary_part
                    n_along += BLOCK
                first_line, n_across = _taps(across, line, per_line, lines_reached)
                base = 2 * (first_sample - start + room)
                _add(tile, width, base, first_line, n_across, n_lines, wraps, across, along, 2 * n_along)
        for l in range(n_lines):  # noqa: E741
            for k in range(stop - start):
                iq[l, start + k, 0] = tile[l * width + 2 * (room + k)]
                iq[l, start + k, 1] = tile[l * width + 2 * (room + k) + 1]
