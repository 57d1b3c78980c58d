"""What the transducer receives, before an image is made of it: IQ and RF at a chosen sampling rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_in_range
from diffus.imaging.formation import magnitude
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.render import DEFAULT_SETTINGS, received_iq
from diffus.scalars import as_double, number
from diffus.settings import RenderSettings

HIGHEST_RATE_MHZ = 500.0


@dataclass(frozen=True, eq=False)
class Signals:
    """Received signals of each scanline, before envelope, TGC and compression.

    Args:
        iq: complex, demodulated at the centre frequency, (B, S, T), in units of the echo of a perfect plane
            reflector. Sample k is taken at time ``(k + 1/2) / sampling_rate_mhz`` microseconds after
            emission.
        sampling_rate_mhz: samples in a microsecond.
        probe: the probe, with the samples of these signals.
        world_from_probe: poses, (B, 4, 4).
        settings: how they were computed.
    """

    iq: Complex[Tensor, "B S T"]
    sampling_rate_mhz: float
    probe: Probe
    world_from_probe: Float64[Tensor, "B 4 4"]
    settings: RenderSettings

    def times_us(self) -> Float64[Tensor, " T"]:
        """Time of each sample after emission."""
        return (torch.arange(self.probe.n_samples, dtype=torch.float64) + 0.5) / self.sampling_rate_mhz

    def envelope(self) -> Float[Tensor, "B S T"]:
        """Magnitude of the signal, which log compression turns into a B-mode image."""
        return magnitude(self.iq.real**2 + self.iq.imag**2)

    def rf(self) -> Float[Tensor, "B S T"]:
        """The real signal with its carrier, ``Re(iq exp(2 pi i f0 t))``.

        Raises:
            ValueError: when the sampling rate is too low for the carrier, naming the rate that is needed.
        """
        needed = rf_rate_mhz(self.probe)
        if self.sampling_rate_mhz < needed * (1 - 1e-9):
            raise ValueError(
                f"RF of {number(self.probe.frequency_mhz):g} MHz with a fractional bandwidth of "
                f"{number(self.probe.fractional_bandwidth):g} needs a rate of {needed:.4g} MHz or more, "
                f"got {self.sampling_rate_mhz:.4g} MHz: call receive(..., "
                f"sampling_rate_mhz={math.ceil(needed)}), or use iq"
            )
        turns = self.times_us().to(self.iq.device) * as_double(self.probe.frequency_mhz).to(self.iq.device)
        phase = (2 * math.pi * torch.remainder(turns, 1.0)).to(self.iq.real)
        return self.iq.real * torch.cos(phase) - self.iq.imag * torch.sin(phase)


def receive(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    settings: RenderSettings = DEFAULT_SETTINGS,
    sampling_rate_mhz: float | None = None,
) -> Signals:
    """Receive IQ signals, from which RF and envelope follow.

    Differentiable in the medium, and in the settings and fields of the probe that are continuous.

    Args:
        medium: what the waves travel through.
        probe: where scanlines run, and the physics of the transducer.
        world_from_probe: rigid transform (4, 4), or a batch (B, 4, 4).
        settings: with ``speckle="sampled"`` or ``"none"``.
        sampling_rate_mhz: samples in a microsecond; by default those of the probe's image. The imaged depth
            is filled up to a whole sample.

    Raises:
        ValueError: for expected speckle, which has no phases; for a rate that is out of range or too low for
            the pulse, naming the one that is needed.
    """
    if settings.speckle == "expected":
        raise ValueError(
            "speckle='expected' is a mean over phases and has no signal: use settings with speckle='sampled' "
            "or 'none'"
        )
    poses = pose.as_batch(world_from_probe)
    if sampling_rate_mhz is None:
        rate = number(probe.speed_of_sound_m_s / probe.sample_spacing_mm) / 2e3
    else:
        rate = float(sampling_rate_mhz)
        probe = sampled_at(probe, rate)
    return Signals(received_iq(medium, probe, poses, settings), rate, probe, poses, settings)


def iq_rate_mhz(probe: Probe) -> float:
    """Lowest sampling rate of the demodulated pulse: its -24 dB bandwidth, twice the -6 dB one."""
    return 2 * number(probe.fractional_bandwidth) * number(probe.frequency_mhz)


def rf_rate_mhz(probe: Probe) -> float:
    """Lowest sampling rate of the pulse with its carrier: twice the upper end of its -24 dB band."""
    return 2 * number(probe.frequency_mhz) * (1 + number(probe.fractional_bandwidth))


def sampled_at(probe: Probe, sampling_rate_mhz: float) -> Probe:
    """The probe with as many samples as a rate gives, and its depth filled up to a whole sample.

    Raises:
        ValueError: for a rate that is out of range or too low for the pulse.
    """
    require_in_range("receive", 1e-3, HIGHEST_RATE_MHZ, sampling_rate_mhz=sampling_rate_mhz)
    needed = iq_rate_mhz(probe)
    if sampling_rate_mhz < needed:
        raise ValueError(
            f"a sampling rate of {sampling_rate_mhz:g} MHz is too low for this pulse: IQ needs "
            f"{needed:.4g} MHz or more, RF {rf_rate_mhz(probe):.4g} MHz"
        )
    per_mm = 2e3 * sampling_rate_mhz / probe.speed_of_sound_m_s
    n_samples = math.ceil(number(probe.depth_mm) * number(per_mm) - 1e-9)
    return probe.with_options(n_samples=n_samples, depth_mm=n_samples / per_mm)
