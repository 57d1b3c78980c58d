"""How the real frames came to us: a sweep, averaged into voxels of 0.5 mm, and cut again.

The real volumes were reconstructed from hand-held sweeps and resampled at 0.5 mm, which blurs the grain.
Rendered frames must go the same way before they are compared: neighbouring planes of a sweep are
rendered, a voxel of an oblique lattice takes the mean of what lies in it (Solberg et al., "Freehand 3D
ultrasound reconstruction algorithms", Ultrasound Med Biol 33, 2007), and the frame is cut from that
lattice. What the makers of the real volumes did in detail is not known.
"""

from __future__ import annotations

import itertools
import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import Frame, Probe, Volume
from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.scan_conversion import sample_scanlines
from diffus.pose import exp, inverse, perturb, transform_points
from diffus.scalars import as_scalar

from .sampling import LineGrid
from .scanline_image import ScanlineImage

VOXEL_MM = 0.5
PLANE_MM = 0.3
"""Distance of the planes of a sweep: at 20 to 30 frames a second and 6 to 9 mm a second."""
PLANES = 7
"""They reach the corners of every voxel around the middle plane, at most sqrt(3) / 2 mm away."""
LATTICE = (23.0, 38.0, 17.0, 0.13, 0.21, 0.07)
"""How the voxels lie to the sector, degrees and mm: in general position, as scanner and sweep do."""


def sweep_poses(world_from_probe: Float64[Tensor, "4 4"]) -> Float64[Tensor, "planes 4 4"]:
    """The pose moved along its elevation axis to both sides."""
    tangents = torch.zeros(PLANES, 6, dtype=torch.float64)
    tangents[:, 4] = PLANE_MM * (torch.arange(PLANES, dtype=torch.float64) - (PLANES - 1) / 2)
    return perturb(world_from_probe, tangents)


def observed(sweep: Frame, support: Volume | None = None) -> ScanlineImage:
    """The middle plane of a rendered sweep after interpolation into voxels and out of them.

    Args:
        sweep: frames at `sweep_poses`.
        support: where the real volume has an image; by default the whole sector counts.
    """
    grid = LineGrid.of(sweep.probe)
    lattice_from_probe = exp(torch.tensor(LATTICE, dtype=torch.float64))
    probe_from_lattice = inverse(lattice_from_probe)
    means = voxel_means(sweep)
    index = transform_points(lattice_from_probe, grid.points_mm.reshape(-1, 3)) / VOXEL_MM
    low = index.floor()
    share = index - low
    grey = torch.zeros(len(index), dtype=sweep.scanlines.dtype)
    for corner in itertools.product((0.0, 1.0), repeat=3):
        offset = torch.tensor(corner, dtype=torch.float64)
        weight = torch.where(offset == 1, share, 1 - share).prod(dim=-1)
        grey += weight.to(grey) * _at(
            means, sweep.probe, transform_points(probe_from_lattice, VOXEL_MM * (low + offset))
        )
    grey = grey.reshape(grid.points_mm.shape[:2])
    return grid.image(grey, grid.inside(support, sweep.world_from_probe[PLANES // 2]))


def voxel_means(sweep: Frame) -> Float[Tensor, "planes S N"]:
    """What a voxel at each point of a sweep would hold.

    The mean over a voxel, whichever way it lies, is a Gaussian of the box's variance in all three directions.
    """
    probe, grey = sweep.probe, sweep.scanlines
    sigma = VOXEL_MM / math.sqrt(12)
    spacing = probe.lateral_spacing_mm(probe.sample_depths_mm())
    across = (sigma / spacing).to(grey)
    along = as_scalar(sigma / probe.sample_spacing_mm, grey)
    in_plane = blur_scanlines(blur_depth(grey, along, "sum"), across, probe.wraps)
    between = torch.full((grey[0].numel(),), sigma / PLANE_MM, dtype=grey.dtype)
    return blur_scanlines(in_plane.flatten(1)[None], between, False)[0].reshape(grey.shape)


def _at(
    planes: Float[Tensor, "planes S N"], probe: Probe, points_mm: Float64[Tensor, "M 3"]
) -> Float[Tensor, " M"]:
    """Linear interpolation in a sweep: along scanlines, across them, and between planes."""
    x, y, z = points_mm.unbind(-1)
    line, depth = probe.scanline_coordinates(x, z)
    sample = depth / as_scalar(probe.sample_spacing_mm, depth) - 0.5
    plane = (y / PLANE_MM + (PLANES - 1) / 2).clamp(0, PLANES - 1)
    low = plane.floor().long().clamp(max=PLANES - 2)
    values = sample_scanlines(planes, line.to(planes), sample.to(planes), False)
    near, far = values.gather(0, torch.stack([low, low + 1]))
    return torch.lerp(near, far, (plane - low).to(values))
