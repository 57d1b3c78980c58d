"""The image of one scatterer: against the textbook's widths, and against arrays simulated by elements."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import signal
from tests.oracles.array_field import LinearArray
from tests.oracles.point_target import (
    DENSITY_PER_MM3,
    axial_width_mm,
    focal_width_mm,
    full_width,
    image_of_one,
    widths_mm,
)

from diffus import ConvexProbe, LinearProbe, PhasedProbe, Probe
from diffus.imaging.beam import elevation_sigma_mm, lateral_sigma_mm

HALF_AMPLITUDE = 2 * math.sqrt(2 * math.log(2))
FINE = {"n_scanlines": 161, "n_samples": 3500, "depth_mm": 70.0}
LINEAR = LinearProbe(width_mm=16.0, **FINE)
CONVEX = ConvexProbe(
    radius_mm=40.0, field_of_view_deg=20.0, frequency_mhz=4.0, fractional_bandwidth=0.8, **FINE
)
PHASED = PhasedProbe(field_of_view_deg=14.0, frequency_mhz=3.0, aperture_mm=18.0, focus_mm=50.0, **FINE)
STEERED = LinearProbe(width_mm=16.0, steering_deg=-25.0, **FINE)
PROBES: dict[str, Probe] = {"linear": LINEAR, "convex": CONVEX, "phased": PHASED, "steered": STEERED}
FACE_COSINE = {"linear": 1.0, "convex": 1.0, "phased": 1.0, "steered": math.cos(math.radians(25.0))}


def model_width_mm(probe: Probe, depth_mm: float) -> float:
    """-6 dB width of the beam that the product's formula gives."""
    depth = torch.tensor([depth_mm], dtype=torch.float64)
    return HALF_AMPLITUDE * float(lateral_sigma_mm(probe, depth))


# ------------------------------------------------------------------------------------------- formulas


@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "torch") for name in PROBES), ("linear", "numba"), ("convex", "numba")]
)
def test_a_point_at_the_focus_has_the_widths_of_the_textbook(name: str, backend: str) -> None:
    probe = PROBES[name]
    focus, wavelength = float(probe.focus_mm), float(probe.wavelength_mm)
    axial, lateral = widths_mm(image_of_one(probe, focus, backend=backend)[0], probe)
    assert axial == pytest.approx(axial_width_mm(wavelength, float(probe.fractional_bandwidth)), rel=0.03)
    seen_aperture = float(probe.aperture_mm) * FACE_COSINE[name]
    assert lateral == pytest.approx(focal_width_mm(wavelength, focus, seen_aperture), rel=0.03)


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("name", ["linear", "convex", "steered"])
def test_a_point_off_the_focus_has_the_widths_of_the_model(name: str, dynamic: bool) -> None:
    probe = PROBES[name].with_options(dynamic_receive=dynamic)
    expected_axial = axial_width_mm(float(probe.wavelength_mm), float(probe.fractional_bandwidth))
    for depth in (12.0, 25.0, 55.0, 65.0):
        axial, lateral = widths_mm(image_of_one(probe, depth)[0], probe)
        assert axial == pytest.approx(expected_axial, rel=0.03), depth
        assert lateral == pytest.approx(model_width_mm(probe, depth), rel=0.03), depth


@pytest.mark.parametrize(("lens_mm", "height_mm"), [(40.0, 7.0), (20.0, 4.0)])
def test_moved_across_the_slice_a_point_fades_with_the_slices_width(lens_mm: float, height_mm: float) -> None:
    probe = LINEAR.with_options(n_scanlines=5, elevation_focus_mm=lens_mm, elevation_aperture_mm=height_mm)
    for depth in (10.0, lens_mm, 60.0):
        at = torch.tensor([depth], dtype=torch.float64)
        expected = HALF_AMPLITUDE * float(elevation_sigma_mm(probe, at))
        elevation = expected * torch.linspace(-0.9, 0.9, 37)
        brightest = image_of_one(probe, depth, elevation).amax(dim=(1, 2))
        assert full_width(elevation, brightest) == pytest.approx(expected, rel=0.03), depth
        if depth == lens_mm:
            assert expected == pytest.approx(
                focal_width_mm(float(probe.wavelength_mm), lens_mm, height_mm), rel=0.03
            )


def test_a_point_is_dimmer_where_its_energy_is_spread_wider() -> None:
    # The squared profile holds 1 / density whatever its widths, so that level tissue has level speckle.
    for depth in (12.0, 40.0, 65.0):
        at = torch.tensor([depth], dtype=torch.float64)
        axial = axial_width_mm(float(LINEAR.wavelength_mm), float(LINEAR.fractional_bandwidth))
        elevation = HALF_AMPLITUDE * float(elevation_sigma_mm(LINEAR, at))
        volume = (
            (math.sqrt(math.pi) / HALF_AMPLITUDE) ** 3 * axial * model_width_mm(LINEAR, depth) * elevation
        )
        expected = 1 / math.sqrt(DENSITY_PER_MM3 * volume)
        assert float(image_of_one(LINEAR, depth).max()) == pytest.approx(expected, rel=0.01)


# -------------------------------------------------------------------------------- element by element

ARRAYS: dict[str, LinearProbe] = {
    "F/2.9": LinearProbe(),
    "F/5": LinearProbe(frequency_mhz=4.0, focus_mm=60.0, aperture_mm=12.0),
    "F/2": LinearProbe(focus_mm=30.0, aperture_mm=15.0),
}
WINDOWS = ("rectangular", "hamming", "hann")
SHARES_OF_FOCUS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0)


def over_the_arrays_width(probe: LinearProbe, depth_mm: float) -> float:
    """Width that the product gives a point over the width that the simulated array gives it."""
    ours = model_width_mm(probe, depth_mm)
    return ours / LinearArray.of(probe).lateral_width_mm(depth_mm, ours)


def jumps(probe: LinearProbe, depth_mm: float) -> bool:
    """Whether the shoulders of a fixed focus without a window are near -6 dB: its width jumps there.

    There, the path to the edge of the aperture differs by 0.3 to 0.5 wavelengths between depth and focus.
    """
    seen = float(probe.aperture_mm) * math.cos(math.radians(float(probe.steering_deg)))
    defocus = seen**2 / 8 * abs(1 / depth_mm - 1 / float(probe.focus_mm)) / float(probe.wavelength_mm)
    return probe.apodization == "rectangular" and not probe.dynamic_receive and 0.3 < defocus < 0.5


def off_the_focus(probe: LinearProbe) -> list[float]:
    """The product's widths over the array's, at shares of the focus, but for where the width jumps."""
    depths = [share * float(probe.focus_mm) for share in SHARES_OF_FOCUS]
    return [over_the_arrays_width(probe, depth) for depth in depths if not jumps(probe, depth)]


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("steering", [0.0, 25.0])
@pytest.mark.parametrize("name", ARRAYS)
def test_width_at_the_focus_is_the_arrays(name: str, steering: float, window: str, dynamic: bool) -> None:
    options = {"apodization": window, "dynamic_receive": dynamic, "steering_deg": steering}
    probe = ARRAYS[name].with_options(**options)
    assert over_the_arrays_width(probe, float(probe.focus_mm)) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("steering", [0.0, 25.0])
def test_width_off_the_focus_is_the_arrays(steering: float, window: str) -> None:
    probe = ARRAYS["F/2.9"].with_options(apodization=window, steering_deg=steering)
    assert off_the_focus(probe) == pytest.approx([1.0] * len(SHARES_OF_FOCUS), abs=0.15)


@pytest.mark.parametrize(
    ("window", "dynamic"),
    [(w, d) for w in WINDOWS for d in (True, False) if (w, d) != ("hamming", True)],
)
def test_width_far_off_any_focus_is_the_arrays(window: str, dynamic: bool) -> None:
    for probe in ARRAYS.values():
        ratios = off_the_focus(probe.with_options(apodization=window, dynamic_receive=dynamic))
        assert ratios == pytest.approx([1.0] * len(ratios), abs=0.15)


def depth_step(image: np.ndarray, depths_mm: np.ndarray, across_mm: np.ndarray) -> float:
    """How much deeper a point is brightest for each mm across: a line through the bright scanlines."""
    bright = image.max(axis=1) > 0.5 * image.max()
    return float(np.polyfit(across_mm[bright], depths_mm[image.argmax(axis=1)][bright], 1)[0])


@pytest.mark.parametrize("steering", [25.0, -15.0])
def test_a_steered_point_leans_as_the_arrays(steering: float) -> None:
    # Its image lies across the beam: nearer to the face on the scanlines that start further along.
    probe = LINEAR.with_options(steering_deg=steering)
    depths, across = probe.sample_depths_mm().numpy(), np.linspace(-1, 1, 41)
    ours = image_of_one(probe, 40.0)[0].numpy()
    spacing = float(probe.lateral_spacing_mm(torch.zeros(())))
    leans = depth_step(ours, depths, spacing * (np.arange(probe.n_scanlines) - probe.n_scanlines // 2))
    near = 40.0 + np.linspace(-2, 2, 401)
    array = LinearArray.of(probe)
    simulated = np.abs(array.image(40.0, across / array.direction[1], near))
    assert leans == pytest.approx(depth_step(simulated, near, across), abs=0.03)
    assert leans == pytest.approx(-math.tan(math.radians(steering)), abs=0.03)


# ---------------------------------------------------------------------------- the oracles themselves


def test_the_array_has_the_textbooks_width_at_its_focus() -> None:
    # With so narrow a band and so long a focus that the formula is exact.
    array = LinearArray(
        frequency_mhz=5.0, bandwidth=0.05, aperture_mm=8.0, focus_mm=80.0, dynamic_receive=False
    )
    expected = focal_width_mm(array.wavelength_mm, 80.0, 8.0)
    assert array.lateral_width_mm(80.0, expected) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
def test_the_array_agrees_with_pymust(dynamic: bool) -> None:
    pytest.importorskip("pymust", reason="the simulator PyMUST comes with the extra [test]")
    array = LinearArray.of(LinearProbe(aperture_mm=8.0, dynamic_receive=dynamic))
    for depth in (20.0, 28.0):
        width = array.lateral_width_mm(depth, 1.5)
        assert width / pymust_width_mm(array, depth, width) == pytest.approx(1, abs=0.06), depth


def pymust_width_mm(array: LinearArray, target_mm: float, guess_mm: float) -> float:
    """-6 dB width of a point by PyMUST (Garcia, SIMUS, Comput. Methods Programs Biomed. 218, 2022).

    Its elements are strips in a soft baffle. It beamforms the dynamic receive; for the fixed one, the
    channels are delayed as in transmit and added.
    """
    import pymust
    from pymust.utils import Param

    param = Param()
    param.fc, param.bandwidth, param.c = (
        array.frequency_mhz * 1e6,
        100 * array.bandwidth,
        1e3 * array.speed_mm_us,
    )
    param.fs, param.pitch = 8 * param.fc, array.wavelength_mm * 1e-3 / 2
    param.kerf, param.Nelements = param.pitch / 50, round(array.aperture_mm * 1e-3 / param.pitch)
    param.fnumber = array.focus_mm / array.aperture_mm
    delays = pymust.txdelay(0.0, array.focus_mm * 1e-3, param)
    across, depths = np.linspace(0, 1.2 * guess_mm, 13), (target_mm + np.linspace(-1.5, 1.5, 61)) * 1e-3
    brightest = []
    for x in across:
        target = np.array([x * 1e-3]), np.array([target_mm * 1e-3]), np.ones(1)
        channels = pymust.simus(*target, delays, param)[0]
        if array.dynamic_receive:
            iq = pymust.rf2iq(channels, param.fs, param.fc)
            delay_and_sum = pymust.dasmtx(
                1j * np.array(iq.shape), np.zeros_like(depths), depths, delays, param
            )
            brightest.append(np.abs(delay_and_sum @ iq.flatten(order="F")).max())
        else:
            turns = np.fft.rfftfreq(len(channels), 1 / param.fs)[:, None] * delays
            spectrum = (np.fft.rfft(channels, axis=0) * np.exp(-2j * np.pi * turns)).sum(axis=1)
            brightest.append(np.abs(signal.hilbert(np.fft.irfft(spectrum))).max())
    both_sides = np.concatenate([brightest[:0:-1], brightest])
    return full_width(np.concatenate([-across[:0:-1], across]), both_sides)
