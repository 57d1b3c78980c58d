"""Widths of pulse and beam against numerically formed pulses, apertures and the textbook's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffus import ConvexProbe
from diffus.imaging.beam import axial_sigma_mm, elevation_sigma_mm, lateral_sigma_mm

HALF = 2 * math.sqrt(2 * math.log(2))
DOUBLE = torch.zeros(0, dtype=torch.float64)


def probe(**options) -> ConvexProbe:
    return ConvexProbe(**{"frequency_mhz": 6.0, "focus_mm": 40.0, "aperture_mm": 14.0} | options)


@pytest.mark.parametrize(("frequency", "bandwidth"), [(6.0, 0.6), (3.5, 0.8), (9.0, 0.4)])
def test_pulse_is_the_envelope_of_its_spectrum(frequency: float, bandwidth: float) -> None:
    # A Gaussian spectrum, half amplitude (-6 dB) at +- B f0 / 2, transformed numerically.
    times = np.linspace(0, 1, 2001)  # microseconds
    frequencies = np.linspace(-2 * frequency, 4 * frequency, 3001)
    spectrum = np.exp(-0.5 * ((frequencies - frequency) / (bandwidth * frequency / HALF)) ** 2)
    envelope = np.abs(np.exp(2j * np.pi * times[:, None] * frequencies) @ spectrum)
    half_time = np.interp(-0.5, -envelope / envelope[0], times)
    measured = 2 * half_time * 1e-6 * 1540 / 2 * 1e3 / HALF
    given = float(axial_sigma_mm(probe(frequency_mhz=frequency, fractional_bandwidth=bandwidth), DOUBLE))
    assert given == pytest.approx(measured, rel=1e-3)
    assert given == pytest.approx(0.187 * 1.54 / frequency / bandwidth, rel=3e-3)


@pytest.mark.parametrize("dynamic", [True, False])
def test_width_at_the_focus_is_that_of_a_rectangular_aperture(dynamic: bool) -> None:
    # Two-way pattern sinc^2 of the aperture, half amplitude by bisection.
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sinc(middle) ** 2 > 0.5 else (low, middle)
    wavelength, f_number = 1.54 / 6.0, 40.0 / 14.0
    expected = 2 * low * wavelength * f_number
    sigma = lateral_sigma_mm(probe(dynamic_receive=dynamic), torch.tensor([40.0], dtype=torch.float64))
    assert float(sigma) * HALF == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize(("window", "half"), [("rectangular", 1.0), ("hamming", 0.3817), ("hann", 0.3640)])
def test_far_off_the_focus_the_beam_is_the_shadow_of_its_aperture(window: str, half: float) -> None:
    # Geometrical optics: where the square of the window has fallen to one half, on both sides.
    x = np.linspace(0, 0.5, 100_001)
    values = {
        "rectangular": 1.0 + 0 * x,
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * x),
        "hann": 0.5 + 0.5 * np.cos(2 * np.pi * x),
    }[window]
    below = values**2 < 0.5
    assert half == pytest.approx(2 * x[below.argmax()] if below.any() else 1.0, abs=1e-4)
    wide = probe(dynamic_receive=False, apodization=window, aperture_mm=30.0, frequency_mhz=20.0)
    for depth in (4.0, 120.0):
        sigma = lateral_sigma_mm(wide, torch.tensor([depth], dtype=torch.float64))
        geometric = half * 30.0 * abs(1 - depth / 40.0)
        edges = (
            0.8 * math.sqrt(1.54 / 20.0 * depth * abs(1 - depth / 40.0)) if window == "rectangular" else 0.0
        )
        assert float(sigma) * HALF == pytest.approx(geometric - edges, rel=1e-2)


def test_dynamic_receive_is_narrower_off_the_focus_and_equal_at_it() -> None:
    depths = torch.tensor([2.0, 10.0, 25.0, 35.0, 60.0, 90.0], dtype=torch.float64)
    dynamic = lateral_sigma_mm(probe(), depths)
    fixed = lateral_sigma_mm(probe(dynamic_receive=False), depths)
    assert bool((dynamic < 0.95 * fixed).all())
    at_focus = torch.tensor([40.0], dtype=torch.float64)
    assert float(lateral_sigma_mm(probe(), at_focus)) == pytest.approx(
        float(lateral_sigma_mm(probe(dynamic_receive=False), at_focus)), rel=1e-12
    )


def test_slice_is_thinnest_at_the_lens_focus() -> None:
    depths = torch.linspace(1, 90, 891, dtype=torch.float64)
    sigma = elevation_sigma_mm(probe(elevation_focus_mm=30.0, elevation_aperture_mm=5.0), depths)
    # Before the focus, as this lens is weak: its near field ends at A^2 / (4 lambda) = 24 mm.
    assert 15.0 < float(depths[sigma.argmin()]) < 30.0
    at_focus = elevation_sigma_mm(
        probe(elevation_focus_mm=30.0, elevation_aperture_mm=5.0), torch.tensor([30.0], dtype=torch.float64)
    )
    assert float(at_focus) * HALF == pytest.approx(0.886 * 1.54 / 6.0 * 30.0 / 5.0, rel=1e-6)
    assert float(sigma[0]) * HALF > 4.0  # near the face as thick as the elements are high


@pytest.mark.parametrize("window", ["rectangular", "hamming", "hann"])
def test_widths_have_gradients_even_at_the_focus(window: str) -> None:
    depths = torch.tensor([0.07, 5.0, 20.0, 39.0, 41.0, 60.0, 100.0], dtype=torch.float64)

    def sigma(frequency: torch.Tensor, focus: torch.Tensor, aperture: torch.Tensor) -> torch.Tensor:
        options = {"frequency_mhz": frequency, "focus_mm": focus, "aperture_mm": aperture}
        return lateral_sigma_mm(probe(apodization=window, dynamic_receive=False, **options), depths)

    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (6.0, 40.0, 14.0)]
    assert torch.autograd.gradcheck(sigma, tuple(values))
    focus = torch.tensor(40.0, dtype=torch.float64, requires_grad=True)
    at_focus = lateral_sigma_mm(
        probe(apodization=window, focus_mm=focus), torch.tensor([1e-9, 40.0], dtype=torch.float64)
    )
    (slope,) = torch.autograd.grad(at_focus.sum(), focus)
    assert bool(torch.isfinite(slope))
