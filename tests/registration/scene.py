"""A small scene whose pose an image determines: bright and dark balls in tissue, seen by a convex probe."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

import diffus
from diffus import ConvexProbe, Frame, Medium, RenderSettings
from diffus.registration.target import Target

PROBE = ConvexProbe(
    radius_mm=20.0, field_of_view_deg=60.0, depth_mm=40.0, frequency_mhz=5.0, n_scanlines=64, n_samples=256
)
SIZE = 80
TRUTH = diffus.pose.look_at((0.0, 0.0, -22.0), (1.0, 2.0, 10.0))
IDENTITY = torch.eye(4, dtype=torch.float64)


@cache
def medium() -> Medium:
    """Sixty balls of two tissues in a third, 1 mm voxels."""
    axis = torch.arange(SIZE) - (SIZE - 1) / 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    generator = torch.Generator().manual_seed(5)
    middles = (torch.rand(60, 3, generator=generator) - 0.5) * 64
    radii = 3 + 5 * torch.rand(60, generator=generator)
    backscatter = torch.full((SIZE, SIZE, SIZE), 0.006)
    impedance = torch.full((SIZE, SIZE, SIZE), 1.60)
    for number, (middle, radius) in enumerate(zip(middles, radii, strict=True)):
        share = torch.sigmoid(2 * (radius - (grid - middle).norm(dim=-1)))
        backscatter = torch.lerp(backscatter, torch.tensor(0.02 if number % 2 else 0.001), share)
        impedance = torch.lerp(impedance, torch.tensor(1.63 if number % 2 else 1.55), share)
    affine = IDENTITY.clone()
    affine[:3, 3] = float(axis[0])
    return Medium(impedance, torch.full_like(impedance, 0.6), backscatter, affine)


def sampled(at: Tensor = TRUTH, seed: int = 77) -> Frame:
    """What a scanner shows at a pose, with speckle of a seed of its own."""
    return diffus.render(medium(), PROBE, at, RenderSettings(speckle="sampled", seed=seed))


def target(fixed: Tensor, places: Tensor | None = None) -> Target:
    """Frames to register, at places in a sweep."""
    places = IDENTITY[None] if places is None else places
    return Target(fixed, torch.ones_like(fixed), medium(), PROBE, places, RenderSettings())
