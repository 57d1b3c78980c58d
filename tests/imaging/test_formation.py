"""Sampling that resolves the pulse."""

from __future__ import annotations

import logging

import pytest

from diffus import ConvexProbe
from diffus.imaging.formation import resampled, samples_needed, warn_if_undersampled

PROBE = ConvexProbe(frequency_mhz=7.0, depth_mm=40.0, fractional_bandwidth=0.6)


def test_a_resampled_probe_has_a_pulse_as_long_as_its_samples_need(caplog: pytest.LogCaptureFixture) -> None:
    for n_samples in (31, 80, 147, 200):
        coarse = resampled(PROBE, 16, n_samples)
        sigma_mm = 0.187 * 1.54 / 7 / float(coarse.fractional_bandwidth)
        assert sigma_mm == pytest.approx(0.5 * 40 / n_samples, rel=0.01)
        assert samples_needed(coarse) <= n_samples
        with caplog.at_level(logging.WARNING, "diffus"):
            warn_if_undersampled(coarse)
    assert not caplog.records


def test_a_pulse_is_never_made_shorter() -> None:
    assert resampled(PROBE, 16, 2000).fractional_bandwidth == 0.6
