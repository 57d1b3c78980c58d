"""From a medium, a probe and a pose to a B-mode frame."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from diffus import pose
from diffus.frame import Frame
from diffus.imaging.formation import (
    expected_envelope,
    interface_amplitude,
    sampled_envelope,
    warn_if_undersampled,
)
from diffus.imaging.gain import compress, layer_loss
from diffus.imaging.speckle import scattered_iq
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.propagation import echoes, two_way_transmission
from diffus.scanline_sampling import ScanlineMedium, sample_scanline_medium
from diffus.settings import RenderSettings

DEFAULT_SETTINGS = RenderSettings()


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
    poses = pose.from_matrix(world_from_probe)
    if poses.ndim == 2:
        poses = poses[None]
    warn_if_undersampled(probe)
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    echo, power = echo_strengths(lines, probe, settings)
    amplitude = interface_amplitude(echo, probe)
    if power is not None and settings.speckle == "sampled":
        scattered = scattered_iq(
            power,
            probe,
            poses,
            seed=settings.seed,
            scatterers_per_mm3=settings.scatterers_per_mm3,
            backend=settings.backend,
        )
        envelope = sampled_envelope(amplitude, scattered, probe)
    else:
        envelope = expected_envelope(amplitude, power, probe)
    return Frame(compress(envelope, probe, settings), envelope, probe, poses, settings)


def echo_strengths(
    lines: ScanlineMedium, probe: Probe, settings: RenderSettings
) -> tuple[Float[Tensor, "B S N"], Float[Tensor, "B S N"] | None]:
    """Amplitude of the interface echo and expected scattered power of each cell, summed over the slice.

    Both carry the two-way transmission through the interfaces above and the two-way attenuation. Cell k lies
    between nodes k and k + 1, with interface k in its middle.
    """
    weights = lines.elevation_weights[:, None, None]
    loss = layer_loss(lines.attenuation, probe, settings)
    amplitude = echoes(
        lines.impedance,
        model=settings.propagation,
        face_reflection=settings.face_reflection,
        loss=loss,
        backend=settings.backend,
    )
    summed = (amplitude * weights).sum(dim=1)
    if settings.speckle == "none":
        return summed, None
    reach = two_way_transmission(lines.impedance) * loss.cumprod(dim=-1) ** 2
    density = (lines.backscatter[..., :-1] ** 2 + lines.backscatter[..., 1:] ** 2) / 2
    return summed, (density * reach**2 * weights).sum(dim=1)


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
