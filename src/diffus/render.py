"""From a medium, a probe and a pose to a B-mode frame."""

from __future__ import annotations

import sys
from typing import Any

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffus import pose
from diffus.frame import Frame
from diffus.imaging.formation import (
    expected_intensity,
    interface_amplitude,
    magnitude,
    sigma_steps,
    unresolved,
    warn_if_undersampled,
    with_interfaces,
)
from diffus.imaging.gain import compress
from diffus.imaging.layers import layers
from diffus.imaging.noise import electronic_noise, noise_power
from diffus.imaging.smoothing import reduce_speckle
from diffus.imaging.speckle import scattered_iq
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.propagation import echoes
from diffus.scanline_sampling import ScanlineMedium, sample_scanline_medium
from diffus.settings import RenderSettings

DEFAULT_SETTINGS = RenderSettings()
VALUES_KEPT = 28
"""Numbers that a pose keeps for its gradient, for each node and elevation plane (benchmarks/frame.py)."""


def render(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> Frame:
    """Render B-mode frames.

    A pure function: the same arguments give the same frame. Differentiable in the pose, in the maps of the
    medium, and in the continuous fields of probe and settings. Floating point type and device are those of
    the medium.

    Args:
        medium: what the waves travel through.
        probe: where scanlines run, and the physics of the transducer.
        world_from_probe: rigid transform (4, 4), or a batch (B, 4, 4); see `diffus.pose`.
        settings: models, gain and compression.

    Returns:
        A frame of B images (B = 1 for a single pose).

    Raises:
        ValueError: when a pose is not rigid or of another shape, or a fan misses the medium.
    """
    poses = pose.as_batch(world_from_probe)
    warn_if_undersampled(probe)
    scanlines, envelope = _in_parts(medium, probe, poses, settings)
    return Frame(scanlines, envelope, probe, poses, settings)


def received_iq(
    medium: Medium, probe: Probe, poses: Float64[Tensor, "B 4 4"], settings: RenderSettings
) -> Complex[Tensor, "B S N"]:
    """Complex signal on the probe's samples, demodulated, with sampled speckle (or none) and noise."""
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    echo, power = echo_strengths(lines, probe, settings)
    amplitude = _interfaces(echo, lines, probe, settings)
    scattered = None
    if power is not None:
        scattered = scattered_iq(
            power,
            probe,
            poses,
            seed=settings.seed,
            scatterers_per_mm3=settings.scatterers_per_mm3,
            backend=settings.backend,
        )
    received = with_interfaces(amplitude, scattered, probe, poses)
    noise = noise_power(settings.noise_db, amplitude)
    if noise is None:
        return received
    axial, _ = sigma_steps(probe, amplitude)
    return received + noise.sqrt() * electronic_noise(
        amplitude, poses, axial, settings.seed, settings.backend
    )


def _in_parts(
    medium: Medium, probe: Probe, poses: Float64[Tensor, "B 4 4"], settings: RenderSettings
) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B S N"]]:
    """Display values and envelopes of all poses, as many at a time as the memory allows."""
    at_once = poses_at_once(probe, settings, medium.impedance.element_size())
    if at_once >= len(poses):
        return _images(medium, probe, poses, settings)
    parts = []
    for start in range(0, len(poses), at_once):
        part = slice(start, start + at_once)
        arguments = (medium, probe, poses[part], settings.of_poses(part))
        if torch.is_grad_enabled():
            parts.append(checkpoint(_images, *arguments, use_reentrant=False))
        else:
            parts.append(_images(*arguments))
    scanlines, envelopes = zip(*parts, strict=True)
    return torch.cat(scanlines), torch.cat(envelopes)


def poses_at_once(probe: Probe, settings: RenderSettings, bytes_per_value: int) -> int:
    """How many poses `render` takes together under the settings' ``max_memory_mb``.

    Raises:
        ValueError: when not even one fits, naming what it needs.
    """
    if settings.max_memory_mb is None:
        return sys.maxsize
    values = probe.n_scanlines * (probe.n_samples + 1) * (probe.n_elevation + 1)
    needed_mb = VALUES_KEPT * values * bytes_per_value / 1e6
    if needed_mb > settings.max_memory_mb:
        raise ValueError(
            f"max_memory_mb={settings.max_memory_mb:g} is too little for one pose of this probe, which needs "
            f"about {needed_mb:.0f} MB: raise it, or take fewer scanlines, samples or elevation planes"
        )
    return int(settings.max_memory_mb / needed_mb)


def _images(
    medium: Medium, probe: Probe, poses: Float64[Tensor, "B 4 4"], settings: RenderSettings
) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B S N"]]:
    """Display values and envelopes."""
    envelope = _envelope(medium, probe, poses, settings)
    shown, strength = envelope, settings.speckle_reduction
    if settings.speckle == "sampled" and (isinstance(strength, Tensor) or strength > 0):
        shown = reduce_speckle(envelope, probe, strength, settings.backend)
    return compress(shown, probe, settings), envelope


def _envelope(
    medium: Medium, probe: Probe, poses: Float64[Tensor, "B 4 4"], settings: RenderSettings
) -> Float[Tensor, "B S N"]:
    if settings.speckle == "sampled":
        received = received_iq(medium, probe, poses, settings)
        return magnitude(received.real**2 + received.imag**2)
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    _, intensity = mean_intensity(lines, probe, settings)
    noise = noise_power(settings.noise_db, intensity)
    return magnitude(intensity if noise is None else intensity + noise)


def mean_intensity(
    lines: ScanlineMedium, probe: Probe, settings: RenderSettings
) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B S N"]]:
    """Amplitude of the interfaces, and mean intensity of interfaces and scatterers, without noise."""
    echo, power = echo_strengths(lines, probe, settings)
    mean_power = None if power is None else over_planes(power, lines)
    amplitude = _interfaces(echo, lines, probe, settings)
    return amplitude, expected_intensity(amplitude, mean_power, probe, settings.backend)


def echo_strengths(
    lines: ScanlineMedium, probe: Probe, settings: RenderSettings
) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B E S N"] | None]:
    """Interface echo of each cell, summed over the slice, and expected scattered power in each plane.

    Both carry the two-way transmission through the interfaces above and the two-way attenuation. Cell k lies
    between nodes k and k + 1, with interface k in its middle.
    """
    impedance, passes, power = layers(lines, probe, settings)
    amplitude = echoes(
        impedance,
        model=settings.propagation,
        face_reflection=settings.face_reflection,
        loss=passes,
        backend=settings.backend,
    )
    return over_planes(amplitude, lines), power


def _interfaces(
    echo: Float[Tensor, "B S N"], lines: ScanlineMedium, probe: Probe, settings: RenderSettings
) -> Float[Tensor, "B S N"]:
    """Interface echoes through pulse and beam, and the voxels that smear them."""
    amplitude = interface_amplitude(echo, probe, settings.backend)
    if settings.propagation == "published":
        return amplitude
    return unresolved(amplitude, lines.voxel_mm, settings.boundary_voxels, probe)


def over_planes(values: Float[Tensor, "B E S N"], lines: ScanlineMedium) -> Float[Tensor, "B S N"]:
    """Weighted sum over the elevation planes."""
    if values.shape[1] == 1:
        return values[:, 0]
    return torch.einsum("besn,e->bsn", values, lines.elevation_weights)


class UltrasoundRenderer(nn.Module):
    """A medium, a probe and settings, kept together: ``renderer(world_from_probe)`` is a frame.

    The medium's maps are a buffer, so that ``.to(device)`` moves them. Its affine is no buffer: it stays in
    float64 whatever the module is cast to.

    Args:
        medium: what the waves travel through.
        probe: where scanlines run.
        settings: models, gain and compression.
    """

    channels: Tensor

    def __init__(self, medium: Medium, probe: Probe, settings: RenderSettings = DEFAULT_SETTINGS) -> None:
        super().__init__()
        self.register_buffer("channels", medium.channels)
        self.world_from_voxel = medium.world_from_voxel
        self.probe = probe
        self.settings = settings

    @property
    def medium(self) -> Medium:
        """The medium, on the module's device."""
        return Medium.from_channels(self.channels, self.world_from_voxel)

    def forward(self, world_from_probe: Float[Tensor, "*B 4 4"]) -> Frame:
        """Render; see `render`."""
        return render(self.medium, self.probe, world_from_probe, self.settings)
