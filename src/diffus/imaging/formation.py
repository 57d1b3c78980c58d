"""From interface echoes and scattered power on each scanline to the envelope of the received signal."""

from __future__ import annotations

import logging
import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from diffus.imaging.beam import axial_sigma_mm, lateral_sigma_mm
from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.gain import SILENCE
from diffus.probe import Probe
from diffus.scalars import as_double, as_scalar, number

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
            "n_samples=%d is too few for the pulse (step %.3f mm, sigma %.3f mm): use n_samples=%d or more",
            probe.n_samples,
            step,
            sigma,
            needed,
        )


def interface_amplitude(echoes: Float[Tensor, "B S N"], probe: Probe) -> Float[Tensor, "B S N"]:
    """Interface echoes through pulse and beam, demodulated: their amplitudes add, with their signs.

    Args:
        echoes: amplitude of the interface echo of each cell.
        probe: gives the widths of pulse and beam.
    """
    axial, lateral = _widths(probe, echoes)
    return blur_scanlines(blur_depth(echoes, axial, "peak"), lateral, probe.wraps)


def expected_envelope(
    amplitude: Float[Tensor, "B S N"], power: Float[Tensor, "B S N"] | None, probe: Probe
) -> Float[Tensor, "B S N"]:
    """Root of the mean intensity over the scatterers' phases.

    The phases of scatterers are independent, so that their powers add, weighted by the square of the profile
    of pulse and beam.

    Args:
        amplitude: of the interfaces, from `interface_amplitude`.
        power: expected power scattered from each cell, or None.
        probe: gives the widths of pulse and beam.
    """
    intensity = amplitude**2
    if power is not None:
        axial, lateral = _widths(probe, amplitude)
        narrower = 1 / math.sqrt(2)  # the square of a Gaussian
        spread = blur_depth(power, axial * narrower, "sum")
        intensity = intensity + blur_scanlines(spread, lateral * narrower, probe.wraps)
    return torch.sqrt(intensity + SILENCE**2)


def sampled_envelope(
    amplitude: Float[Tensor, "B S N"], scattered: Complex[Tensor, "B S N"], probe: Probe
) -> Float[Tensor, "B S N"]:
    """Envelope of interfaces and scatterers together.

    An interface has the phase of its own depth, ``exp(-2 pi i f0 2 d / c)``, as the scatterers around it
    have: their interference belongs to the tissue and does not change when the probe moves along the beam.

    Args:
        amplitude: of the interfaces, from `interface_amplitude`.
        scattered: complex echo of the scatterers (`diffus.imaging.speckle.scattered_iq`).
        probe: gives carrier and depths.
    """
    depths = probe.sample_depths_mm()
    phase = (-4 * math.pi * depths / as_double(probe.wavelength_mm)).to(amplitude)
    real = amplitude * torch.cos(phase) + scattered.real
    imaginary = amplitude * torch.sin(phase) + scattered.imag
    return torch.sqrt(real**2 + imaginary**2 + SILENCE**2)


def _widths(probe: Probe, like: Tensor) -> tuple[Float[Tensor, ""], Float[Tensor, " N"]]:
    """Sigma of the pulse in samples, and of the beam in scanlines at each depth."""
    depths = probe.sample_depths_mm().to(like)
    axial = axial_sigma_mm(probe, depths) / as_scalar(probe.sample_spacing_mm, depths)
    return axial, lateral_sigma_mm(probe, depths) / probe.lateral_spacing_mm(depths).clamp_min(1e-9)
