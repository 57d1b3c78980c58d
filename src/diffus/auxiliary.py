"""Maps that go with a frame: how much of the wave gets where, and what can be trusted there."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of
from diffus.imaging.gain import SILENCE, layer_loss, time_gain_db
from diffus.imaging.noise import noise_power
from diffus.imaging.scan_conversion import PixelGrid, to_cartesian
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.propagation import two_way_transmission
from diffus.render import DEFAULT_SETTINGS, over_planes
from diffus.scanline_sampling import sample_scanline_medium
from diffus.settings import RenderSettings
from diffus.tissues import tissue

REFERENCE_TISSUE = "grey_matter"
"""Whose echo, if it were there, is held against the noise."""


@dataclass(frozen=True, eq=False)
class AuxiliaryMaps:
    """Maps on the scanlines of a frame, (B, S, N) each.

    Args:
        transmission: amplitude that all interfaces above leave of a wave on its way down and back, in (0, 1].
        attenuation_db: two-way attenuation by the tissue above.
        shadow_db: by how much the wave is weaker here than the TGC makes up for: above 0 in a shadow, below
            0 where fluid above has let through more (enhancement).
        confidence: what soft tissue here would send back, as a share of that and the electronic noise, as
            powers: from 1 down to 0 in shadows and beyond the penetration depth.
        probe: geometry of the scanlines.
        world_from_probe: poses, (B, 4, 4).
    """

    transmission: Float[Tensor, "B S N"]
    attenuation_db: Float[Tensor, "B S N"]
    shadow_db: Float[Tensor, "B S N"]
    confidence: Float[Tensor, "B S N"]
    probe: Probe
    world_from_probe: Float64[Tensor, "B 4 4"]

    def cartesian(
        self, name: str, spacing_mm: float | None = None, shape: tuple[int, int] | None = None
    ) -> Float[Tensor, "B H W"]:
        """One map by name, scan-converted as `Frame.cartesian` is.

        Raises:
            ValueError: for an unknown name, listing the known.
        """
        known = [field.name for field in fields(self)][:4]
        require_one_of("auxiliary map", name, known)
        return to_cartesian(getattr(self, name), self.probe, PixelGrid.around(self.probe, spacing_mm, shape))


def auxiliary_maps(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> AuxiliaryMaps:
    """Transmission, attenuation, shadow and confidence of the frame that `render` makes of the same.

    Differentiable. Means over the elevation planes. The confidence is 1 where the receiver has no noise.

    Raises:
        ValueError: as `render`.
    """
    poses = pose.as_batch(world_from_probe)
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    loss = layer_loss(lines.attenuation, probe, settings).cumprod(dim=-1) ** 2
    through = two_way_transmission(lines.impedance)
    reach = over_planes(through * loss, lines).clamp_min(SILENCE)
    reach_db = 20 * torch.log10(reach)
    noise = noise_power(settings.noise_db, reach)
    sent_back = (tissue(REFERENCE_TISSUE).backscatter * reach) ** 2
    confidence = torch.ones_like(reach) if noise is None else sent_back / (sent_back + noise)
    attenuation_db = -20 / math.log(10) * torch.log(over_planes(loss, lines).clamp_min(SILENCE))
    return AuxiliaryMaps(
        over_planes(through, lines),
        attenuation_db,
        -reach_db - time_gain_db(probe, settings, reach),
        confidence,
        probe,
        poses,
    )
