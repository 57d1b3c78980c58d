"""Sampled speckle on the CPU: each scatterer is made, placed, and added to the few samples that it reaches.

Depth is cut into bands, one for each thread. A band goes through all rows of cells that may reach it, in
order, and adds to a tile of its own: every sample is the sum of the same numbers in the same order whatever
the number of bands. The adjoint gathers instead, each scatterer in the band that it lies in.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging._numba_exponential import exponential
from diffus.imaging._numba_scatterers import CIRCLE, find_row, outside, place_row
from diffus.imaging._numba_tiles import BLOCK, add_product
from diffus.imaging.gain import SILENCE
from diffus.imaging.point_spread import REACH
from diffus.kernels import compiled

_FLOOR = SILENCE**2
SEEN = 11
"""Numbers kept of each scatterer of a row that is seen."""


@njit(inline="always")
@no_type_check
def _at_line(narrowing, line):
    """How much narrower the beam is than the table has it; the same everywhere where one number says it."""
    if len(narrowing) == 1:
        return narrowing[0]
    clamped = min(max(line, 0.0), len(narrowing) - 1.0)
    low = min(int(clamped), len(narrowing) - 2)
    return narrowing[low] + (clamped - low) * (narrowing[low + 1] - narrowing[low])


@njit(inline="always")
@no_type_check
def _look(line, sample, y, wraps, tables, narrowing, n_lines, low_sample, high_sample):
    """How one scatterer is seen, if it is and lies between two samples.

    Returns:
        Scanlines reached to either side, negative if it is not seen; 1 / sigma in scanlines, 1 / square root
        of the resolution cell, distance from the plane in sigmas.
    """
    n_samples = tables.shape[0]
    if not max(low_sample, -0.5) <= sample <= min(high_sample, n_samples - 0.5):
        return -1.0, 0.0, 0.0, 0.0
    clamped = min(max(sample, 0.0), n_samples - 1.0)
    low = min(int(clamped), max(n_samples - 2, 0))
    share, following = clamped - low, min(low + 1, n_samples - 1)
    if abs(y) > tables[low, 3] + share * (tables[following, 3] - tables[low, 3]):
        return -1.0, 0.0, 0.0, 0.0
    narrower = _at_line(narrowing, line)
    per_line = narrower * (tables[low, 0] + share * (tables[following, 0] - tables[low, 0]))
    reach = min(REACH / per_line, float((n_lines - 1) // 2 if wraps else n_lines))
    if not wraps and not -reach <= line <= n_lines - 1 + reach:
        return -1.0, 0.0, 0.0, 0.0
    per_mm = tables[low, 1] + share * (tables[following, 1] - tables[low, 1])
    cell = tables[low, 2] + share * (tables[following, 2] - tables[low, 2])
    return reach, per_line, math.sqrt(narrower / cell), y * per_mm


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
def _plane(off_plane, bounds):
    """The elevation plane in whose share of the slice a scatterer lies."""
    plane = 0
    while plane < len(bounds) and off_plane > bounds[plane]:
        plane += 1
    return plane


@njit(inline="always")
@no_type_check
def _amplitude(power, l0, l1, k0, k1, line_share, sample_share):
    near = power[l0, k0] + sample_share * (power[l0, k1] - power[l0, k0])
    far = power[l1, k0] + sample_share * (power[l1, k1] - power[l1, k0])
    return math.sqrt(near + line_share * (far - near) + _FLOOR)


@njit(inline="always")
@no_type_check
def _see_row(count, row, wraps, tables, narrowing, n_lines, low_sample, high_sample, pulse, seen):
    """Fill ``seen`` (SEEN, at least count) with those scatterers of a row that are seen; how many.

    Of each: scanline, sample, scanlines reached, 1 / sigma in scanlines, distance from the plane in sigmas,
    real and imaginary part; then what its profiles begin and go on with (see `_profiles`), made for all of
    the row together, so that the exponentials come several at a time.
    """
    n_seen, per_sample, reach = 0, pulse[0], REACH / pulse[0]
    for n in range(count):
        lines_reached, per_line, gain, off_plane = _look(
            row[0, n], row[1, n], row[2, n], wraps, tables, narrowing, n_lines, low_sample, high_sample
        )
        if lines_reached >= 0:
            seen[0, n_seen], seen[1, n_seen], seen[2, n_seen] = row[0, n], row[1, n], lines_reached
            seen[3, n_seen], seen[4, n_seen] = per_line, off_plane
            seen[5, n_seen], seen[6, n_seen] = row[3, n], row[4, n]
            seen[7, n_seen] = gain * pulse[3]
            n_seen += 1
    lines, samples, reached, per_lines, off_planes = seen[0], seen[1], seen[2], seen[3], seen[4]
    weights, along_ratios, across_ratios, across_changes = seen[7], seen[8], seen[9], seen[10]
    for n in range(n_seen):
        up = (np.ceil(samples[n] - reach) - samples[n]) * per_sample
        left = (np.ceil(lines[n] - reached[n]) - lines[n]) * per_lines[n]
        off = off_planes[n]
        weights[n] *= exponential(-0.5 * (off * off + up * up + left * left))
    for n in range(n_seen):
        up = (np.ceil(samples[n] - reach) - samples[n]) * per_sample
        along_ratios[n] = exponential(-per_sample * (up + 0.5 * per_sample))
    for n in range(n_seen):
        left = (np.ceil(lines[n] - reached[n]) - lines[n]) * per_lines[n]
        across_ratios[n] = exponential(-per_lines[n] * (left + 0.5 * per_lines[n]))
    for n in range(n_seen):
        across_changes[n] = exponential(-per_lines[n] * per_lines[n])
    return n_seen


@njit(inline="always")
@no_type_check
def _fill(taps, count, weight, ratio, change):
    """Fill a Gaussian at equal steps from its first value on, each from the one before.

    With steps of d sigmas, from x sigmas on: the ratio ``exp(-d (x + d / 2))`` of the second to the first,
    and its change ``exp(-d^2)`` from step to step.
    """
    for q in range(count):
        taps[q] = weight
        weight *= ratio
        ratio *= change


@njit(inline="always")
@no_type_check
def _profiles(seen, n, reach, change, gain, taps, across):
    """Fill the pulse (times the gain and the slice's profile) and the beam around a scatterer.

    Returns:
        First sample and how many, first scanline and how many.
    """
    line, sample, lines_reached = seen[0, n], seen[1, n], seen[2, n]
    first_sample, first_line = math.ceil(sample - reach), math.ceil(line - lines_reached)
    n_along = math.floor(sample + reach) - first_sample + 1
    n_across = math.floor(line + lines_reached) - first_line + 1
    # The weight at the corner of both profiles goes with the pulse.
    _fill(taps, n_along, gain * seen[7, n], seen[8, n], change)
    _fill(across, n_across, 1.0, seen[9, n], seen[10, n])
    return first_sample, n_along, first_line, n_across


@njit(inline="always")
@no_type_check
def _echo(bar, first_line, n_across, wraps, first_sample, n_along, across, taps, real, imaginary):
    """Sum of a gradient over what one scatterer adds."""
    n_lines, n_samples = bar.shape[0], bar.shape[1]
    total = 0.0
    for m in range(n_across):
        line = first_line + m
        if wraps:
            line %= n_lines
        elif line < 0 or line >= n_lines:
            continue
        for q in range(max(0, -first_sample), min(n_along, n_samples - first_sample)):
            k = first_sample + q
            total += across[m] * taps[q] * (bar[line, k, 0] * real + bar[line, k, 1] * imaginary)
    return total


@compiled
@no_type_check
def scatter(rows, seed, place, kind, geometry, tables, narrowing, pulse, bounds, power, edges, iq, bands):
    """Fill iq (S, N, 2) in some bands of depth.

    Args:
        rows: low, size, others, axis, crossing, slab, search: see `scatterers.ScattererRows`; search is x, z,
            spacing and drift of the slab's map, slack and cells per mm.
        seed: one uint32.
        place: (3, 4), from lattice coordinates to mm in the probe's frame.
        kind: of scanlines.
        geometry: see `place_row`.
        tables: (N, 4): 1 / lateral sigma in scanlines, 1 / elevation sigma, resolution cell, elevation reach.
        narrowing: (S,) or (1,): factor of 1 / lateral sigma for each scanline.
        pulse: 1 / axial sigma in samples, sample in mm, turns of the carrier per mm, strength of a scatterer.
        bounds: see `point_spread.plane_bounds`.
        power: (E, S, N).
        edges: first sample of each band, and the end of the last.
        iq: what is filled.
        bands: first and last but one.
    """
    low, size, others, axis, crossing, slab, search = rows
    n_lines, n_samples = power.shape[1:]
    per_sample, wraps = pulse[0], kind == CIRCLE
    reach, change = REACH / per_sample, math.exp(-per_sample * per_sample)
    room = 2 * int(reach) + 2 + BLOCK
    along, across = np.zeros(2 * (room + BLOCK), iq.dtype), np.zeros(2 * n_lines + 2, iq.dtype)
    taps, first = np.zeros(room), np.zeros(3, np.int64)
    most = int(2 * (slab.max() + search[4]) * search[5]) + 3
    row, seen = np.zeros((5, most)), np.zeros((SEEN, most))
    for band in range(bands[0], bands[1]):
        start, stop = edges[band], edges[band + 1]
        width = 2 * (stop - start + 2 * room)
        tile = np.zeros(n_lines * width, iq.dtype)
        low_sample, high_sample = start - reach, stop - 1 + reach
        low_mm, high_mm = (
            (low_sample + 0.5) * pulse[1] - search[3],
            (high_sample + 0.5) * pulse[1] + search[3],
        )
        for iu in range(size[0]):
            for iv in range(size[1]):
                count, x, z = find_row(iu, iv, low, others, axis, crossing, slab, search, first)
                if count == 0 or outside(x, z, kind, geometry, low_mm, high_mm):
                    continue
                place_row(first, count, axis, seed, place, kind, geometry, pulse, row)
                n_seen = _see_row(
                    count, row, wraps, tables, narrowing, n_lines, low_sample, high_sample, pulse, seen
                )
                for n in range(n_seen):
                    l0, l1, k0, k1, a, b = _corners(seen[0, n], seen[1, n], n_lines, n_samples, wraps)
                    amplitude = _amplitude(power[_plane(seen[4, n], bounds)], l0, l1, k0, k1, a, b)
                    first_sample, n_along, first_line, n_across = _profiles(
                        seen, n, reach, change, amplitude, taps, across
                    )
                    for q in range(n_along + BLOCK - 1):
                        weight = taps[q] if q < n_along else 0.0
                        along[2 * q] = weight * seen[5, n]
                        along[2 * q + 1] = weight * seen[6, n]
                    base = 2 * (first_sample - start + room)
                    add_product(
                        tile, width, base, first_line, n_across, n_lines, wraps, across, along, 2 * n_along
                    )
        for line in range(n_lines):
            for k in range(stop - start):
                iq[line, start + k, 0] = tile[line * width + 2 * (room + k)]
                iq[line, start + k, 1] = tile[line * width + 2 * (room + k) + 1]


@compiled
@no_type_check
def gather(
    rows, seed, place, kind, geometry, tables, narrowing, pulse, bounds, power, edges, bar, power_bar, bands
):
    """Add to power_bar (bands, E, S, N) the gradient that comes through the scatterers of some bands.

    It has an image for each band, as neighbouring bands share samples. bar (S, N, 2) is the gradient to iq;
    all else is as in `scatter`.
    """
    low, size, others, axis, crossing, slab, search = rows
    n_lines, n_samples = power.shape[1:]
    per_sample, wraps = pulse[0], kind == CIRCLE
    reach, change = REACH / per_sample, math.exp(-per_sample * per_sample)
    taps, across, first = np.zeros(2 * int(reach) + 2), np.zeros(2 * n_lines + 2), np.zeros(3, np.int64)
    most = int(2 * (slab.max() + search[4]) * search[5]) + 3
    row, seen = np.zeros((5, most)), np.zeros((SEEN, most))
    for band in range(bands[0], bands[1]):
        low_sample = edges[band] if edges[band] > 0 else -1
        high_sample = edges[band + 1] if edges[band + 1] < n_samples else n_samples + 1
        low_mm, high_mm = (
            (low_sample + 0.5) * pulse[1] - search[3],
            (high_sample + 0.5) * pulse[1] + search[3],
        )
        for iu in range(size[0]):
            for iv in range(size[1]):
                count, x, z = find_row(iu, iv, low, others, axis, crossing, slab, search, first)
                if count == 0 or outside(x, z, kind, geometry, low_mm, high_mm):
                    continue
                place_row(first, count, axis, seed, place, kind, geometry, pulse, row)
                n_seen = _see_row(
                    count, row, wraps, tables, narrowing, n_lines, low_sample, high_sample, pulse, seen
                )
                for n in range(n_seen):
                    if seen[1, n] == high_sample:
                        continue
                    first_sample, n_along, first_line, n_across = _profiles(
                        seen, n, reach, change, 1.0, taps, across
                    )
                    echo = _echo(
                        bar,
                        first_line,
                        n_across,
                        wraps,
                        first_sample,
                        n_along,
                        across,
                        taps,
                        seen[5, n],
                        seen[6, n],
                    )
                    l0, l1, k0, k1, a, b = _corners(seen[0, n], seen[1, n], n_lines, n_samples, wraps)
                    plane = _plane(seen[4, n], bounds)
                    echo /= 2 * _amplitude(power[plane], l0, l1, k0, k1, a, b)
                    power_bar[band, plane, l0, k0] += echo * (1 - a) * (1 - b)
                    power_bar[band, plane, l0, k1] += echo * (1 - a) * b
                    power_bar[band, plane, l1, k0] += echo * a * (1 - b)
                    power_bar[band, plane, l1, k1] += echo * a * b
