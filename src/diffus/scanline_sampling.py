"""The medium along the scanlines of a posed probe."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.affine import spacing_of
from diffus.imaging.beam import elevation_sigma_mm
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.sampling import sample_trilinear
from diffus.scalars import as_double


class ScanlineMedium(NamedTuple):
    """The medium at the N + 1 nodes of each scanline, node k at depth ``k depth_mm / N``.

    Shapes are (B, E, S, N + 1): poses, elevation planes, scanlines, nodes. ``elevation_weights`` (E,) add up
    to one.
    """

    impedance: Float[Tensor, "B E S nodes"]
    attenuation: Float[Tensor, "B E S nodes"]
    backscatter: Float[Tensor, "B E S nodes"]
    elevation_weights: Float[Tensor, " E"]


def sample_scanline_medium(
    medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]
) -> ScanlineMedium:
    """Sample the three maps trilinearly along every scanline.

    Probe and grid meet in one fused matrix, formed in float64 and then lowered to the medium's type. Beyond
    the grid impedance and attenuation go on as at its border, so that the border makes no echo; backscatter
    fades to nothing within one voxel, so that unknown tissue stays black and the image smooth in the pose.

    Raises:
        ValueError: when a fan misses the medium, naming the pose and the distance in mm.
    """
    index, weights = scanline_index(medium, probe, world_from_probe)
    outside = _voxels_outside(index, medium.shape)
    _require_overlap(outside, medium)
    values = sample_trilinear(medium.channels, index)
    backscatter = values[..., 2] * (1 - outside).clamp_min(0).prod(dim=-1)
    return ScanlineMedium(values[..., 0], values[..., 1], backscatter, weights)


def scanline_index(
    medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]
) -> tuple[Float[Tensor, "B E S nodes 3"], Float[Tensor, " E"]]:
    """Fractional voxel index of every node, and the weight of each elevation plane."""
    like = medium.channels
    poses = world_from_probe.to(like.device)
    voxel_from_probe = medium.voxel_from_world.to(like.device) @ poses
    linear, shift = voxel_from_probe[:, :3, :3], voxel_from_probe[:, :3, 3]
    lines = probe.scanlines()
    origins = lines.origins_mm.to(like.device) @ linear.mT + shift[:, None]
    directions = lines.directions.to(like.device) @ linear.mT
    step = as_double(probe.sample_spacing_mm).to(like.device)
    depths = torch.arange(probe.n_samples + 1, dtype=torch.float64, device=like.device) * step
    offsets, weights = _elevation_planes(probe, depths)
    across = linear[:, :, 1]
    index = (
        origins[:, None, :, None].to(like)
        + directions[:, None, :, None].to(like) * depths[:, None].to(like)
        + (across[:, None, None] * offsets[None, :, :, None]).to(like)[:, :, None]
    )
    return index, weights.to(like)


def _elevation_planes(
    probe: Probe, depths_mm: Float64[Tensor, " nodes"]
) -> tuple[Float64[Tensor, "E nodes"], Float64[Tensor, " E"]]:
    """Gauss-Hermite quadrature over the slice: offsets in mm at each depth, weights that add up to one.

    The nodes are those of the power profile exp(-y^2 / sigma^2).
    """
    nodes, weights = np.polynomial.hermite.hermgauss(probe.n_elevation)
    positions = torch.from_numpy(nodes).to(depths_mm.device)
    shares = torch.from_numpy(weights / weights.sum()).to(depths_mm.device)
    return positions[:, None] * elevation_sigma_mm(probe, depths_mm), shares


def _voxels_outside(
    index: Float[Tensor, "*points 3"], shape: tuple[int, int, int]
) -> Float[Tensor, "*points 3"]:
    """How many voxels each point lies beyond the outermost voxel centres, along each axis."""
    last = torch.tensor(shape, dtype=index.dtype, device=index.device) - 1
    return torch.maximum(-index, index - last).clamp_min(0)


def _require_overlap(outside: Float[Tensor, "B E S nodes 3"], medium: Medium) -> None:
    spacing = torch.tensor(spacing_of(medium.world_from_voxel), dtype=outside.dtype, device=outside.device)
    # A sparse look settles nearly every case; only a fan that seems to miss is looked at in full.
    for stride in (16, 1):
        distance = (outside.detach()[:, :, ::stride, ::stride] * spacing).norm(dim=-1).flatten(1).amin(dim=1)
        if not bool((distance > 0).any()):
            return
    pose = int((distance > 0).nonzero()[0, 0])
    raise ValueError(
        f"the fan of pose {pose} misses the volume by {float(distance[pose]):.1f} mm: "
        "move the probe (pose.look_at with an entry on the surface), or check that pose and volume share one "
        "world (RAS+, mm)"
    )
