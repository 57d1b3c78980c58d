"""Small analytic scenes in the probe's own frame, and a way to move everything at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from diffus import ConvexProbe, LinearProbe, Medium, PhasedProbe, Probe, RadialProbe, pose

SMALL = {"n_scanlines": 9, "n_samples": 96, "depth_mm": 48.0}

PROBES: dict[str, Probe] = {
    "linear": LinearProbe(width_mm=16.0, **SMALL),
    "convex": ConvexProbe(radius_mm=20.0, field_of_view_deg=40.0, **SMALL),
    "phased": PhasedProbe(field_of_view_deg=40.0, **SMALL),
    "radial": RadialProbe(radius_mm=6.0, **SMALL),
}

STEERED: dict[str, Probe] = {
    "steered linear": LinearProbe(width_mm=16.0, steering_deg=-15.0, **SMALL),
    "steered phased": PhasedProbe(field_of_view_deg=40.0, steering_deg=20.0, **SMALL),
}
"""One small probe of each kind."""

IDENTITY = torch.eye(4, dtype=torch.float64)
TILTED = pose.from_euler((25.0, -40.0, 65.0), (12.0, -33.0, 48.0))
"""A rigid motion in general position."""


def medium_of(
    fields: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
    spacing_mm: float = 0.5,
    half_width_mm: float = 25.0,
    z_mm: tuple[float, float] = (-30.0, 62.0),
    dtype: torch.dtype = torch.float64,
) -> Medium:
    """Impedance, attenuation and backscatter as functions of x, y and z in mm.

    The grid is coarse (2 mm) in y, where these scenes do not change.
    """
    spacing = torch.tensor([spacing_mm, 2.0, spacing_mm], dtype=torch.float64)
    first = torch.tensor([-half_width_mm, -20.0, z_mm[0]], dtype=torch.float64)
    last = torch.tensor([half_width_mm, 20.0, z_mm[1]], dtype=torch.float64)
    counts = ((last - first) / spacing).round().long() + 1
    axes = [
        f + s * torch.arange(int(n), dtype=torch.float64)
        for f, s, n in zip(first, spacing, counts, strict=True)
    ]
    maps = fields(*torch.meshgrid(*axes, indexing="ij"))
    affine = torch.diag(torch.cat([spacing, torch.ones(1, dtype=torch.float64)]))
    affine[:3, 3] = first
    return Medium(*(values.to(dtype) for values in maps), affine)


def plane_at(z_mm: float, above: float = 1.5, below: float = 1.7) -> Medium:
    """Two half-spaces without attenuation or scatterers, the border at a depth of the probe frame's z."""

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        share = (z - z_mm + 0.25).clamp(0, 0.5) * 2
        return above + (below - above) * share, 0 * z, 0 * z

    return medium_of(fields)


def uniform(attenuation: float = 0.5, backscatter: float = 0.01) -> Medium:
    """One tissue everywhere."""
    return medium_of(lambda x, y, z: (0 * z + 1.6, 0 * z + attenuation, 0 * z + backscatter))


def textured(dtype: torch.dtype = torch.float64) -> Medium:
    """Smooth variation of all three maps, with no symmetry."""

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        wave = torch.sin(0.31 * x + 0.17 * y + 0.4) * torch.cos(0.23 * z - 0.11 * x)
        return 1.6 + 0.1 * wave, 0.5 + 0.2 * wave, 0.01 + 0.004 * torch.sin(0.4 * z + 0.2 * x + 0.3 * y)

    return medium_of(fields, spacing_mm=2.0, half_width_mm=24.0, z_mm=(-30.0, 62.0), dtype=dtype)


def moved(medium: Medium, world_from_scene: Tensor) -> Medium:
    """The same medium elsewhere."""
    return Medium(
        medium.impedance, medium.attenuation, medium.backscatter, world_from_scene @ medium.world_from_voxel
    )
