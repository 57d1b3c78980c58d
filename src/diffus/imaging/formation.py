"""From interface echoes and scattered power on each scanline to the envelope of the received signal."""

from __future__ import annotations

import logging
import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.imaging.beam import axial_sigma_mm, lateral_sigma_mm
from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.gain import SILENCE
from diffus.probe import Probe
from diffus.scalars import as_scalar, number

LOG = logging.getLogger(__name__)
_LEAST_SIGMA_SAMPLES = 0.5
"""Samples at twice the pulse's sigma apart still add up to its area within 1.5 %; at 2.5 it is 8.5 %."""
_said: set[tuple[int, int]] = set()


def samples_needed(probe: Probe) -> int:
    """Fewest depth samples that resolve the pulse."""
    sigma = number(axial_sigma_mm(probe, torch.zeros((), dtype=torch.float64)))
    return math.ceil(_LEAST_SIGMA_SAMPLES * number(probe.depth_mm) / sigma)


def warn_if_undersampled(probe: Probe) -> None:
    """Say once for each pulse and number of samples that the step is too coarse, and what would do.

    A pulse that falls between samples makes smooth boundaries too bright.
    """
    needed = samples_needed(probe)
    if probe.n_samples < needed and (needed, probe.n_samples) not in _said:
        _said.add((needed, probe.n_samples))
        step, sigma = number(probe.sample_spacing_mm), number(axial_sigma_mm(probe, torch.zeros(())))
        LOG.warning(
            "n_samples=%d is too few for the pulse (step %.3f mm, pulse sigma %.3f mm): use n_samples=%d or more",
            probe.n_samples,
            step,
            sigma,
            needed,
        )


def form_envelope(
    echoes: Float[Tensor, "B S N"], power: Float[Tensor, "B S N"] | None, probe: Probe
) -> Float[Tensor, "B S N"]:
    """Envelope of the mean intensity: interfaces and scatterers through pulse and beam.

    Interfaces are taken demodulated, with a phase fixed to the tissue, so that their amplitudes add; the
    phases of scatterers are independent, so that their powers add, weighted by the square of the profile.

    Args:
        echoes: amplitude of the interface echo of each cell, with its sign.
        power: expected power scattered from each cell, or None.
        probe: gives the widths of pulse and beam.
    """
    depths = probe.sample_depths_mm().to(echoes)
    axial = axial_sigma_mm(probe, depths) / as_scalar(probe.sample_spacing_mm, depths)
    lateral = lateral_sigma_mm(probe, depths) / probe.lateral_spacing_mm(depths).clamp_min(1e-9)
    amplitude = blur_scanlines(blur_depth(echoes, axial, "peak"), lateral, probe.wraps)
    intensity = amplitude**2
    if power is not None:
        narrower = 1 / math.sqrt(2)  # the square of a Gaussian
        spread = blur_depth(power, axial * narrower, "sum")
        intensity = intensity + blur_scanlines(spread, lateral * narrower, probe.wraps)
    return torch.sqrt(intensity + SILENCE**2)
