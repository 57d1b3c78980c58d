"""From interface echoes and scattered power on each scanline to the envelope of the received signal."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.imaging.beam import axial_sigma_mm, lateral_sigma_mm
from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.gain import SILENCE
from diffus.probe import Probe
from diffus.scalars import as_scalar


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
