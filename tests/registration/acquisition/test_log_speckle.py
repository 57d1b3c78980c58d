"""Log-compressed speckle against the dilogarithm, direct sums and sampled Gaussian pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special

from diffus.registration.acquisition.log_speckle import (
    LOG_VARIANCE,
    cut_spectrum,
    log_variogram,
    samples_alike,
)

COHERENCE = torch.tensor([0.0, 0.05, 0.3, 0.7, 0.95, 0.99], dtype=torch.float64)


def dilogarithm(r: np.ndarray) -> np.ndarray:
    return special.spence(1 - r)


def pairs(r: float, count: int = 400_000) -> np.ndarray:
    """Intensities of circular Gaussian pairs with squared coherence r."""
    random = np.random.default_rng(3)
    parts = random.normal(size=(2, count, 2)) @ np.array([1, 1j]) / math.sqrt(2)
    return np.abs(np.stack([parts[0], math.sqrt(r) * parts[0] + math.sqrt(1 - r) * parts[1]])) ** 2


def test_without_a_cut_it_is_the_dilogarithm() -> None:
    found = log_variogram(COHERENCE, cut_spectrum(torch.full((6,), -40.0)))
    expected = LOG_VARIANCE - dilogarithm(COHERENCE.numpy())
    assert found.numpy() == pytest.approx(expected, rel=2e-3)
    assert 10 / math.log(10) * math.sqrt(float(found[0])) == pytest.approx(5.57, abs=0.005)


@pytest.mark.parametrize("r", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("log_cut", [-5.0, -2.3, -1.0])
def test_cut_by_black_it_is_that_of_sampled_pairs(r: float, log_cut: float) -> None:
    logarithms = np.maximum(np.log(pairs(r)), log_cut)
    half = (logarithms[0] - logarithms[1]) ** 2 / 2
    error = half.std() / math.sqrt(half.size)
    found = log_variogram(torch.tensor(r, dtype=torch.float64), cut_spectrum(torch.tensor(log_cut)))
    assert float(found) == pytest.approx(half.mean(), abs=4 * error + 1e-3 * half.mean())


def test_samples_alike_is_the_sum_of_correlations() -> None:
    along = np.exp(-(np.arange(1, 9) ** 2) / (2 * 1.7**2))
    across = np.exp(-(np.arange(1, 6) ** 2) / (2 * np.array([[0.9], [2.0]]) ** 2))
    expected = []
    for r_across in across:
        lags_along, lags_across = (np.concatenate([r[::-1], [1.0], r]) for r in (along, r_across))
        expected.append(dilogarithm(np.outer(lags_along, lags_across)).sum() / LOG_VARIANCE)
    found = samples_alike(torch.from_numpy(along), torch.from_numpy(across))
    assert found.numpy() == pytest.approx(expected, rel=2e-3)
