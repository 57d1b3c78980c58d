"""Attenuation on the way, time gain compensation, and log compression with its inverse."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.probe import Probe
from diffus.scalars import Scalar, along_curve, as_scalar, on_curve, over_batch
from diffus.settings import RenderSettings

SILENCE = 1e-12
"""Envelope taken as nothing at all (-240 dB), which keeps logarithms and roots finite."""
_DB_PER_NEPER = 20 / math.log(10)


def layer_loss(
    attenuation: Float[Tensor, "*batch nodes"], probe: Probe, settings: RenderSettings
) -> Float[Tensor, "*batch N"]:
    """Amplitude factor of each layer for one pass, ``10^(-a f^b dz / 20)``.

    Node k of a scanline lies at depth ``k dz`` and stands for the layer around it; interface k, between nodes
    k and k + 1, lies at ``(k + 1/2) dz``. Layer 0, between the face and interface 0, is half a step thick.

    Args:
        attenuation: dB/cm/MHz at the N + 1 nodes.
        probe: gives frequency and step.
        settings: gives the exponent of the frequency.
    """
    thickness = torch.ones(attenuation.shape[-1] - 1, dtype=attenuation.dtype, device=attenuation.device)
    thickness[0] = 0.5
    return torch.exp(
        -attenuation[..., :-1]
        * (nepers_per_unit(probe, settings.attenuation_exponent, attenuation) * thickness)
    )


def nepers_per_unit(probe: Probe, attenuation_exponent: Scalar, like: Tensor) -> Float[Tensor, ""]:
    """Nepers that a whole layer takes in one pass for each dB/cm/MHz: ``f^b dz / 8.686``."""
    frequency = as_scalar(probe.frequency_mhz, like)
    exponent = as_scalar(attenuation_exponent, like)
    step_cm = as_scalar(probe.sample_spacing_mm, like) / 10
    return frequency**exponent * step_cm / _DB_PER_NEPER


def time_gain_db(probe: Probe, settings: RenderSettings, image: Float[Tensor, "B S N"]) -> Tensor:
    """TGC in dB at each depth, slope and sliders together, shaped to broadcast over an image."""
    depth_cm = probe.sample_depths_mm().to(image) / 10
    slope = over_batch(settings.tgc_at(probe), image) * depth_cm
    if settings.tgc_curve_db is None:
        return slope
    share = (torch.arange(probe.n_samples, dtype=image.dtype, device=image.device) + 0.5) / probe.n_samples
    return slope + on_curve(settings.tgc_curve_db, share)


def compress(
    envelope: Float[Tensor, "B S N"], probe: Probe, settings: RenderSettings
) -> Float[Tensor, "B S N"]:
    """Envelope to display values in [0, 1]: TGC, gain, logarithm, clipping, grey map.

    0 dB after TGC and gain is white, ``-dynamic_range_db`` is black.
    """
    decibel = 20 * torch.log10(envelope.clamp_min(SILENCE))
    level = decibel + time_gain_db(probe, settings, envelope) + over_batch(settings.gain_db, envelope)
    shown = (level / over_batch(settings.dynamic_range_db, envelope) + 1).clamp(0, 1)
    return shown if settings.grey_map is None else on_curve(settings.grey_map, shown)


def expand(display: Float[Tensor, "B S N"], probe: Probe, settings: RenderSettings) -> Float[Tensor, "B S N"]:
    """Display values back to the envelope; exact where `compress` did not clip."""
    shown = display if settings.grey_map is None else along_curve(settings.grey_map, display)
    level = (shown - 1) * over_batch(settings.dynamic_range_db, display)
    decibel = level - time_gain_db(probe, settings, display) - over_batch(settings.gain_db, display)
    return 10 ** (decibel / 20)
