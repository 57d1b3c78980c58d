"""Statistics of sampled speckle against theory, and its mean against the expected image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from tests.imaging.speckle_scenes import OBLIQUE, level, many
from torch import Tensor

from diffus import ConvexProbe, LinearProbe, Probe, preset
from diffus.imaging.beam import axial_sigma_mm, lateral_sigma_mm
from diffus.imaging.formation import expected_intensity
from diffus.imaging.point_spread import PointSpread
from diffus.imaging.speckle import DEVELOPED, developed_density

APART = LinearProbe(
    width_mm=56.0,
    depth_mm=40.0,
    n_scanlines=17,
    n_samples=60,
    frequency_mhz=5.0,
    focus_mm=25.0,
    aperture_mm=12.0,
)
"""Samples so far apart, 3.5 mm aside and 0.67 mm in depth, that each is a look at other scatterers."""


def independent_envelopes(n_images: int, per_cell: float | None = None) -> np.ndarray:
    """Envelope at places with no scatterer in common, root mean square one, depths away from the ends.

    Args:
        n_images: how many tissues.
        per_cell: scatterers in the smallest resolution cell; by default as many as the default density has.
    """
    spread = PointSpread.of(APART)
    # The looks reach 3.18 sigmas to each side.
    assert float(1 / spread.per_line.min()) * 2 * 3.19 < 1
    assert float(1 / spread.per_sample) * 2 * 3.19 < 1
    density = None if per_cell is None else per_cell / float(spread.volume_mm3.min())
    return many(APART, n_images, density, at=OBLIQUE)[:, :, 1:-1].abs().flatten().double().numpy()


def check_rayleigh(envelope: np.ndarray, ratio_within: float, log_std_within: float) -> None:
    """Mean over std, std in dB, and the whole distribution, of an envelope of mean square one."""
    assert np.mean(envelope**2) == pytest.approx(1, abs=5 / math.sqrt(envelope.size))
    assert envelope.mean() / envelope.std() == pytest.approx(1.913, abs=ratio_within)
    assert np.std(20 * np.log10(envelope)) == pytest.approx(5.57, abs=log_std_within)
    # Scale from the model, not from the samples, so that the test's level is what it says.
    assert stats.kstest(envelope, "rayleigh", args=(0, math.sqrt(0.5))).pvalue > 0.01


def test_developed_speckle_is_rayleigh() -> None:
    check_rayleigh(independent_envelopes(20), 0.04, 0.17)


@pytest.mark.slow
def test_developed_speckle_is_rayleigh_in_200_000_looks() -> None:
    envelope = independent_envelopes(203)
    assert envelope.size >= 200_000
    check_rayleigh(envelope, 0.02, 0.08)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["craniotomy", "abdominal", "linear", "phased", "radial"])
def test_default_density_is_developed_at_the_narrowest_place_of_every_preset(name: str) -> None:
    probe = preset(name)
    depth = int(PointSpread.of(probe).volume_mm3.argmin())
    narrow = slice(max(0, depth - 10), depth + 10)
    power = level(probe)
    envelope = torch.cat(
        [many(probe, 1, power=power, at=at[None])[:, ::5, narrow] for at in turned(24)]
    ).abs()
    assert float(envelope.mean() / envelope.std()) == pytest.approx(1.913, abs=0.04)


def turned(n_poses: int) -> Tensor:
    """Poses far apart, turned any way to the lattice."""
    from diffus import pose

    generator = torch.Generator().manual_seed(4)
    scale = torch.tensor([90.0, 90, 90, 400, 400, 400], dtype=torch.float64)
    return pose.exp((2 * torch.rand(n_poses, 6, generator=generator, dtype=torch.float64) - 1) * scale)


def test_default_density_is_the_developed_number_in_a_cell() -> None:
    per_cell = developed_density(APART) * float(PointSpread.of(APART).volume_mm3.min())
    assert DEVELOPED <= per_cell < 1.26 * DEVELOPED


def test_sparse_speckle_has_tails_as_a_k_distribution() -> None:
    # For n scatterers in a cell by chance <I^2> / <I>^2 = 2 + integral p^4 / (density (integral p^2)^2), and
    # for a Gaussian profile p that is 2 + 2^(-3/2) / n. With one in each cell of a lattice that is far larger
    # than the profile, pairs are never seen and 2 is missing. K-distributed intensity has 2 + 2 / alpha.
    sparse, developed = independent_envelopes(12, 0.1), independent_envelopes(12)
    excess = np.mean(sparse**4) / np.mean(sparse**2) ** 2 - 2
    cells = PointSpread.of(APART).volume_mm3[1:-1]
    by_chance = float((2**-1.5 / (0.1 * cells / cells.min())).mean())
    assert 0.4 * by_chance < excess < by_chance
    assert sparse.mean() / sparse.std() < 1.6
    assert stats.kstest(sparse, "rayleigh", args=(0, math.sqrt(0.5))).pvalue < 1e-6
    level_of_one_in_a_thousand = math.sqrt(math.log(1000))
    assert np.mean(sparse > level_of_one_in_a_thousand) > 5e-3
    assert np.mean(developed > level_of_one_in_a_thousand) == pytest.approx(1e-3, abs=1e-3)


# --------------------------------------------------------------------------------- autocorrelation


def rayleigh_autocorrelation(coherence: np.ndarray) -> np.ndarray:
    """Normalised autocovariance of a Rayleigh envelope for the coherence of its field (Middleton 1960)."""
    series = special.hyp2f1(-0.5, -0.5, 1, coherence**2) - 1
    return series * (math.pi / 4) / (1 - math.pi / 4)


def half_width(envelope: Tensor, axis: int, step_mm: float) -> float:
    """Lag in mm at which the autocovariance of an envelope along an axis falls to one half."""
    values = envelope.double().movedim(axis, -1)
    values = values - values.mean()
    length = values.shape[-1]
    lags = [float((values[..., : length - lag] * values[..., lag:]).mean()) for lag in range(length // 2)]
    curve = np.array(lags) / lags[0]
    after = int(np.argmax(curve < 0.5))
    return step_mm * (after - 1 + (curve[after - 1] - 0.5) / (curve[after - 1] - curve[after]))


def expected_half_width(sigma_mm: float) -> float:
    """The same for a Gaussian profile: the field's coherence is exp(-lag^2 / (4 sigma^2))."""
    lags = np.linspace(0, 4 * sigma_mm, 4001)
    curve = rayleigh_autocorrelation(np.exp(-(lags**2) / (4 * sigma_mm**2)))
    return float(np.interp(-0.5, -curve, lags))


DEPTHS_MM = (10.0, 17.0, 24.0, 31.0, 38.0)


def test_axial_width_of_speckle_is_the_pulses() -> None:
    probe = APART.with_options(n_samples=1600)
    envelope = many(probe, 16).abs()
    sigma = float(axial_sigma_mm(probe, torch.zeros(0, dtype=torch.float64)))
    for depth in DEPTHS_MM:
        k = int(depth / 0.025)
        measured = half_width(envelope[:, :, k - 60 : k + 60], 2, 0.025)
        assert measured == pytest.approx(expected_half_width(sigma), rel=0.05), depth


def test_lateral_width_of_speckle_is_the_beams() -> None:
    probe = APART.with_options(width_mm=40.0, n_scanlines=401)
    envelope = many(probe, 6).abs()
    depths = probe.sample_depths_mm()
    for depth in DEPTHS_MM:
        k = int(depth / 40.0 * 60)
        sigma = float(lateral_sigma_mm(probe, depths[k : k + 1]))
        measured = half_width(envelope[:, :, k - 2 : k + 3], 1, 0.1)
        assert measured == pytest.approx(expected_half_width(sigma), rel=0.05), depth


# ------------------------------------------------------------------------------------ expected image


def uneven(probe: Probe) -> Tensor:
    """Power with a bright lump, a dark hole, a shadow and attenuation: over 60 dB."""
    s = torch.arange(probe.n_scanlines)[:, None] / probe.n_scanlines
    k = torch.arange(probe.n_samples) / probe.n_samples
    power = 10 ** (-2 * k) * (1 + 30 * torch.exp(-((s - 0.3) ** 2 + (k - 0.4) ** 2) / 0.01))
    power = torch.where((s - 0.7) ** 2 + (k - 0.5) ** 2 < 0.02, 1e-3 * power, power)
    return torch.where((s > 0.45) & (s < 0.55) & (k > 0.3), 0.03 * power, power)[None]


def blocks(image: Tensor) -> Tensor:
    """Means over blocks of 32 x 32."""
    return torch.nn.functional.avg_pool2d(image, 32)


LINEAR = LinearProbe(width_mm=30.0, depth_mm=40.0, n_scanlines=128, n_samples=320, frequency_mhz=5.0)
CONVEX = ConvexProbe(
    radius_mm=20.0, field_of_view_deg=60.0, depth_mm=40.0, n_scanlines=128, n_samples=320, frequency_mhz=5.0
)


def mean_against_expected(probe: Probe, n_images: int) -> tuple[Tensor, Tensor]:
    """Mean intensity over that of the expected image, by blocks, and its standard error."""
    power = uneven(probe)
    expected = blocks(expected_intensity(torch.zeros_like(power), power, probe))
    sampled = blocks(many(probe, n_images, power=power, at=OBLIQUE).abs() ** 2) / expected
    return sampled.mean(dim=0), sampled.std(dim=0) / math.sqrt(n_images)


@pytest.mark.parametrize("probe", [LINEAR, CONVEX], ids=["linear", "convex"])
def test_mean_intensity_nears_the_expected_image(probe: Probe) -> None:
    ratio, error = mean_against_expected(probe, 16)
    # 0.15 dB is 3.5 %. A block's mean over 16 images is known to a few per cent; 40 blocks: 3.5 errors.
    assert float(error.median()) < 0.03
    assert bool(((ratio - 1).abs() < 0.035 + 3.5 * error).all())
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("probe", [LINEAR, CONVEX], ids=["linear", "convex"])
def test_mean_intensity_of_200_images_is_the_expected_image(probe: Probe) -> None:
    ratio, _ = mean_against_expected(probe, 200)
    assert float((10 * torch.log10(ratio)).abs().max()) < 0.15
