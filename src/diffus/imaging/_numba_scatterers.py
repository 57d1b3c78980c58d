"""Scatterers on the CPU: rows of cells, and hash, place, scanline coordinates and phase of all cells of one.

The latter is plain arithmetic on neighbours, without branches, so that the compiler finds vectors; that is
why angles and phasors come from polynomials and not from the library.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

LINEAR, SECTOR, CIRCLE = 0, 1, 2
"""Kinds of scanlines: parallel, fanning out over less than a circle, all round."""


@njit(inline="always")
@no_type_check
def _mixed(x, y, z, w):
    x = np.uint32(x + np.uint32(y * w))
    y = np.uint32(y + np.uint32(z * x))
    z = np.uint32(z + np.uint32(x * y))
    return x, y, z, np.uint32(w + np.uint32(y * z))


@njit(inline="always")
@no_type_check
def _first(value):
    word = np.uint32(value & 0xFFFFFFFF)
    return np.uint32(np.uint32(word * np.uint32(1664525)) + np.uint32(1013904223))


@njit(inline="always")
@no_type_check
def _shares(i, j, k, seed):
    """The first 24 bits of the four words of pcg4d as numbers in [0, 1); see `scatterers.hash_cells`."""
    x, y, z, w = _mixed(_first(i), _first(j), _first(k), _first(seed))
    half, low, unit = np.uint32(16), np.uint32(8), 2.0**-24
    x, y, z, w = _mixed(x ^ (x >> half), y ^ (y >> half), z ^ (z >> half), w ^ (w >> half))
    # Signed words become floating point in one instruction.
    return (
        np.int32(x >> low) * unit,
        np.int32(y >> low) * unit,
        np.int32(z >> low) * unit,
        np.int32(w >> low) * unit,
    )


@njit(inline="always")
@no_type_check
def _angle(x, z, radius):
    """``atan2(x, z)`` within 1e-13, given the hypotenuse.

    The tangent of a quarter of the acute angle is at most sqrt(2) - 1; there a polynomial, fitted at
    Chebyshev nodes, is good to 1e-14.
    """
    half = abs(x) / (radius + abs(z) + 1e-300)
    quarter = half / (1 + math.sqrt(1 + half * half))
    s = quarter * quarter
    series = 0.0756444862759 + s * (-0.058771748888 + s * 0.030701294786)
    series = -0.142856908058 + s * (0.111103937724 + s * (-0.0907850038978 + s * series))
    series = 1 + s * (-0.333333333309 + s * (0.199999996131 + s * series))
    acute = 4 * quarter * series
    angle = acute if z >= 0 else math.pi - acute
    return angle if x >= 0 else -angle


@njit(inline="always")
@no_type_check
def _phasor(turns):
    """Cosine and sine of a number of turns within 1e-11, by their series in an eighth of a turn."""
    quarters = np.floor(4 * turns + 0.5)
    x = (turns - 0.25 * quarters) * (2 * math.pi)
    s = x * x
    sine = x * (1 + s * (-1 / 6 + s * (1 / 120 + s * (-1 / 5040 + s * (1 / 362880 - s / 39916800)))))
    cosine = 1 + s * (
        -1 / 2 + s * (1 / 24 + s * (-1 / 720 + s * (1 / 40320 + s * (-1 / 3628800 + s / 479001600))))
    )
    quarter = quarters - 4 * np.floor(0.25 * quarters)
    odd = quarter == 1 or quarter == 3  # noqa: PLR1714 - Numba
    first, second = (sine, cosine) if odd else (cosine, sine)
    return -first if quarter == 1 or quarter == 2 else first, -second if quarter >= 2 else second  # noqa: PLR1714


@njit(inline="always")
@no_type_check
def place_row(cell, count, axis, seed, place, kind, geometry, pulse, row):
    """Fill row (5, at least count): scanline, sample, y in mm, real and imaginary part of each scatterer.

    Args:
        cell: the first; the others follow along ``axis``.
        count: how many cells.
        axis: of the lattice.
        seed: one uint32.
        place: (3, 4), from lattice coordinates to mm in the probe's frame.
        kind: of scanlines.
        geometry: centre z, radius (of parallel scanlines the tangent of their steering), scanlines for each
            mm or radian, scanline at zero.
        pulse: see `_numba_speckle.scatter`.
        row: what is filled.
    """
    lines, samples, y, real, imaginary = row[0], row[1], row[2], row[3], row[4]
    i0, j0, k0 = cell[0], cell[1], cell[2]
    di, dj, dk = int(axis == 0), int(axis == 1), int(axis == 2)
    a0, a1, a2, a3 = place[0, 0], place[0, 1], place[0, 2], place[0, 3]
    b0, b1, b2, b3 = place[1, 0], place[1, 1], place[1, 2], place[1, 3]
    c0, c1, c2, c3 = place[2, 0], place[2, 1], place[2, 2], place[2, 3] - geometry[0]
    for n in range(count):
        i, j, k = i0 + di * n, j0 + dj * n, k0 + dk * n
        u, v, w, turns = _shares(i, j, k, seed)
        u, v, w = i + u, j + v, k + w
        lines[n] = a0 * u + a1 * v + a2 * w + a3
        y[n] = b0 * u + b1 * v + b2 * w + b3
        samples[n] = c0 * u + c1 * v + c2 * w + c3
        real[n] = turns
    per_step = 1 / pulse[1]
    for n in range(count):
        x, z = lines[n], samples[n]
        if kind == LINEAR:
            along, depth = x - z * geometry[1], z * math.sqrt(1 + geometry[1] * geometry[1])
        else:
            radius = math.sqrt(x * x + z * z)
            along, depth = _angle(x, z, radius), radius - geometry[1]
            along = along + 2 * math.pi if kind == CIRCLE and along < 0 else along
        lines[n] = along * geometry[2] + geometry[3]
        samples[n] = depth * per_step - 0.5
        real[n], imaginary[n] = _phasor(real[n] - pulse[2] * depth)


@njit(inline="always")
@no_type_check
def find_row(iu, iv, low, others, axis, crossing, slab, search, first):
    """Fill the first cell of row (iu, iv); its length, 0 for none, and x and z where it crosses the plane.

    See `scatterers.ScattererRows`.
    """
    u, v = low[0] + iu, low[1] + iv
    a, b = u + 0.5, v + 0.5
    x = crossing[1, 0] * a + crossing[1, 1] * b + crossing[1, 2]
    z = crossing[2, 0] * a + crossing[2, 1] * b + crossing[2, 2]
    column, row = (
        math.floor((x - search[0]) / search[2] + 0.5),
        math.floor((z - search[1]) / search[2] + 0.5),
    )
    if not (0 <= row < slab.shape[0] and 0 <= column < slab.shape[1]) or slab[row, column] == 0:
        return 0, x, z
    half = (slab[row, column] + search[4]) * search[5]
    at = crossing[0, 0] * a + crossing[0, 1] * b + crossing[0, 2]
    start = math.floor(at - half)
    first[others[0]], first[others[1]], first[axis] = u, v, start
    return math.floor(at + half) - start + 1, x, z


@njit(inline="always")
@no_type_check
def outside(x, z, kind, geometry, low_mm, high_mm):
    """Whether a point of the plane is above or below a range of depths."""
    if kind == LINEAR:
        depth = z * math.sqrt(1 + geometry[1] * geometry[1])
        return depth < low_mm or depth > high_mm
    depth = math.sqrt(x * x + (z - geometry[0]) ** 2) - geometry[1]
    return depth < low_mm or depth > high_mm
