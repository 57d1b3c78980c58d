"""From a volume, or a slice of one, to an image on scanlines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import Probe, Volume
from diffus.pose import transform_points
from diffus.scalars import number

from .scanline_image import MAIN_BANG_MM, ScanlineImage

STEP_MM = 0.25
"""Depth of a sample, and distance of scanlines at the middle depth: half a voxel of the real volumes."""
BORDER_MM = 1.0
"""Left out along the sides and the far end, where the fitted outline may miss by a pixel or two."""


@dataclass(frozen=True, eq=False)
class LineGrid:
    """Points of the image plane on scanlines, in the probe frame.

    Args:
        points_mm: (S, N, 3), y is zero.
        spacing_mm: (N,), distance of neighbouring scanlines.
    """

    points_mm: Float64[Tensor, "S N 3"]
    spacing_mm: Float64[Tensor, " N"]

    @classmethod
    def of(cls, probe: Probe) -> LineGrid:
        """Scanlines over a probe's field of view without its main bang and its borders."""
        depths = torch.arange(MAIN_BANG_MM, number(probe.depth_mm) - BORDER_MM, STEP_MM, dtype=torch.float64)
        middle = depths.mean()
        width = float(probe.lateral_spacing_mm(middle)) * (probe.n_scanlines - 1)
        dense = probe.with_options(n_scanlines=1 + round(width / STEP_MM))
        spacing = dense.lateral_spacing_mm(depths)
        lines = dense.scanlines()
        points = lines.origins_mm[:, None] + depths[:, None] * lines.directions[:, None]
        border = max(1, round(BORDER_MM / float(spacing.min())))
        return cls(points[border:-border], spacing)

    def world_mm(self, world_from_probe: Float64[Tensor, "4 4"]) -> Float64[Tensor, "S N 3"]:
        """The points in the world."""
        return transform_points(world_from_probe, self.points_mm.reshape(-1, 3)).reshape(self.points_mm.shape)

    def inside(self, support: Volume | None, world_from_probe: Float64[Tensor, "4 4"]) -> Bool[Tensor, "S N"]:
        """Which points a support holds; all where there is none."""
        if support is None:
            return torch.ones(self.points_mm.shape[:2], dtype=torch.bool)
        return support.sample(self.world_mm(world_from_probe)) > 0.999

    def image(self, grey: Float[Tensor, "S N"], mask: Bool[Tensor, "S N"]) -> ScanlineImage:
        """Values at the points."""
        return ScanlineImage(torch.where(mask, grey, torch.zeros_like(grey)), mask, STEP_MM, self.spacing_mm)


def eroded_support(volume: Volume) -> Volume:
    """Where a voxel and all its neighbours hold an image: 0 stands for none."""
    empty = (volume.data <= 0).to(torch.float32)
    inside = F.max_pool3d(empty[None, None], 3, stride=1, padding=1)[0, 0] == 0
    return Volume(inside, volume.world_from_voxel)


def sample_plane(
    volume: Volume,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    white: float,
    support: Volume | None = None,
) -> ScanlineImage:
    """Interpolate a volume in a sector.

    Args:
        volume: grey values.
        probe: gives the sector.
        world_from_probe: where it lies.
        white: value that is shown white.
        support: where the volume has an image; by default the whole sector.
    """
    grid = LineGrid.of(probe)
    grey = volume.sample(grid.world_mm(world_from_probe)).to(torch.float32) / white
    return grid.image(grey.clamp(0, 1), grid.inside(support, world_from_probe))
