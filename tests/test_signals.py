"""IQ and RF: against each other, against the image, and against the spectrum that the probe says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import hilbert
from tests.scenes import IDENTITY, PROBES, TILTED, textured, uniform

import diffus
from diffus import LinearProbe, RenderSettings, receive, render
from diffus.signals import iq_rate_mhz, rf_rate_mhz

SAMPLED = RenderSettings(speckle="sampled", noise_db=None)
PROBE = LinearProbe(width_mm=6.0, depth_mm=20.0, n_scanlines=12, n_samples=300, frequency_mhz=4.0)


def test_by_default_its_envelope_is_the_frames() -> None:
    medium, probe = textured(), PROBES["convex"]
    poses = torch.stack([IDENTITY, TILTED])[:1]
    signals = receive(medium, probe, poses, SAMPLED)
    assert torch.equal(signals.envelope(), render(medium, probe, poses, SAMPLED).envelope)
    assert signals.sampling_rate_mhz == pytest.approx(96 / (2 * 48.0 / 1.54))


def test_rf_has_the_envelope_of_the_iq() -> None:
    signals = receive(uniform(0.3), PROBE, IDENTITY, SAMPLED, sampling_rate_mhz=40.0)
    analytic = np.abs(hilbert(signals.rf()[0].numpy(), axis=-1))
    inner = slice(60, -60)
    expected = signals.envelope()[0].numpy()
    assert np.abs(analytic - expected)[:, inner].max() < 0.02 * expected.max()


def test_rf_has_the_spectrum_of_the_probe() -> None:
    probe = PROBE.with_options(fractional_bandwidth=0.5, n_scanlines=64)
    signals = receive(uniform(0.0), probe, IDENTITY, SAMPLED, sampling_rate_mhz=40.0)
    rf = signals.rf()[0].numpy()
    power = (np.abs(np.fft.rfft(rf, axis=-1)) ** 2).mean(axis=0)
    frequency = np.fft.rfftfreq(rf.shape[-1], 1 / 40.0)
    centre = (frequency * power).sum() / power.sum()
    assert centre == pytest.approx(4.0, rel=0.02)
    # Amplitude spectrum of -6 dB width B f0; the power spectrum has the variance of its square.
    spread = math.sqrt((power * (frequency - centre) ** 2).sum() / power.sum())
    assert spread == pytest.approx(0.5 * 4.0 / 2.3548 / math.sqrt(2), rel=0.06)


def test_the_same_tissue_is_heard_at_any_rate() -> None:
    medium = uniform(0.2)
    slow, fast = (receive(medium, PROBE, IDENTITY, SAMPLED, sampling_rate_mhz=r) for r in (24.0, 72.0))
    # Samples of the slow one lie on every third of the fast one: (k + 1/2) / 24 = (3 k + 3/2) / 72.
    n = min(slow.iq.shape[-1], fast.iq[..., 1::3].shape[-1])
    assert torch.allclose(slow.times_us()[:n], fast.times_us()[1::3][:n])
    one, other = slow.iq[0, :, 10 : n - 10], fast.iq[0, :, 1::3][:, 10 : n - 10]
    assert float((one - other).abs().square().mean() / one.abs().square().mean()) < 1e-3


def test_depth_is_filled_up_to_a_whole_sample() -> None:
    signals = receive(uniform(), PROBE, IDENTITY, SAMPLED, sampling_rate_mhz=33.0)
    depth = float(signals.probe.depth_mm)
    assert 20.0 <= depth < 20.0 + 1.54 / (2 * 33.0)
    assert signals.iq.shape[-1] == signals.probe.n_samples == math.ceil(20.0 * 2 * 33.0 / 1.54)


def test_gradients_reach_the_medium_and_the_noise_is_in_the_signal() -> None:
    medium = textured()
    backscatter = medium.backscatter.clone().requires_grad_()
    live = diffus.Medium(medium.impedance, medium.attenuation, backscatter, medium.world_from_voxel)
    receive(live, PROBES["linear"], IDENTITY, SAMPLED).envelope().sum().backward()
    assert backscatter.grad is not None and float(backscatter.grad.abs().sum()) > 0
    quiet = receive(medium, PROBES["linear"], IDENTITY, SAMPLED).iq
    noisy = receive(medium, PROBES["linear"], IDENTITY, SAMPLED.with_options(noise_db=-60.0)).iq
    assert 10 * math.log10(float((noisy - quiet).abs().square().mean())) == pytest.approx(-60, abs=1.0)


def test_an_undersampled_carrier_names_the_rate_it_needs() -> None:
    assert rf_rate_mhz(PROBE) == pytest.approx(2 * 4.0 * 1.6)
    assert iq_rate_mhz(PROBE) == pytest.approx(2 * 4.0 * 0.6)
    signals = receive(uniform(), PROBE, IDENTITY, SAMPLED, sampling_rate_mhz=6.0)
    with pytest.raises(ValueError, match=r"needs a rate of 12.8 MHz or more.*sampling_rate_mhz=13"):
        signals.rf()


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (2.0, r"2 MHz is too low for this pulse: IQ needs 4.8 MHz or more, RF 12.8 MHz"),
        (-1.0, r"sampling_rate_mhz must lie in \[0.001, 500\], got -1"),
        (math.nan, "sampling_rate_mhz must lie in"),
        (1e4, "sampling_rate_mhz must lie in"),
    ],
)
def test_rates_out_of_range_are_refused(rate: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        receive(uniform(), PROBE, IDENTITY, SAMPLED, sampling_rate_mhz=rate)


def test_expected_speckle_has_no_signal() -> None:
    with pytest.raises(ValueError, match="speckle='expected' is a mean over phases"):
        receive(uniform(), PROBE, IDENTITY, RenderSettings())
