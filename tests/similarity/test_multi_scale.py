"""Pyramid and the measure over its levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from tests.similarity.pairs import blob_mask, related, texture
from tests.support import as_users_run

from diffus.similarity import LC2, NCC, LocalNCC, MultiScale, ncc
from diffus.similarity.pyramid import halved, halved_weights

TAPS = np.array([1, 4, 6, 4, 1]) / 16


@pytest.mark.parametrize("shape", [(2, 12, 13), (1, 6, 7, 8)])
def test_next_level_is_a_weighted_mean(shape: tuple[int, ...]) -> None:
    image, weights = texture(*shape, seed=1), blob_mask(*shape, seed=2)

    def blurred(values: np.ndarray) -> np.ndarray:
        for axis in range(1, len(shape)):
            values = correlate1d(values, TAPS, axis=axis, mode="constant")
        return values[(slice(None), *[slice(None, None, 2)] * (len(shape) - 1))]

    share = blurred(weights.numpy())
    expected = np.where(share > 0, blurred((image * weights).numpy()) / np.where(share > 0, share, 1), 0)
    assert np.allclose(halved(image, weights).numpy(), expected, atol=1e-12)
    assert np.allclose(halved_weights(weights).numpy(), share, atol=1e-12)


def test_uniform_images_stay_so_up_to_the_border_and_the_mask() -> None:
    image, weights = torch.full((1, 15, 16), 0.7), blob_mask(1, 15, 16, seed=3).float()
    smaller, count = halved(image, weights), halved_weights(weights)
    assert smaller.shape == (1, 8, 8)
    assert torch.allclose(smaller[count > 0], torch.tensor(0.7))
    assert float(count.max()) <= 1 + 1e-6


def test_levels_by_hand() -> None:
    moving, fixed = related(2, 32, 33, seed=4)
    mask = blob_mask(2, 32, 33, seed=5)
    half = [halved(moving, mask), halved(fixed, mask), halved_weights(mask)]
    expected = 0.25 * ncc(moving, fixed, mask) + 2 * ncc(half[0], half[1], half[2])
    measure = MultiScale(NCC(), levels=(1, 0), weights=torch.tensor([2.0, 0.25], dtype=torch.float64))
    assert torch.allclose(measure(moving, fixed, mask), expected, rtol=1e-12)
    assert torch.allclose(MultiScale(NCC(), levels=(0,))(moving, fixed, mask), ncc(moving, fixed, mask))


def test_coarse_levels_see_farther() -> None:
    """Fine texture, far off: only the coarse level still rises towards the true place."""
    wide = texture(1, 64, 128, seed=6, sigma=1.0) + 3 * texture(1, 64, 128, seed=7, sigma=8.0)
    fixed = wide[..., 20:108]
    moving = torch.cat([wide[..., 20 - shift : 108 - shift] for shift in (0, 4, 8, 12)])
    coarse = MultiScale(LocalNCC(window=9), levels=(2,))(moving, fixed)
    assert (coarse.diff() < -0.1).all()
    fine = MultiScale(LocalNCC(window=9), levels=(0,))(moving, fixed)
    assert fine[1] - fine[3] < 0.5 * (coarse[1] - coarse[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": ()}, "levels: expected one or more numbers"),
        ({"levels": (0, -1)}, r"from 0 on, got \(0, -1\)"),
        ({"weights": torch.ones(2)}, r"weights: expected shape \(3,\), one for each level, got \(2,\)"),
    ],
)
def test_refused(options: dict, message: str) -> None:
    with as_users_run(), pytest.raises(ValueError, match=message):
        MultiScale(NCC(), **options)


def test_a_level_too_small_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"at level 2 of the pyramid \(5 x 6\): window: 9 is larger than the images"
    ):
        MultiScale(LC2())(*related(1, 20, 21, seed=8))
