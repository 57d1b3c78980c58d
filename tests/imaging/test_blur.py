"""Blurring against the sum written out, and what it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffus.imaging.blur import blur_depth, blur_scanlines


def image(batch: int = 2, lines: int = 7, samples: int = 11) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(batch, lines, samples, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("unit", ["peak", "sum"])
@pytest.mark.parametrize("sigma", [0.3, 0.9, 2.5])
def test_depth_is_the_sum_written_out(unit: str, sigma: float) -> None:
    given = image().numpy()
    offsets = np.arange(-30, 31)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum() if unit == "sum" else 1.0
    expected = np.zeros_like(given)
    for k in range(given.shape[-1]):
        for j in range(given.shape[-1]):
            expected[..., k] += taps[30 + k - j] * given[..., j]
    blurred = blur_depth(image(), torch.tensor(sigma, dtype=torch.float64), unit)
    assert blurred.numpy() == pytest.approx(expected, abs=2e-4)  # taps end at 4.5 sigmas


@pytest.mark.parametrize("wraps", [False, True])
def test_scanlines_is_the_sum_written_out(wraps: bool) -> None:
    given = image().numpy()
    sigma = np.linspace(0.2, 0.65, given.shape[-1])
    expected = np.zeros_like(given)
    lines = given.shape[1]
    for n, width in enumerate(sigma):
        for s in range(lines):
            distance = np.abs(np.arange(lines) - s)
            if wraps:
                distance = np.minimum(distance, lines - distance)
            weight = np.exp(-0.5 * (distance / width) ** 2)
            expected[:, s, n] = given[:, :, n] @ (weight / weight.sum())
    blurred = blur_scanlines(image(), torch.from_numpy(sigma), wraps)
    assert blurred.numpy() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("wraps", [False, True])
def test_a_uniform_image_stays_as_it_is(wraps: bool) -> None:
    uniform = torch.full((1, 9, 5), 0.37, dtype=torch.float64)
    sigma = torch.linspace(0.1, 30.0, 5, dtype=torch.float64)
    assert torch.allclose(blur_scanlines(uniform, sigma, wraps), uniform, rtol=1e-12)


def test_a_ring_turns_with_its_image() -> None:
    sigma = torch.full((11,), 0.7, dtype=torch.float64)
    turned = blur_scanlines(image().roll(3, dims=1), sigma, wraps=True)
    assert torch.allclose(turned, blur_scanlines(image(), sigma, wraps=True).roll(3, dims=1), atol=1e-12)


def test_a_deep_shadow_stays_clean_in_single_precision() -> None:
    bright = torch.full((1, 64, 1), 1e-12)
    bright[:, 0] = 1.0
    blurred = blur_scanlines(bright, torch.tensor([1.0]), wraps=False)
    assert torch.allclose(blurred[0, 10:], torch.full_like(blurred[0, 10:], 1e-12), rtol=1e-5)


def test_one_scanline_and_one_sample() -> None:
    single = torch.ones(1, 1, 1)
    assert torch.equal(blur_scanlines(single, torch.tensor([5.0]), wraps=False), single)
    assert torch.equal(blur_depth(single, torch.tensor(5.0), "sum"), single)
