"""What scatterers add to the image on a CUDA GPU, in Triton: a few scatterers for each warp, and the adjoint.

A scatterer adds its complex echo, times a Gaussian along depth and one across the scanlines, to every sample
that it reaches. Many scatterers add to one sample, in no fixed order: that the image is the same to the bit
on every run, sums are whole numbers (int64) of a unit so small that nothing is lost. The adjoint reads
instead, and writes to places of its own.

A program goes scanline by scanline through what its scatterers reach, all of them in step: they are
neighbours in the tissue, and reach about equally far.
"""

from __future__ import annotations

from typing import no_type_check

import triton
import triton.language as tl

_COUNTS = ["n_scatterers", "n_lines", "n_samples"]
"""Sizes that change from image to image: the kernels are not compiled anew for them."""


@triton.jit
@no_type_check
def _span(centre, reach):
    """First whole number within reach of each centre, and how many there are."""
    first = tl.ceil(centre - reach).to(tl.int32)
    return first, tl.floor(centre + reach).to(tl.int32) - first + 1


@triton.jit
@no_type_check
def _here(line, lines_reached, sample, samples_reached, n_scatterers, SCATTERERS: tl.constexpr):
    """The scatterers of this program, where they are, and the first and number of what they reach.

    Those beyond the last reach nothing.
    """
    number = tl.program_id(0).to(tl.int64) * SCATTERERS + tl.arange(0, SCATTERERS)
    exists = number < n_scatterers
    at_line = tl.load(line + number, mask=exists, other=0.0)
    at_sample = tl.load(sample + number, mask=exists, other=0.0)
    first_line, n_across = _span(at_line, tl.load(lines_reached + number, mask=exists, other=0.0))
    first_sample, n_along = _span(at_sample, tl.load(samples_reached))
    n_along = tl.where(exists, n_along, 0)
    return number, exists, at_line, at_sample, first_line, n_across, first_sample, n_along


@triton.jit
@no_type_check
def _pulse(at_sample, per_sample, first, count, start, n_samples, real: tl.constexpr, SAMPLES: tl.constexpr):
    """Some samples of each scatterer from ``first + start`` on, the pulse there, and which it reaches."""
    step = start + tl.arange(0, SAMPLES)[None, :]
    samples = first[:, None] + step
    distance = ((samples - at_sample[:, None]) * per_sample).to(real)
    seen = (step < count[:, None]) & (samples >= 0) & (samples < n_samples)
    return samples, tl.exp(-0.5 * distance * distance), seen


@triton.jit
@no_type_check
def _beam(at_line, per_line, first, count, step, n_lines, real: tl.constexpr, WRAPS: tl.constexpr):
    """One scanline of each scatterer, ``first + step``, the beam there, and which scatterers reach it."""
    lines = first + step
    distance = ((lines - at_line) * per_line).to(real)
    if WRAPS:
        lines = (lines % n_lines + n_lines) % n_lines
    seen = (step < count) & (lines >= 0) & (lines < n_lines)
    return lines.to(tl.int64), tl.exp(-0.5 * distance * distance), seen


@triton.jit(do_not_specialize=_COUNTS)
@no_type_check
def deposit(
    echoes,
    line,
    per_line,
    lines_reached,
    sample,
    per_sample,
    samples_reached,
    per_unit,
    sums,
    n_scatterers,
    n_lines,
    n_samples,
    WRAPS: tl.constexpr,
    SCATTERERS: tl.constexpr,
    SAMPLES: tl.constexpr,
):
    """Add what scatterers send back to ``sums``.

    Args:
        echoes: (M, 2), real and imaginary part.
        line: (M,) fractional scanline.
        per_line: (M,) 1 / lateral sigma in scanlines.
        lines_reached: (M,) scanlines reached to either side.
        sample: (M,) fractional sample.
        per_sample: (1,) 1 / axial sigma in samples.
        samples_reached: (1,) samples reached to either side.
        per_unit: (1,) units in one, a power of two.
        sums: (2, S, N), int64.
        n_scatterers: M.
        n_lines: S.
        n_samples: N.
        WRAPS: whether the last scanline is a neighbour of the first.
        SCATTERERS: of a program.
        SAMPLES: of each scatterer at a time.
    """
    real: tl.constexpr = echoes.dtype.element_ty
    number, exists, at_line, at_sample, first_line, n_across, first_sample, n_along = _here(
        line, lines_reached, sample, samples_reached, n_scatterers, SCATTERERS
    )
    wide, long = tl.load(per_line + number, mask=exists, other=0.0), tl.load(per_sample)
    units = tl.load(per_unit).to(real)
    in_phase = tl.load(echoes + 2 * number, mask=exists, other=0.0) * units
    off_phase = tl.load(echoes + 2 * number + 1, mask=exists, other=0.0) * units
    most_across, most_along = tl.max(n_across, axis=0), tl.max(n_along, axis=0)
    others = sums + n_lines.to(tl.int64) * n_samples
    for start in range(0, most_along, SAMPLES):
        samples, along, on_sample = _pulse(
            at_sample, long, first_sample, n_along, start, n_samples, real, SAMPLES
        )
        for step in range(0, most_across):
            lines, across, on_line = _beam(at_line, wide, first_line, n_across, step, n_lines, real, WRAPS)
            place, seen = lines[:, None] * n_samples + samples, on_line[:, None] & on_sample
            _add(sums + place, (in_phase * across)[:, None] * along, seen)
            _add(others + place, (off_phase * across)[:, None] * along, seen)


@triton.jit
@no_type_check
def _add(sums, values, seen):
    tl.atomic_add(sums, tl.floor(values + 0.5).to(tl.int64), mask=seen, sem="relaxed")


@triton.jit(do_not_specialize=_COUNTS)
@no_type_check
def gather(
    bar,
    line,
    per_line,
    lines_reached,
    sample,
    per_sample,
    samples_reached,
    echoes_bar,
    n_scatterers,
    n_lines,
    n_samples,
    WRAPS: tl.constexpr,
    SCATTERERS: tl.constexpr,
    SAMPLES: tl.constexpr,
):
    """Fill ``echoes_bar`` (M, 2) with the sum of an image (S, N, 2) over what each scatterer reaches.

    Other arguments as of `deposit`.
    """
    real: tl.constexpr = bar.dtype.element_ty
    number, exists, at_line, at_sample, first_line, n_across, first_sample, n_along = _here(
        line, lines_reached, sample, samples_reached, n_scatterers, SCATTERERS
    )
    wide, long = tl.load(per_line + number, mask=exists, other=0.0), tl.load(per_sample)
    most_across, most_along = tl.max(n_across, axis=0), tl.max(n_along, axis=0)
    in_phase, off_phase = tl.zeros((SCATTERERS, SAMPLES), real), tl.zeros((SCATTERERS, SAMPLES), real)
    for start in range(0, most_along, SAMPLES):
        samples, along, on_sample = _pulse(
            at_sample, long, first_sample, n_along, start, n_samples, real, SAMPLES
        )
        for step in range(0, most_across):
            lines, across, on_line = _beam(at_line, wide, first_line, n_across, step, n_lines, real, WRAPS)
            place, seen = 2 * (lines[:, None] * n_samples + samples), on_line[:, None] & on_sample
            profile = across[:, None] * along
            in_phase += profile * tl.load(bar + place, mask=seen, other=0.0)
            off_phase += profile * tl.load(bar + place + 1, mask=seen, other=0.0)
    tl.store(echoes_bar + 2 * number, tl.sum(in_phase, axis=1), mask=exists)
    tl.store(echoes_bar + 2 * number + 1, tl.sum(off_phase, axis=1), mask=exists)
