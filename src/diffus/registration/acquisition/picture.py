"""What a frame shows on average over speckle, in the units of its display, and what it consists of."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.imaging.formation import magnitude
from diffus.imaging.gain import time_gain_db
from diffus.imaging.noise import noise_power
from diffus.medium import Medium
from diffus.registration.acquisition.unknowns import Acquisition
from diffus.render import mean_intensity
from diffus.scalars import over_batch
from diffus.scanline_sampling import sample_scanline_medium

_STRATA = 10
_WITHIN = 400


class Picture(NamedTuple):
    """The mean image over speckle.

    Args:
        level: expected display level, clipped as the display clips.
        white_db: mean intensity after gain and TGC, in dB; 0 is white.
        speckled: share of the mean intensity that comes from scatterers; the rest is interfaces and noise.
    """

    level: Float[Tensor, "F S N"]
    white_db: Float[Tensor, "F S N"]
    speckled: Float[Tensor, "F S N"]


def picture_of(medium: Medium, acquisition: Acquisition) -> Picture:
    """Render the mean intensity as `diffus.render` does, and what the display makes of its speckle.

    The display shows logarithms, whose mean is not the logarithm of the mean: it lies 2.51 dB below
    (`log_speckle_db`), and less where black or white cut the distribution. The mean of the displayed levels
    is taken over equally likely strata of speckle. Interfaces are taken to fluctuate as scatterers do, which
    is wrong where they outshine them.

    Args:
        medium: what the waves travel through.
        acquisition: everything else; the grey map is not applied.
    """
    probe, settings, slope, poses = acquisition
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    lines = lines._replace(attenuation=slope * lines.attenuation)
    amplitude, intensity = mean_intensity(lines, probe, settings)
    noise = noise_power(settings.noise_db, intensity)
    whole = intensity if noise is None else intensity + noise
    above = 20 * torch.log10(magnitude(whole)) + time_gain_db(probe, settings, whole)
    above = above + over_batch(settings.gain_db, whole)
    span = over_batch(settings.dynamic_range_db, whole)
    shown = [((above + decibel) / span + 1).clamp(0, 1) for decibel in log_speckle_db(_STRATA)]
    speckled = (intensity - amplitude**2).clamp_min(0) / whole.clamp_min(1e-30)
    return Picture(torch.stack(shown).mean(dim=0), above, speckled)


@cache
def log_speckle_db(strata: int) -> tuple[float, ...]:
    """Mean of 10 log10 of a unit exponential variate, speckle's intensity, in strata of equal probability."""
    share = (torch.arange(strata * _WITHIN, dtype=torch.float64) + 0.5) / (strata * _WITHIN)
    decibel = 10 / math.log(10) * torch.log(-torch.log1p(-share))
    return tuple(decibel.reshape(strata, _WITHIN).mean(dim=1).tolist())
