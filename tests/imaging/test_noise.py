"""Electronic noise: its power, its width, and that it belongs to the frame and not to the batch."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, PROBES, TILTED, textured, uniform

from diffus import RenderSettings, render
from diffus.imaging.formation import sigma_steps
from diffus.imaging.noise import electronic_noise, noise_power

POSES = torch.stack([IDENTITY, TILTED])
SIGMA = torch.tensor(2.5, dtype=torch.float64)


def noise(n_lines: int = 60, n_samples: int = 800, seed: int = 0) -> torch.Tensor:
    like = torch.zeros(2, n_lines, n_samples, dtype=torch.float64)
    return electronic_noise(like, POSES, SIGMA, seed)


def test_its_mean_power_is_one_and_both_parts_share_it() -> None:
    inner = noise()[..., 20:-20]
    assert float(inner.real.var()) == pytest.approx(0.5, rel=0.04)
    assert float(inner.imag.var()) == pytest.approx(0.5, rel=0.04)
    assert abs(float((inner.real * inner.imag).mean())) < 0.02


def test_it_is_as_wide_as_the_pulse() -> None:
    inner = noise()[0, :, 20:-20]
    power = float((inner * inner.conj()).real.mean())
    for lag in (1, 3, 5):
        correlation = float((inner[:, lag:] * inner[:, :-lag].conj()).real.mean()) / power
        # A Gaussian filter of sigma s gives noise the autocorrelation exp(-lag^2 / (4 s^2)).
        assert correlation == pytest.approx(math.exp(-(lag**2) / (4 * 2.5**2)), abs=0.04)


def test_seed_and_pose_make_other_noise_and_the_batch_does_not() -> None:
    both = noise()
    assert torch.equal(both, noise())
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, noise(seed=1))
    like = torch.zeros(1, 60, 800, dtype=torch.float64)
    assert torch.equal(electronic_noise(like, POSES[1:], SIGMA, 0)[0], both[1])


def test_the_floor_of_a_silent_medium_is_the_noise() -> None:
    silent = uniform(0.0, backscatter=0.0)
    for speckle in ("expected", "sampled"):
        settings = RenderSettings(speckle=speckle, noise_db=-80.0)
        probe = PROBES["convex"].with_options(n_samples=600, n_scanlines=64)
        intensity = render(silent, probe, IDENTITY, settings).envelope[..., 10:-10] ** 2
        assert 10 * math.log10(float(intensity.mean())) == pytest.approx(-80.0, abs=0.1)


def test_noise_is_added_to_the_expected_image_as_power() -> None:
    probe, medium = PROBES["linear"], textured()
    clean = render(medium, probe, IDENTITY, RenderSettings(noise_db=None)).envelope
    noisy = render(medium, probe, IDENTITY, RenderSettings(noise_db=-60.0)).envelope
    assert torch.allclose(noisy**2, clean**2 + 1e-6, rtol=1e-9)


def test_gradients_reach_the_level_and_the_width() -> None:
    medium, probe = textured(), PROBES["linear"].with_options(n_scanlines=4, n_samples=20)

    def image(level: torch.Tensor, bandwidth: torch.Tensor) -> torch.Tensor:
        settings = RenderSettings(speckle="none", noise_db=level, dynamic_range_db=150.0)
        return render(
            medium, probe.with_options(fractional_bandwidth=bandwidth), IDENTITY, settings
        ).scanlines

    level = torch.tensor(-90.0, dtype=torch.float64, requires_grad=True)
    bandwidth = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(image, (level, bandwidth), atol=1e-6)
    assert noise_power(None, level) is None
    assert float(sigma_steps(probe, level)[0]) > 0
