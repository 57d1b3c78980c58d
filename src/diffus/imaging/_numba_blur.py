"""Blurring on the CPU. Along depth a line at a time, across scanlines a block of depths at a time.

Innermost loops run along depth, over neighbours in memory, and give no item the place of another.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging.blur import LEAST_SIGMA, REACH
from diffus.kernels import compiled

BLOCK = 32
"""Depth samples blurred together across scanlines."""


@compiled
@no_type_check
def along_depth(image, taps, out, lines):
    """Fill some lines of out (L, N) with image (L, N) blurred by taps (R + 1,), the middle one first."""
    n_samples = image.shape[1]
    for line in range(lines[0], lines[1]):
        source, target = image[line], out[line]
        for k in range(n_samples):
            target[k] = taps[0] * source[k]
        for q in range(1, min(len(taps), n_samples)):
            tap = taps[q]
            for k in range(n_samples - q):
                target[k] += tap * source[k + q]
            for k in range(n_samples - q):
                target[k + q] += tap * source[k]


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
    for k in range(count):
        whole[k] = 0.0
    for q in range(radius + 1):
        for k in range(count):
            width = max(sigma[first + k] * wider, LEAST_SIGMA)
            weights[q, k] = math.exp(-0.5 * (q / width) ** 2) if q <= REACH * width else 0.0
            whole[k] += weights[q, k] if q == 0 else 2 * weights[q, k]
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
        for line in range(n_lines):
            if len(widening) > 1:
                radius = _fill(weights, whole, sigma, widening[line], first, count, most)
            _sums(weights, whole, line, radius, n_lines, wraps, count, sums)
            for b in range(n_images):
                for k in range(BLOCK):
                    total[k] = 0.0
                for q in range(-radius, radius + 1):
                    m = line + q
                    if wraps:
                        m %= n_lines
                    elif m < 0 or m >= n_lines:
                        continue
                    row, source = weights[abs(q)], image[b, m, first : first + count]
                    for k in range(count):
                        total[k] += row[k] * source[k]
                for k in range(count):
                    out[b, line, first + k] = total[k] / sums[k]


@compiled
@no_type_check
def across_scanlines_adjoint(sigma, widening, wraps, most, bar, image_bar, blocks):
    """Add to some blocks of image_bar (B, S, N) the gradient bar (B, S, N) taken back to the image."""
    n_images, n_lines, n_samples = bar.shape
    weights, whole, sums, share = (
        np.zeros((most + 1, BLOCK), bar.dtype),
        np.zeros(BLOCK, bar.dtype),
        np.ones(BLOCK, bar.dtype),
        np.zeros(BLOCK, bar.dtype),
    )
    for block in range(blocks[0], blocks[1]):
        first = block * BLOCK
        count = min(BLOCK, n_samples - first)
        radius = _fill(weights, whole, sigma, widening[0], first, count, most)
        for line in range(n_lines):
            if len(widening) > 1:
                radius = _fill(weights, whole, sigma, widening[line], first, count, most)
            _sums(weights, whole, line, radius, n_lines, wraps, count, sums)
            for b in range(n_images):
                for k in range(count):
                    share[k] = bar[b, line, first + k] / sums[k]
                for q in range(-radius, radius + 1):
                    m = line + q
                    if wraps:
                        m %= n_lines
                    elif m < 0 or m >= n_lines:
                        continue
                    row, target = weights[abs(q)], image_bar[b, m, first : first + count]
                    for k in range(count):
                        target[k] += row[k] * share[k]


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
