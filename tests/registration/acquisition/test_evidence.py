"""The model of a frame against renderings: its mean, its grain with every kind of probe, and its spread."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from tests.scenes import IDENTITY, medium_of, textured, uniform
from torch import Tensor

import diffus
from diffus import ConvexProbe, LinearProbe, Medium, PhasedProbe, Probe, RadialProbe, RenderSettings
from diffus.imaging.gain import time_gain_db
from diffus.registration.acquisition.evidence import Evidence, Misfit, Observed
from diffus.registration.acquisition.fit import differences, information
from diffus.registration.acquisition.patches import patch_cells, patch_sums
from diffus.registration.acquisition.picture import Picture, log_speckle_db, picture_of
from diffus.registration.acquisition.unknowns import Acquisition, Unknowns

COMMON: dict[str, Any] = {
    "n_scanlines": 72,
    "n_samples": 320,
    "depth_mm": 40.0,
    "frequency_mhz": 5.0,
    "focus_mm": 25.0,
    "aperture_mm": 9.0,
}
PROBES: dict[str, Probe] = {
    "linear": LinearProbe(width_mm=30.0, **COMMON),
    "steered": LinearProbe(width_mm=30.0, steering_deg=15.0, **COMMON),
    "convex": ConvexProbe(radius_mm=20.0, field_of_view_deg=60.0, **COMMON),
    "phased": PhasedProbe(field_of_view_deg=90.0, **COMMON),
    "radial": RadialProbe(radius_mm=6.0, **{**COMMON, "n_scanlines": 180}),
}
SETTINGS = RenderSettings(tgc_db_per_cm=4.0, gain_db=22.0, propagation="primary")


def plain_tissue() -> Medium:
    """Large and uniform, without interfaces."""
    return medium_of(
        lambda x, y, z: (0 * z + 1.6, 0 * z + 0.4, 0 * z + 0.01),
        spacing_mm=4.0,
        half_width_mm=60.0,
        z_mm=(-60.0, 60.0),
        dtype=torch.float32,
    )


@cache
def shown(name: str, seed: int = 3) -> Tensor:
    settings = SETTINGS.with_options(speckle="sampled", seed=seed)
    return diffus.render(plain_tissue(), PROBES[name], IDENTITY, settings).scanlines


def acquisition(probe: Probe, settings: RenderSettings = SETTINGS, slope: float = 1.0) -> Acquisition:
    return Acquisition(probe, settings, slope, IDENTITY[None])


def evidence(name: str, around: Acquisition) -> Evidence:
    levels = shown(name)
    return Evidence(Observed(levels, torch.ones_like(levels), True), plain_tissue(), around, 3.0)


def test_the_mean_intensity_is_the_renderers() -> None:
    probe = PROBES["convex"]
    picture = picture_of(textured(), acquisition(probe))
    frame = diffus.render(textured(), probe, IDENTITY, SETTINGS)
    in_db = 20 * torch.log10(frame.envelope) + time_gain_db(probe, SETTINGS, frame.envelope) + 22.0
    assert torch.allclose(picture.white_db, in_db, atol=1e-6)


def test_the_attenuation_slope_is_that_of_an_attenuating_medium() -> None:
    probe, medium = PROBES["linear"], textured()
    stronger = Medium(medium.impedance, 1.4 * medium.attenuation, medium.backscatter, medium.world_from_voxel)
    expected = picture_of(stronger, acquisition(probe)).white_db
    assert torch.allclose(picture_of(medium, acquisition(probe, slope=1.4)).white_db, expected, atol=1e-6)
    assert not torch.allclose(picture_of(medium, acquisition(probe)).white_db, expected, atol=1.0)


@pytest.mark.parametrize("gain_db", [22.0, -10.0, 42.0])
def test_the_level_is_the_mean_display_of_sampled_speckle(gain_db: float) -> None:
    """In the middle of the display, cut by black, and cut by white."""
    probe, settings = PROBES["linear"], SETTINGS.with_options(gain_db=gain_db)
    level = picture_of(plain_tissue(), acquisition(probe, settings)).level
    seeds = [settings.with_options(speckle="sampled", seed=seed) for seed in range(12)]
    frames = [diffus.render(plain_tissue(), probe, IDENTITY, each).scanlines for each in seeds]
    mean = torch.cat(frames)[:, 10:-10].mean(dim=(0, 1)).reshape(8, -1).mean(dim=1)
    expected = level[0, 10:-10].mean(dim=0).reshape(8, -1).mean(dim=1)
    assert torch.allclose(mean, expected, atol=0.006)


def test_strata_have_the_mean_of_log_speckle() -> None:
    assert sum(log_speckle_db(10)) / 10 == pytest.approx(-2.507, abs=0.01)


@pytest.mark.parametrize("name", list(PROBES))
def test_differences_at_the_truth_are_of_the_size_they_are_said_to_be(name: str) -> None:
    probe = PROBES[name]
    made = evidence(name, acquisition(probe))
    assert made.misfit(acquisition(probe)).grain < 1.7
    assert made.misfit(acquisition(probe)).levels < 1.8
    residual = made(acquisition(probe))
    assert 0.3 < float(residual.square().mean()) < 1.5


@pytest.mark.parametrize("name", list(PROBES))
@pytest.mark.parametrize("change", [{"fractional_bandwidth": 0.48}, {"aperture_mm": 11.5}])
def test_differences_see_another_pulse_and_another_beam(name: str, change: dict[str, float]) -> None:
    probe = PROBES[name]
    made, other = evidence(name, acquisition(probe)), probe.with_options(**change)
    gained = made(acquisition(other)).square().sum() - made(acquisition(probe)).square().sum()
    assert float(gained) > 40


def wavy() -> Medium:
    """As the plain tissue, with backscatter that comes and goes over 21 mm."""
    return medium_of(
        lambda x, y, z: (0 * z + 1.6, 0 * z + 0.4, 0.01 + 0.005 * torch.sin(0.3 * x)),
        half_width_mm=60.0,
        z_mm=(-60.0, 60.0),
        spacing_mm=2.0,
        dtype=torch.float32,
    )


def test_misfit_sees_another_medium_and_shrinks_the_differences() -> None:
    observed = Observed(shown("linear"), torch.ones_like(shown("linear")), False)
    at = acquisition(PROBES["linear"])
    made = Evidence(observed, wavy(), at, 3.0)
    misfit = made.misfit(at)
    assert misfit.levels > 5
    assert misfit.grain == 1.0
    off = picture_of(wavy(), at).white_db - picture_of(plain_tissue(), at).white_db
    cells = patch_cells(12.0, at.probe)
    means = patch_sums(off, cells) / patch_sums(torch.ones_like(off), cells)
    weighted = means.square() * patch_sums(torch.ones_like(off), cells) / off.numel()
    assert misfit.brightness_db == pytest.approx(float(weighted.sum().sqrt()), rel=0.15)
    assert Evidence(observed, plain_tissue(), at, 3.0).misfit(at).brightness_db < 0.4
    smaller = Evidence(observed, wavy(), at, 3.0, Misfit(misfit.levels))
    assert torch.allclose(smaller(at) ** 2 * misfit.levels, made(at) ** 2, rtol=1e-4)


def test_an_error_of_brightness_that_all_share_adds_to_that_of_the_gain() -> None:
    at = acquisition(PROBES["linear"])
    made, gain = evidence("linear", at), Unknowns(("gain_db",), at)
    alone = information(made, gain, gain.coordinates())
    shared = information(made, gain, gain.coordinates(), brightness_db=2.0)
    assert float(alone) > 20
    assert float(1 / shared) == pytest.approx(float(1 / alone) + 2.0**2, rel=0.1)
    # Grain does not depend on brightness, and so is not touched.
    width = Unknowns(("aperture_mm",), at)
    of_grain = information(made, width, width.coordinates(), brightness_db=2.0)
    assert float(of_grain) == pytest.approx(float(information(made, width, width.coordinates())), rel=0.03)


def test_the_derivative_by_gain_is_the_inverse_of_the_dynamic_range() -> None:
    at = acquisition(PROBES["linear"])
    made, gain = evidence("linear", at), Unknowns(("gain_db",), at)

    def residual(coordinates: Tensor) -> Tensor:
        return made.levels(gain.acquisition(coordinates)).flatten().double()

    here = residual(gain.coordinates())
    slope = differences(residual, gain, gain.coordinates(), here)[:, 0]
    doubled = gain.acquisition(gain.coordinates() + 1.0)
    assert torch.allclose(made.levels(doubled).flatten().double() - here, slope, rtol=0.02, atol=0.02)
    assert float(slope.max()) < 0


def test_there_is_no_grain_in_the_dark() -> None:
    levels, dark = shown("linear"), acquisition(PROBES["linear"], SETTINGS.with_options(gain_db=-35.0))
    made = Evidence(Observed(levels, torch.ones_like(levels), True), plain_tissue(), dark, 3.0)
    assert len(made(dark)) == made.levels(dark).numel()


def test_what_lies_outside_the_volume_is_not_compared() -> None:
    probe = PROBES["linear"]
    small = uniform()
    levels = torch.rand(1, 72, 320, dtype=torch.float64)
    away = IDENTITY.clone()
    away[0, 3] = 25.0  # half of the sector lies beyond the grid's border at x = 25 mm
    place = Acquisition(probe, SETTINGS, 1.0, away[None])
    made = Evidence(Observed(levels, torch.ones_like(levels), False), small, place, 3.0)
    seen = made.levels(place).abs().sum(dim=2)[0] > 0
    half = len(seen) // 2
    assert bool(seen[: half - 1].all())
    assert not bool(seen[half + 1 :].any())


def test_interfaces_weigh_little() -> None:
    picture: Picture = picture_of(textured(), acquisition(PROBES["linear"]))
    assert 0 <= float(picture.speckled.min()) < 0.9
    assert float(picture.speckled.max()) <= 1


def test_patches_add_up_to_the_image() -> None:
    image = torch.rand(2, 13, 29)
    cells = (4, 8)
    sums = patch_sums(image, cells)
    assert sums.shape == (2, 4, 4)
    assert float(sums[1, 3, 3]) == pytest.approx(float(image[1, 12:, 24:].sum()), rel=1e-5)
    assert patch_cells(3.0, PROBES["linear"]) == (7, 24)
    assert patch_cells(1e6, PROBES["linear"]) == (72, 320)
    assert patch_cells(1e-6, PROBES["linear"]) == (1, 1)
