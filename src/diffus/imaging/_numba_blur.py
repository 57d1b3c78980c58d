"""Blurring on the CPU. Along depth a line at a time, across scanlines a block of depths at a time.

Innermost loops run along depth, over neighbours in memory, and give no item the place of another.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging._numba_exponential import exponential
from diffus.imaging.blur import LEAST_SIGMA, REACH
from diffus.kernels import compiled
from diffus.propagation._numba import aligned_zeros
from diffus.propagation._simd import LINE_BYTES, add_product, load, multiply, spread, store

BLOCK = 32
"""Depth samples blurred together across scanlines."""


@compiled
@no_type_check
def along_depth(image, taps, out, lines):
    """Fill some lines of out (L, N) with image (L, N) blurred by taps (R + 1,), the middle one first."""
    n_samples, reach = image.shape[1], min(len(taps), image.shape[1]) - 1
    padded = np.zeros(n_samples + 2 * reach, image.dtype)
    middle = padded[reach : reach + n_samples]
    for line in range(lines[0], lines[1]):
        target = out[line]
        middle[:] = image[line]
        for k in range(n_samples):
            target[k] = taps[0] * middle[k]
        for q in range(1, reach + 1):
            tap, low, high = taps[q], padded[reach - q : reach - q + n_samples], padded[reach + q :]
            for k in range(n_samples):
                target[k] += tap * (low[k] + high[k])


@compiled
@no_type_check
def depth_taps_adjoint(image, bar, taps_bar, lines):
    """Add to taps_bar (L, R + 1) the gradient of some lines to the taps; bar (L, N) is that to the result."""
    n_samples = image.shape[1]
    for line in range(lines[0], lines[1]):
        source, seen = image[line], bar[line]
        for q in range(min(taps_bar.shape[1], n_samples)):
            total = 0.0
            for k in range(n_samples - q):
                total += seen[k] * source[k + q]
                if q > 0:
                    total += seen[k + q] * source[k]
            taps_bar[line, q] += total


@njit(inline="always")
@no_type_check
def _fill(weights, whole, sigma, wider, first, count, most):
    """Fill weights (R + 1, BLOCK) for some depths, and the sums of all; the largest offset in use."""
    radius = 0
    for k in range(count):
        width = max(sigma[first + k] * wider, LEAST_SIGMA)
        radius = max(radius, min(int(REACH * width), most))
    widths = sigma[first : first + count]
    for q in range(radius + 1):
        row, sides = weights[q], 1.0 if q == 0 else 2.0
        for k in range(count):
            offset = q / max(widths[k] * wider, LEAST_SIGMA)
            row[k] = exponential(-0.5 * offset * offset) if offset <= REACH else 0.0
        if q == 0:
            whole[:] = 0.0
        for k in range(count):
            whole[k] += sides * row[k]
    return radius


@njit(inline="always")
@no_type_check
def _sums(weights, whole, line, radius, n_lines, wraps, count, sums):
    """Fill the sums of the weights that fall on scanlines."""
    if wraps or (line >= radius and line + radius < n_lines):
        for k in range(count):
            sums[k] = whole[k]
        return
    for k in range(count):
        sums[k] = 0.0
    for m in range(max(0, line - radius), min(n_lines, line + radius + 1)):
        for k in range(count):
            sums[k] += weights[abs(m - line), k]


@compiled
@no_type_check
def across_scanlines(image, sigma, widening, wraps, most, out, blocks):
    """Fill some blocks of depths of out (B, S, N).

    Args:
        image: (B, S, N).
        sigma: (N,) in scanlines.
        widening: (S,), or (1,) for the same on all.
        wraps: whether the last scanline is a neighbour of the first.
        most: largest offset there may be.
        out: what is filled.
        blocks: first and last but one.
    """
    n_images, n_lines, n_samples = image.shape
    weights, whole = (
        aligned_zeros(image, (most + 1) * BLOCK).reshape(most + 1, BLOCK),
        np.zeros(BLOCK, image.dtype),
    )
    sums = np.ones(BLOCK, image.dtype)
    flat = weights.reshape(weights.size)
    for block in range(blocks[0], blocks[1]):
        first = block * BLOCK
        count = min(BLOCK, n_samples - first)
        radius = _widest(sigma, widening, first, count, most)
        reach = _fill(weights, whole, sigma, widening[0], first, count, most)
        tile, row = aligned_zeros(image, (n_lines + 2 * radius) * BLOCK), aligned_zeros(image, BLOCK)
        for b in range(n_images):
            for line in range(n_lines):
                start = (radius + line) * BLOCK
                tile[start : start + count] = image[b, line, first : first + count]
            _close(tile, radius, n_lines, wraps)
            for line in range(n_lines):
                if len(widening) > 1:
                    reach = _fill(weights, whole, sigma, widening[line], first, count, most)
                _sums(weights, whole, line, reach, n_lines, wraps, count, sums)
                _gather(tile, flat, radius + line, reach, row)
                for k in range(count):
                    out[b, line, first + k] = row[k] / sums[k]


@njit(inline="always")
@no_type_check
def _widest(sigma, widening, first, count, most):
    """Largest offset that any scanline uses at some depths."""
    width = 0.0
    for k in range(count):
        width = max(width, float(sigma[first + k]))
    return max(1, min(int(REACH * max(width * max(widening.max(), 1.0), LEAST_SIGMA)) + 1, most))


@njit(inline="always")
@no_type_check
def _close(tile, radius, n_lines, wraps):
    """Put the rows of a ring's ends beyond its other ends."""
    if wraps:
        edge, ring = radius * BLOCK, n_lines * BLOCK
        tile[:edge] = tile[ring : ring + edge]
        tile[edge + ring :] = tile[edge : 2 * edge]


@njit(inline="always")
@no_type_check
def _gather(tile, weights, at, reach, row):
    """Fill a row with the weighted sum of the rows around one of a tile; both sides share a weight."""
    vectors = BLOCK * tile.itemsize // LINE_BYTES
    one = spread(tile, 1.0)
    for vector in range(vectors):
        total = multiply(load(weights, vector), load(tile, at * vectors + vector))
        for q in range(1, reach + 1):
            both = add_product(
                one, load(tile, (at - q) * vectors + vector), load(tile, (at + q) * vectors + vector)
            )
            total = add_product(load(weights, q * vectors + vector), both, total)
        store(row, vector, total)


@compiled
@no_type_check
def across_scanlines_adjoint(sigma, widening, wraps, most, bar, image_bar, blocks):
    """Fill some blocks of image_bar (B, S, N) with the gradient bar (B, S, N) taken back to the image.

    Where all scanlines share their weights those are symmetric, and the way back gathers as the way there.
    """
    n_images, n_lines, n_samples = bar.shape
    weights, whole = (
        aligned_zeros(bar, (most + 1) * BLOCK).reshape(most + 1, BLOCK),
        np.zeros(BLOCK, bar.dtype),
    )
    sums = np.ones(BLOCK, bar.dtype)
    flat, alike = weights.reshape(weights.size), len(widening) == 1
    for block in range(blocks[0], blocks[1]):
        first = block * BLOCK
        count = min(BLOCK, n_samples - first)
        radius = _widest(sigma, widening, first, count, most)
        reach = _fill(weights, whole, sigma, widening[0], first, count, most)
        tile, row = aligned_zeros(bar, (n_lines + 2 * radius) * BLOCK), aligned_zeros(bar, BLOCK)
        for b in range(n_images):
            tile[:] = 0.0
            for line in range(n_lines):
                if not alike:
                    reach = _fill(weights, whole, sigma, widening[line], first, count, most)
                _sums(weights, whole, line, reach, n_lines, wraps, count, sums)
                share = tile[(radius + line) * BLOCK : (radius + line + 1) * BLOCK] if alike else row
                for k in range(count):
                    share[k] = bar[b, line, first + k] / sums[k]
                if not alike:
                    _scatter(tile, flat, radius + line, reach, row)
            if alike:
                _close(tile, radius, n_lines, wraps)
            else:
                _fold(tile, radius, n_lines, wraps)
            for line in range(n_lines):
                if alike:
                    _gather(tile, flat, radius + line, reach, row)
                else:
                    row[:] = tile[(radius + line) * BLOCK : (radius + line + 1) * BLOCK]
                for k in range(count):
                    image_bar[b, line, first + k] = row[k]


@njit(inline="always")
@no_type_check
def _scatter(tile, weights, at, reach, row):
    """Add a weighted row to the rows around one of a tile."""
    vectors = BLOCK * tile.itemsize // LINE_BYTES
    for vector in range(vectors):
        share = load(row, vector)
        for q in range(-reach, reach + 1):
            place = (at + q) * vectors + vector
            store(
                tile, place, add_product(load(weights, abs(q) * vectors + vector), share, load(tile, place))
            )


@njit(inline="always")
@no_type_check
def _fold(tile, radius, n_lines, wraps):
    """Add what lies beyond a ring's ends to its other ends."""
    if wraps:
        edge, ring = radius * BLOCK, n_lines * BLOCK
        for i in range(edge):
            tile[ring + i] += tile[i]
            tile[edge + i] += tile[edge + ring + i]


@compiled
@no_type_check
def scanline_widths_adjoint(image, sigma, widening, wraps, most, out, bar, sigma_bar, blocks):
    """Fill some blocks of sigma_bar (N,); out (B, S, N) is the result and bar the gradient to it.

    A result is ``sum w x / sum w``: its slope in a weight is ``(x - result) / sum w``.
    """
    n_images, n_lines, n_samples = image.shape
    weights, whole, sums, total = (
        np.zeros((most + 1, BLOCK), image.dtype),
        np.zeros(BLOCK, image.dtype),
        np.ones(BLOCK, image.dtype),
        np.zeros(BLOCK, image.dtype),
    )
    for block in range(blocks[0], blocks[1]):
        first = block * BLOCK
        count = min(BLOCK, n_samples - first)
        radius = _fill(weights, whole, sigma, widening[0], first, count, most)
        wider = widening[0]
        for line in range(n_lines):
            if len(widening) > 1:
                wider = widening[line]
                radius = _fill(weights, whole, sigma, wider, first, count, most)
            _sums(weights, whole, line, radius, n_lines, wraps, count, sums)
            for q in range(-radius, radius + 1):
                m = line + q
                if wraps:
                    m %= n_lines
                elif m < 0 or m >= n_lines:
                    continue
                for k in range(count):
                    total[k] = 0.0
                for b in range(n_images):
                    for k in range(count):
                        at = first + k
                        total[k] += bar[b, line, at] * (image[b, m, at] - out[b, line, at])
                for k in range(count):
                    width = sigma[first + k] * wider
                    if width > LEAST_SIGMA:
                        slope = weights[abs(q), k] * q * q / (width * width * width)
                        sigma_bar[first + k] += wider * slope * total[k] / sums[k]
