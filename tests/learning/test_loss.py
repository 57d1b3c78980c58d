"""Losses of frames: against slow oracles, blind to the scanner, lowest for the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from diffus.learning.loss import LOSSES, LocalCorrelation, RayleighLikelihood, frame_loss
from diffus.similarity import LocalNCC

SHAPE = (2, 48, 64)


def smooth_levels(seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Levels in dB that vary over a few millimetres."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(SHAPE[0], 1, 8, 10, generator=generator, dtype=torch.float64)
    return (-40 + 6 * torch.nn.functional.interpolate(coarse, SHAPE[1:], mode="bicubic")[:, 0]).to(dtype)


def speckled(levels: Tensor, seed: int = 1) -> Tensor:
    """Log envelope of fully developed speckle of that mean intensity, in dB."""
    generator = torch.Generator().manual_seed(seed)
    exponential = -torch.log(torch.rand(levels.shape, generator=generator, dtype=torch.float64))
    return levels + 10 * torch.log10(exponential).to(levels)


def weights(dtype: torch.dtype = torch.float64) -> Tensor:
    shown = torch.ones(SHAPE, dtype=dtype)
    shown[:, :5] = 0
    shown[0, :, 40:] = 0
    return shown


def negative_log_likelihood(numbers: np.ndarray, rendered: Tensor, grey: Tensor, shown: Tensor) -> float:
    """Mean over one frame's samples, from the exponential density of the intensity of speckle.

    Args:
        numbers: logarithm of the contrast, then the gain of each band of depth.
        rendered: levels in dB.
        grey: what is shown of the intensity.
        shown: 1 where a sample counts.
    """
    contrast, gains = math.exp(numbers[0]), torch.from_numpy(numbers[1:])
    band = torch.arange(grey.shape[1]) * len(gains) // grey.shape[1]
    intensity = torch.exp(contrast * grey + gains[band])
    mean = 10 ** (rendered / 10)
    density = torch.exp(-intensity / mean) / mean * intensity * contrast  # of the grey value
    return float(-(torch.log(density.clamp_min(1e-300)) * shown).sum() / shown.sum())


def test_rayleigh_likelihood_is_the_best_over_contrast_and_gain() -> None:
    levels, grey, shown = smooth_levels(), speckled(smooth_levels(5)), weights()
    found = RayleighLikelihood(n_bands=2)(levels, grey, shown)
    for frame in range(SHAPE[0]):
        counted = grey[frame][shown[frame] > 0]
        unit = (grey[frame] - counted.mean()) / counted.std(correction=0)
        best = minimize(
            negative_log_likelihood,
            np.array([0.5, -9.0, -9.0]),
            args=(levels[frame], unit, shown[frame]),
            method="Nelder-Mead",
            options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-9},
        )
        assert float(found[frame]) == pytest.approx(best.fun, abs=1e-4)


def test_rayleigh_likelihood_finds_the_contrast_of_speckle() -> None:
    """At the true mean, standardised log intensity has the standard deviation that its contrast says."""
    levels = smooth_levels()
    loss = RayleighLikelihood(n_bands=1)
    at_truth = loss(levels, speckled(levels), weights())
    # Entropy of the logarithm of an exponential variable is 1 + Euler's constant; the grey values are its
    # sum with the levels in units of their standard deviation.
    deviation = torch.stack(
        [
            (speckled(levels) * math.log(10) / 10)[frame][weights()[frame] > 0].std(correction=0)
            for frame in range(SHAPE[0])
        ]
    )
    expected = 1 + 0.5772 - torch.log(deviation)
    assert torch.allclose(at_truth, expected, atol=0.05)
    for wrong in (smooth_levels(9), levels[:, :, :1].expand_as(levels), 2 * levels):
        assert (loss(wrong, speckled(levels), weights()) > at_truth).all()


def test_known_contrast_finds_the_mean_of_averaged_speckle_and_an_unknown_one_stretches_it() -> None:
    levels = smooth_levels()
    seen = [10 ** (speckled(levels, seed) / 10) for seed in range(6)]
    averaged = 10 * torch.log10(torch.stack(seen).mean(dim=0))
    stretches = torch.linspace(0.6, 2.6, 21).tolist()

    def best(loss: RayleighLikelihood) -> float:
        cost = [float(loss(stretch * levels, averaged, weights()).sum()) for stretch in stretches]
        return stretches[cost.index(min(cost))]

    assert best(RayleighLikelihood(1, decibel_per_grey=1.0)) == pytest.approx(1.0, abs=0.11)
    assert best(RayleighLikelihood(1)) > 1.5


@pytest.mark.parametrize("name", LOSSES)
def test_gain_and_dynamic_range_do_not_count(name: str) -> None:
    levels, grey = smooth_levels(), speckled(smooth_levels())
    plain = frame_loss(name)(levels, grey, weights())
    changed = frame_loss(name)(levels + 13, 40 + 2.5 * grey, weights())
    assert torch.allclose(plain, changed, atol=1e-6)


def test_gain_of_each_band_does_not_count() -> None:
    """But for the unit of the grey values, which is their own and the same for all that is rendered."""
    one, other, grey = smooth_levels(), smooth_levels(3), speckled(smooth_levels())
    tgc = grey + 8 * (torch.arange(SHAPE[2]) * 8 // SHAPE[2])
    loss = RayleighLikelihood(8)
    plain = loss(one, grey, weights()) - loss(other, grey, weights())
    changed = loss(one, tgc, weights()) - loss(other, tgc, weights())
    assert torch.allclose(plain, changed, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_truth_scores_best_and_masked_samples_do_not_count(name: str) -> None:
    levels, grey = smooth_levels(), speckled(smooth_levels())
    loss = frame_loss(name)
    assert (loss(levels, grey, weights()) < loss(smooth_levels(7), grey, weights())).all()
    spoilt = torch.where(weights() > 0, grey, 1e4)
    assert torch.allclose(loss(levels, spoilt, weights()), loss(levels, grey, weights()))


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_that_of_the_differences(name: str) -> None:
    levels = smooth_levels().requires_grad_()
    grey = speckled(smooth_levels())

    def loss(values: Tensor) -> Tensor:
        return frame_loss(name)(values, grey, weights())

    assert torch.autograd.gradcheck(loss, levels, fast_mode=True, atol=1e-5)


def test_local_correlation_is_one_minus_its_similarity() -> None:
    levels, grey = smooth_levels(), speckled(smooth_levels())
    measure = LocalNCC(window=7)
    expected = 1 - measure(levels, grey, weights())
    assert torch.equal(LocalCorrelation(measure)(levels, grey, weights()), expected)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="unknown loss 'mse': expected one of 'local_ncc', 'rayleigh'"):
        frame_loss("mse")
    with pytest.raises(ValueError, match="n_bands"):
        RayleighLikelihood(n_bands=0)
    with pytest.raises(ValueError, match="decibel_per_grey must be a finite number above 0"):
        RayleighLikelihood(decibel_per_grey=-1.0)
