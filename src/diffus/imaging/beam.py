"""How wide the pulse and the beam are: Gaussian pulse along depth, Gaussian beam across.

Every width is the standard deviation, in mm, of the two-way **amplitude** profile exp(-x^2 / (2 sigma^2)).
Its full width at half amplitude, which is -6 dB, is 2.355 sigma.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.probe import Probe
from diffus.scalars import as_scalar

_HALF_AMPLITUDE_WIDTHS = 2 * math.sqrt(2 * math.log(2))
_TWO_WAY_WIDTHS = {"rectangular": 0.886, "hamming": 1.303, "hann": 1.441}
"""-6 dB two-way width at the focus over wavelength times F-number, by the window over the aperture.

One way that is the -3 dB width of the window's transform (Harris, "On the use of windows for harmonic
analysis with the discrete Fourier transform", Proc. IEEE 66(1), 1978, table 1; sinc for the rectangular one).
"""
_PULSE_SIGMA = _HALF_AMPLITUDE_WIDTHS / (4 * math.pi)


def axial_sigma_mm(probe: Probe, like: Tensor) -> Float[Tensor, ""]:
    """Width of the pulse's envelope along depth: 0.187 wavelengths over the fractional bandwidth.

    A Gaussian spectrum whose -6 dB (half amplitude) full width is B f0 has an envelope in time of
    sigma_t = sqrt(2 ln 2) / (pi B f0); depth is c t / 2.
    """
    wavelength = as_scalar(probe.wavelength_mm, like)
    return _PULSE_SIGMA * wavelength / as_scalar(probe.fractional_bandwidth, like)


def lateral_sigma_mm(probe: Probe, depths_mm: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Width of the beam within the image plane at each depth.

    Transmit has a fixed focus, ``w(z) = w0 sqrt(1 + ((z - z_f) / z_R)^2)``. Receive either shares it or,
    with ``dynamic_receive``, is in focus at every depth with the aperture that the probe opens there.
    """
    wavelength = as_scalar(probe.wavelength_mm, depths_mm)
    focus, aperture = as_scalar(probe.focus_mm, depths_mm), as_scalar(probe.aperture_mm, depths_mm)
    # A steered beam sees its aperture shortened; where scanlines differ in that, this is their middle one.
    aperture = aperture * probe.face_cosines().max().to(aperture)
    window = _one_way_sigma(probe.apodization)
    transmit = _gaussian_beam(depths_mm, wavelength, focus, aperture, window)
    if not probe.dynamic_receive:
        return transmit / math.sqrt(2)
    receive = window * wavelength * torch.maximum(depths_mm, focus) / aperture
    return transmit * receive / torch.hypot(transmit, receive)


def elevation_sigma_mm(probe: Probe, depths_mm: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Width of the slice at each depth: the lens has one fixed focus, both ways."""
    return _gaussian_beam(
        depths_mm,
        as_scalar(probe.wavelength_mm, depths_mm),
        as_scalar(probe.elevation_focus_mm, depths_mm),
        as_scalar(probe.elevation_aperture_mm, depths_mm),
        _one_way_sigma("rectangular"),
    ) / math.sqrt(2)


def _one_way_sigma(apodization: str) -> float:
    """One-way sigma at the focus over wavelength times F-number; two equal ways give the two-way width."""
    return _TWO_WAY_WIDTHS[apodization] * math.sqrt(2) / _HALF_AMPLITUDE_WIDTHS


def _gaussian_beam(
    depths_mm: Tensor, wavelength: Tensor, focus: Tensor, aperture: Tensor, window: float
) -> Tensor:
    """One-way sigma of a Gaussian beam; its Rayleigh range is 2 pi sigma0^2 / wavelength."""
    waist = window * wavelength * focus / aperture
    rayleigh = 2 * math.pi * waist**2 / wavelength
    return waist * torch.sqrt(1 + ((depths_mm - focus) / rayleigh) ** 2)
