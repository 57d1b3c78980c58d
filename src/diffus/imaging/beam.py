"""How wide the pulse and the beam are: Gaussian pulse along depth, Gaussian profile across, at every depth.

Every sigma is the standard deviation, in mm, of the two-way **amplitude** profile exp(-x^2 / (2 sigma^2)).
Its full width at half amplitude, which is -6 dB, is 2.355 sigma.

The width of a beam with one fixed focus is that of an aperture, not of a Gaussian beam, which is up to half
as wide away from the focus. Near the focus it is the width of the diffraction pattern, ``a lambda z / A``;
elsewhere that of the aperture's shadow, ``g A |1 - z / z_f|``, less the Fresnel zones at the edges of a
rectangular one. How both meet was fitted to arrays that are summed over elements and frequencies
(tests/oracles/array_field.py, benchmarks/point_targets.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.probe import Probe
from diffus.scalars import as_scalar

_HALF_AMPLITUDE_WIDTHS = 2 * math.sqrt(2 * math.log(2))
_PULSE_SIGMA = _HALF_AMPLITUDE_WIDTHS / (4 * math.pi)


class _Window(NamedTuple):
    """What the window over the aperture makes of the two-way -6 dB width.

    Args:
        focal: over wavelength times F-number, at the focus. One way that is the -3 dB width of the window's
            transform (Harris, "On the use of windows for harmonic analysis with the discrete Fourier
            transform", Proc. IEEE 66(1), 1978, table 1; sinc for the rectangular one).
        shadow: over the aperture's shadow, by geometrical optics: where the window's square is one half.
        edge: what the Fresnel zones at the edges take from it, over ``sqrt(lambda z |1 - z / z_f|)``; fitted.
        sharpness: power by which the pattern's and the shadow's width are joined; fitted.
    """

    focal: float
    shadow: float
    edge: float
    sharpness: int


_WINDOWS = {
    "rectangular": _Window(0.886, 1.0, 0.8, 8),
    "hamming": _Window(1.303, 0.3817, 0.0, 4),
    "hann": _Window(1.441, 0.3640, 0.0, 4),
}


def axial_sigma_mm(probe: Probe, like: Tensor) -> Float[Tensor, ""]:
    """Width of the pulse's envelope along depth: 0.187 wavelengths over the fractional bandwidth.

    A Gaussian spectrum whose -6 dB (half amplitude) full width is B f0 has an envelope in time of
    sigma_t = sqrt(2 ln 2) / (pi B f0); depth is c t / 2.
    """
    wavelength = as_scalar(probe.wavelength_mm, like)
    return _PULSE_SIGMA * wavelength / as_scalar(probe.fractional_bandwidth, like)


def lateral_sigma_mm(probe: Probe, depths_mm: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Width of the beam within the image plane at each depth.

    Transmit has a fixed focus. Receive either shares it or, with ``dynamic_receive``, is in focus at every
    depth with the aperture that the probe opens there.
    """
    wavelength = as_scalar(probe.wavelength_mm, depths_mm)
    focus, aperture = as_scalar(probe.focus_mm, depths_mm), as_scalar(probe.aperture_mm, depths_mm)
    # A steered beam sees its aperture shortened; where scanlines differ in that, this is their middle one.
    aperture = aperture * probe.face_cosines().max().to(aperture)
    window = _WINDOWS[probe.apodization]
    both_ways = _fixed_focus(depths_mm, wavelength, focus, aperture, window)
    if not probe.dynamic_receive:
        return both_ways
    transmit = both_ways * math.sqrt(2)
    in_focus = window.focal * math.sqrt(2) / _HALF_AMPLITUDE_WIDTHS
    receive = in_focus * wavelength * torch.maximum(depths_mm, focus) / aperture
    return transmit * receive / torch.hypot(transmit, receive)


def elevation_sigma_mm(probe: Probe, depths_mm: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Width of the slice at each depth: the lens has one fixed focus, both ways."""
    return _fixed_focus(
        depths_mm,
        as_scalar(probe.wavelength_mm, depths_mm),
        as_scalar(probe.elevation_focus_mm, depths_mm),
        as_scalar(probe.elevation_aperture_mm, depths_mm),
        _WINDOWS["rectangular"],
    )


def _fixed_focus(
    depths_mm: Tensor, wavelength: Tensor, focus: Tensor, aperture: Tensor, window: _Window
) -> Tensor:
    """Two-way sigma of an aperture with one fixed focus."""
    defocus = (1 - depths_mm / focus).abs()
    pattern = window.focal * wavelength * depths_mm / aperture
    zones = torch.sqrt((wavelength * depths_mm * defocus).clamp_min(1e-12))
    shadow = (window.shadow * aperture * defocus - window.edge * zones).clamp_min(0)
    larger = torch.maximum(pattern, shadow).detach()  # taken out, that powers do not overflow
    powers = (pattern / larger) ** window.sharpness + (shadow / larger) ** window.sharpness
    return larger * powers ** (1 / window.sharpness) / _HALF_AMPLITUDE_WIDTHS
