"""Probes, poses and level tissue for the tests of speckle."""

from __future__ import annotations

import torch
from torch import Tensor

from diffus import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe, pose
from diffus.imaging.speckle import scattered_iq

IDENTITY = torch.eye(4, dtype=torch.float64)[None]
OBLIQUE = pose.exp(torch.tensor([25.0, -40.0, 70.0, 12.5, -8.0, 31.0], dtype=torch.float64))[None]

SMALL: dict[str, Probe] = {
    "linear": LinearProbe(width_mm=8.0, depth_mm=12.0, n_scanlines=12, n_samples=60, frequency_mhz=4.0),
    "convex": ConvexProbe(
        radius_mm=10.0, field_of_view_deg=50.0, depth_mm=14.0, n_scanlines=14, n_samples=70, frequency_mhz=4.0
    ),
    "phased": PhasedProbe(depth_mm=14.0, n_scanlines=13, n_samples=60, frequency_mhz=3.0, aperture_mm=18.0),
    "radial": RadialProbe(radius_mm=4.0, depth_mm=8.0, n_scanlines=40, n_samples=50, frequency_mhz=4.0),
    "steered": PhasedProbe(
        depth_mm=14.0,
        field_of_view_deg=60.0,
        steering_deg=-35.0,
        n_scanlines=13,
        n_samples=60,
        frequency_mhz=3.0,
        aperture_mm=18.0,
    ),
}
"""One of each kind, small enough for the reference."""


def level(probe: Probe, dtype: torch.dtype = torch.float32, n_poses: int = 1) -> Tensor:
    """The power of uniform tissue without attenuation."""
    return torch.ones(n_poses, probe.n_scanlines, probe.n_samples, dtype=dtype)


def many(
    probe: Probe,
    n_images: int,
    density: float | None = None,
    power: Tensor | None = None,
    at: Tensor = IDENTITY,
) -> Tensor:
    """Complex images of as many tissues."""
    power = level(probe) if power is None else power
    images = [
        scattered_iq(power, probe, at, seed=seed, scatterers_per_mm3=density) for seed in range(n_images)
    ]
    return torch.cat(images)
