"""The metrics of the study against real ultrasound, on images whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from benchmarks.real import correlation, metrics
from benchmarks.real.candidate import candidate_of
from benchmarks.real.observation import observed, sweep_poses
from benchmarks.real.published import with_artefacts
from benchmarks.real.sampling import LineGrid, eroded_support, sample_plane
from benchmarks.real.scanline_image import ScanlineImage, pooled
from benchmarks.real.sharpness import gradients
from benchmarks.real.table import distance_table, rows
from scipy import ndimage, stats
from tests.scenes import IDENTITY, TILTED
from torch import Tensor

from diffus import ConvexProbe, Frame, LinearProbe, RenderSettings, Volume
from diffus.pose import transform_points

LINES, SAMPLES = 160, 240


def image_of(
    grey: Tensor, spacing_mm: float = 0.25, step_mm: float = 0.25, mask: Tensor | None = None
) -> ScanlineImage:
    """Parallel scanlines."""
    mask = torch.ones_like(grey, dtype=torch.bool) if mask is None else mask
    return ScanlineImage(grey, mask, step_mm, torch.full((grey.shape[1],), spacing_mm, dtype=torch.float64))


def noise(
    seed: int = 0, sigma: tuple[float, float] = (0.0, 0.0), mean: float = 0.5, std: float = 0.1
) -> Tensor:
    """White noise through a Gaussian of a sigma in lines and in samples."""
    white = np.random.default_rng(seed).normal(size=(LINES, SAMPLES))
    blurred = ndimage.gaussian_filter(white, sigma, mode="wrap")
    return torch.from_numpy(mean + std * blurred / blurred.std()).float()


def grain(axial_mm: float = 0.6, lateral_mm: float = 1.2, seed: int = 0) -> ScanlineImage:
    """Noise of a known grain; sigma in mm."""
    return image_of(noise(seed, (lateral_mm / 0.25, axial_mm / 0.25)))


# ------------------------------------------------------------------------------------------- all metrics


@pytest.mark.parametrize("name", metrics.METRICS)
def test_a_set_is_at_no_distance_from_itself_and_distances_are_symmetric(name: str) -> None:
    first, second = [grain(0.4, 0.8, seed=1)], [grain(0.7, 1.6, seed=2)]
    distance = metrics.METRICS[name]
    assert distance(first, first) == pytest.approx(0, abs=1e-9)
    assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-6)


# ----------------------------------------------------------------------------------------------- grey


def test_wasserstein_is_scipys() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=3000), generator.gamma(2.0, size=2000)
    weights = generator.uniform(size=3000), generator.uniform(size=2000)
    expected = stats.wasserstein_distance(*values, *weights)
    samples = [
        (torch.from_numpy(v), torch.from_numpy(w / w.sum())) for v, w in zip(values, weights, strict=True)
    ]
    assert metrics.wasserstein(*samples) == pytest.approx(expected, rel=0.01)


def test_a_change_of_gain_is_seen_as_displayed_and_not_with_equal_means() -> None:
    dark, bright = [image_of(noise(mean=0.3))], [image_of(noise(mean=0.5))]
    assert metrics.grey_distance(dark, bright) == pytest.approx(0.2, abs=1e-3)
    assert metrics.matched_grey_distance(dark, bright) == pytest.approx(0, abs=1e-6)
    assert metrics.profile_distance(dark, bright) == pytest.approx(0, abs=1e-6)


def test_samples_count_by_the_area_they_stand_for() -> None:
    grey = torch.cat([torch.zeros(4, 10), torch.ones(4, 10)], dim=1)
    spacing = torch.cat([torch.full((10,), 0.1), torch.full((10,), 0.3)]).double()
    image = ScanlineImage(grey, torch.ones(4, 20, dtype=torch.bool), 0.25, spacing)
    assert image.mean() == pytest.approx(0.75)
    values, weights = pooled([image, image_of(torch.zeros(300, 300))])
    assert float((values * weights).sum()) == pytest.approx(0.375)  # both images count alike


def test_what_the_mask_leaves_out_does_not_count() -> None:
    grey, mask = noise(), torch.ones(LINES, SAMPLES, dtype=torch.bool)
    mask[:, 150:] = mask[:40] = False
    spoilt = torch.where(mask, grey, 5.0)
    for name, distance in metrics.METRICS.items():
        assert distance([image_of(grey, mask=mask)], [image_of(spoilt, mask=mask)]) < 1e-6, name


def test_profile_is_the_mean_at_each_depth() -> None:
    ramp = torch.linspace(0, 1, SAMPLES).expand(LINES, SAMPLES)
    profile = metrics.depth_profile([image_of(ramp)])
    expected = (torch.arange(16) + 0.5) / 16
    torch.testing.assert_close(profile, expected.double(), atol=0.005, rtol=0)
    flat = [image_of(torch.full((LINES, SAMPLES), 0.4))]
    # RMS of a ramp of height 1 about its mean.
    assert metrics.profile_distance([image_of(ramp)], flat) == pytest.approx(1 / math.sqrt(12), rel=0.02)


# ------------------------------------------------------------------------------------- correlation length


def expected_lengths(axial_mm: float, lateral_mm: float) -> tuple[float, float]:
    """Half-widths of Gaussian grain whose mean over a box of 5 mm is removed, from its power spectrum."""
    n, box = 512, 2 * int(correlation.LOCAL_MM / 2 / 0.25) + 1
    frequency = np.fft.fftfreq(n)
    across, along = np.meshgrid(frequency, frequency, indexing="ij")
    width = np.where(
        frequency == 0, 1, np.sin(math.pi * frequency * box) / (box * np.sin(math.pi * frequency) + 1e-30)
    )
    exponent = (2 * math.pi * across * lateral_mm / 0.25) ** 2 + (2 * math.pi * along * axial_mm / 0.25) ** 2
    spectrum = np.exp(-exponent) * (1 - width[:, None] * width[None, :]) ** 2
    covariance = np.fft.ifft2(spectrum).real
    curves = covariance[0, : n // 2], covariance[: n // 2, 0]
    axial, lateral = (
        float(np.interp(-0.5, -curve[:40] / curve[0], 0.25 * np.arange(40))) for curve in curves
    )
    return axial, lateral


@pytest.mark.parametrize(("axial_mm", "lateral_mm"), [(0.3, 0.5), (0.5, 1.0)])
def test_lengths_of_gaussian_grain_are_known(axial_mm: float, lateral_mm: float) -> None:
    images = [grain(axial_mm, lateral_mm, seed) for seed in range(4)]
    axial = [correlation.half_width(image.grey, image.mask, 0.25) for image in images]
    # White noise through a Gaussian of sigma s has the autocovariance exp(-lag^2 / (4 s^2)): half at 1.665 s.
    assert np.mean(axial) == pytest.approx(2 * math.sqrt(math.log(2)) * axial_mm, rel=0.05)
    expected = expected_lengths(axial_mm, lateral_mm)
    assert metrics.mean_lengths_mm(images, "axial").mean() == pytest.approx(expected[0], rel=0.04)
    assert metrics.mean_lengths_mm(images, "lateral").mean() == pytest.approx(expected[1], rel=0.07)


def test_lateral_length_follows_the_spacing_of_diverging_scanlines() -> None:
    grey = noise(sigma=(3.0, 1.5))
    spacing = torch.linspace(0.1, 0.4, SAMPLES).double()
    image = ScanlineImage(grey, torch.ones_like(grey, dtype=torch.bool), 0.25, spacing)
    near, mid, far = correlation.band_lengths_mm(image, "lateral")
    assert near < 0.75 * mid < mid < far / 1.15


def test_length_distance_is_the_log_of_the_ratio() -> None:
    short = [grain(0.3, 0.5, seed) for seed in range(3)]
    tall = [grain(0.45, 0.5, seed) for seed in range(3, 6)]
    assert metrics.axial_length_distance(short, tall) == pytest.approx(math.log(1.5), rel=0.15)
    assert metrics.lateral_length_distance(short, tall) < 0.1


def test_anatomy_does_not_count_as_grain() -> None:
    slow = 0.3 * torch.sin(torch.arange(SAMPLES) * 0.25 * 2 * math.pi / 60)
    alone, over = image_of(noise(4, (3.0, 1.5))), image_of(noise(4, (3.0, 1.5)) + slow)
    for axis in correlation.AXES:
        assert correlation.band_lengths_mm(over, axis) == pytest.approx(
            correlation.band_lengths_mm(alone, axis), rel=0.1
        )


def test_equal_contrast_measures_the_grain_beside_bright_structures() -> None:
    fine = noise(7, (2.0, 1.5), std=0.02)
    bright = torch.zeros(LINES, SAMPLES)
    bright[:, ::60] = 1.0
    coarse = torch.from_numpy(ndimage.gaussian_filter(bright.numpy(), (0.0, 2.0)))
    alone, beside = image_of(fine), image_of(fine + 2 * coarse)
    expected = np.mean(correlation.band_lengths_mm(alone, "lateral"))
    plain, equal = (np.mean(correlation.band_lengths_mm(beside, "lateral", e)) for e in (False, True))
    assert plain > 3 * expected  # lines of one brightness from side to side
    assert equal < 0.75 * plain
    assert np.mean(correlation.band_lengths_mm(alone, "lateral", True)) == pytest.approx(expected, rel=0.05)


def test_a_band_without_an_image_is_left_out() -> None:
    mask = torch.ones(LINES, SAMPLES, dtype=torch.bool)
    mask[:, : SAMPLES // 3] = False
    image = image_of(noise(5, (3.0, 1.5)), mask=mask)
    near, mid, _ = correlation.band_lengths_mm(image, "axial")
    assert math.isnan(near)
    assert mid > 0
    assert math.isfinite(metrics.axial_length_distance([image], [grain()]))


# ------------------------------------------------------------------------------------------- sharpness


def test_gradient_of_a_plane_is_its_slope() -> None:
    lines, samples = torch.meshgrid(torch.arange(80) * 0.2, torch.arange(120) * 0.25, indexing="ij")
    plane = 0.01 * lines + 0.02 * samples
    image = image_of(plane, spacing_mm=0.2)
    values, weights = gradients(image, 0.0)
    torch.testing.assert_close(
        values, torch.full_like(values, math.hypot(0.01, 0.02) / image.std()), rtol=1e-4, atol=0
    )
    assert float(weights.sum()) == pytest.approx(1)


def test_contrast_does_not_change_sharpness_and_blur_does() -> None:
    sharp, flat, soft = [grain(0.3, 0.3, 6)], [image_of(0.5 * noise(6, (1.2, 1.2)))], [grain(1.0, 1.0, 6)]
    assert metrics.grain_sharpness_distance(sharp, flat) == pytest.approx(0, abs=1e-4)
    assert metrics.grain_sharpness_distance(sharp, soft) > 0.5


# ------------------------------------------------------------------------------------------ observation

LINEAR = LinearProbe(width_mm=30.0, depth_mm=40.0, n_scanlines=121, n_samples=400)
CONVEX = ConvexProbe(radius_mm=20.0, field_of_view_deg=50.0, depth_mm=40.0, n_scanlines=121, n_samples=400)


def sweep_of(probe: LinearProbe | ConvexProbe, grey: Tensor) -> Frame:
    return Frame(grey, grey, probe, sweep_poses(TILTED), RenderSettings())


@pytest.mark.parametrize("probe", [LINEAR, CONVEX], ids=["linear", "convex"])
def test_observation_keeps_what_is_smooth_in_its_place(probe: LinearProbe | ConvexProbe) -> None:
    depth = probe.sample_depths_mm().float()
    grey = (depth / 40 + 0.1 * torch.sin(depth / 4)).expand(7, 121, 400).contiguous()
    seen = observed(sweep_of(probe, grey))
    grid = LineGrid.of(probe)
    at = torch.from_numpy(np.linalg.norm(grid.points_mm[10] - grid.points_mm[10, 0], axis=-1)) + 4.0
    torch.testing.assert_close(seen.grey[10], (at / 40 + 0.1 * torch.sin(at / 4)).float(), atol=0.004, rtol=0)


def test_observation_blurs_the_grain_as_voxels_do() -> None:
    white = torch.rand(7, 121, 400, generator=torch.Generator().manual_seed(0))
    seen = observed(sweep_of(LINEAR, white))
    assert seen.std() < 0.5 * float(white.std())
    assert correlation.band_lengths_mm(seen, "axial")[1] > 0.3


def test_planes_of_a_volume_are_cut_where_the_pose_says() -> None:
    affine = torch.eye(4, dtype=torch.float64) * 0.5
    affine[3, 3] = 1
    index = torch.stack(torch.meshgrid(*[torch.arange(160.0)] * 3, indexing="ij"), dim=-1)
    volume = Volume(index @ torch.tensor([0.5, 0.3, 0.2]) + 1, affine)
    pose = IDENTITY.clone()
    pose[:3, 3] = torch.tensor([40.0, 40.0, 20.0])
    seen = sample_plane(volume, CONVEX, pose, white=255.0, support=eroded_support(volume))
    world = transform_points(pose, LineGrid.of(CONVEX).points_mm.reshape(-1, 3)).reshape(*seen.grey.shape, 3)
    expected = (world / 0.5 @ torch.tensor([0.5, 0.3, 0.2]).double() + 1) / 255
    assert bool(seen.mask.all())
    torch.testing.assert_close(seen.grey, expected.float(), atol=1e-4, rtol=0)


def test_support_is_what_is_not_black_less_one_voxel() -> None:
    data = torch.zeros(9, 9, 9)
    data[2:7, 2:7, 2:7] = 3.0
    inside = eroded_support(Volume(data, IDENTITY)).data
    assert int(inside.sum()) == 27
    assert bool(inside[4, 4, 4])


# -------------------------------------------------------------------------------- published, table, candidate


def test_published_artefacts_are_as_strong_as_its_constants_say() -> None:
    echo = torch.ones(256, 300)
    image = with_artefacts(echo, torch.Generator().manual_seed(1))
    near, far = (
        np.corrcoef(part[:-1].flatten(), part[1:].flatten())[0, 1]
        for part in (image[:, 10:40], image[:, -40:])
    )
    assert near < 0.3
    assert far > 0.5  # the blur across scanlines widens with depth
    assert float(image.min()) >= 0
    assert float(with_artefacts(-echo, torch.Generator().manual_seed(1)).quantile(0.99)) == 0


def test_ratio_is_that_of_the_mean_distances() -> None:
    real = {
        name: [image_of(noise(mean=level, std=0.005))] for name, level in (("a", 0.3), ("b", 0.4), ("c", 0.5))
    }
    ours = {"ours": {"one": [image_of(noise(mean=0.7, std=0.005))]}}
    first = rows(real, ours)[0]
    # Left out a, b, c in turn: the others' greys lie 0.15, 0.1 and 0.15 away on average.
    assert first.real == pytest.approx((0.15 + 0.1 + 0.15) / 3, abs=0.002)
    assert first.rendered["ours"] == pytest.approx(0.3, abs=0.005)
    assert first.ratio("ours") == pytest.approx(first.rendered["ours"] / first.real)
    assert distance_table("x", [first])[-1].startswith("| rows within")


def test_candidates_are_read_from_assignments() -> None:
    found = candidate_of(
        [
            "noise_db=-110",
            "aperture_mm=5",
            "tissue.csf=0.001",
            "grey_map=(0, 0.2, 1)",
            "tgc_db_per_cm=None",
        ]
    )
    assert found.settings == {"noise_db": -110, "grey_map": (0, 0.2, 1), "tgc_db_per_cm": None}
    assert found.probe == {"aperture_mm": 5}
    assert found.backscatter == {"csf": 0.001}
    assert found.render_settings().speckle == "sampled"


@pytest.mark.parametrize("text", ["noise_db", "brightness=3", "tissue.cheese=1"])
def test_unreadable_assignments_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"name=value|field|tissue"):
        candidate_of([text])
