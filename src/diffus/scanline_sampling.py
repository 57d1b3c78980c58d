"""The medium along the scanlines of a posed probe."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.affine import spacing_of
from diffus.imaging.beam import elevation_sigma_mm
from diffus.imaging.specular import NodeSteps
from diffus.keeping import kept
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.propagation import resolve_backend
from diffus.sampling import sample_trilinear
from diffus.scalars import as_double


class ScanlineMedium(NamedTuple):
    """The medium at the N + 1 nodes of each scanline, node k at depth ``k depth_mm / N``.

    Shapes are (B, E, S, N + 1): poses, elevation planes, scanlines, nodes. ``elevation_weights`` (E,) add up
    to one. ``voxel_mm`` (B, S) is the length of a voxel along each scanline.
    """

    impedance: Float[Tensor, "B E S nodes"]
    attenuation: Float[Tensor, "B E S nodes"]
    backscatter: Float[Tensor, "B E S nodes"]
    elevation_weights: Float[Tensor, " E"]
    voxel_mm: Float[Tensor, "B S"]


def sample_scanline_medium(
    medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"], backend: str = "auto"
) -> ScanlineMedium:
    """Sample the three maps trilinearly along every scanline.

    Probe and grid meet in one fused matrix, formed in float64 and then lowered to the medium's type. Beyond
    the grid impedance and attenuation go on as at its border, so that the border makes no echo; backscatter
    fades to nothing within one voxel, so that unknown tissue stays black and the image smooth in the pose.

    Args:
        medium: what is sampled.
        probe: where the scanlines run.
        world_from_probe: poses.
        backend: ``"torch"`` is the reference and is differentiable twice; ``"numba"`` does it in one pass on
            the CPU, ``"triton"`` on a CUDA GPU; both are differentiable once.

    Raises:
        ValueError: when a fan misses the medium, naming the pose and the distance in mm, or the backend
            cannot serve the medium.
    """
    nodes = _scanline_nodes(medium, probe, world_from_probe)
    _, _, weights = _node_table(probe)
    weights, voxel_mm = weights.to(medium.channels), (1 / nodes.directions.norm(dim=-1)).to(medium.channels)
    chosen = resolve_backend(backend, medium.impedance)
    if chosen == "numba":
        from diffus.numba_sampling import sample_maps

        impedance, attenuation, backscatter, seen = sample_maps(medium.channels, *nodes)
        if not bool(seen.any(dim=1).all()):
            _require_overlap(nodes, medium)
        return ScanlineMedium(impedance, attenuation, backscatter, weights, voxel_mm)
    _require_overlap(nodes, medium)
    if chosen == "triton":
        from diffus.triton_sampling import sample_lines

        values = sample_lines(medium.channels, *nodes)
        return ScanlineMedium(values[0], values[1], values[2], weights, voxel_mm)
    index = _node_index(nodes, medium.channels)
    values = sample_trilinear(medium.channels, index)
    fade = (1 - _voxels_outside(index, medium.shape)).clamp_min(0).prod(dim=-1)
    return ScanlineMedium(values[..., 0], values[..., 1], values[..., 2] * fade, weights, voxel_mm)


def elevation_planes(
    probe: Probe, depths_mm: Float64[Tensor, " nodes"]
) -> tuple[Float64[Tensor, "E nodes"], Float64[Tensor, " E"]]:
    """Gauss-Hermite quadrature over the slice: offsets in mm at each depth, weights that add up to one.

    The nodes are those of the power profile exp(-y^2 / sigma^2).
    """
    nodes, weights = np.polynomial.hermite.hermgauss(probe.n_elevation)
    positions = torch.from_numpy(nodes).to(depths_mm.device)
    shares = torch.from_numpy(weights / weights.sum()).to(depths_mm.device)
    return positions[:, None] * elevation_sigma_mm(probe, depths_mm), shares


def node_steps(probe: Probe, like: Tensor) -> NodeSteps:
    """How far apart the nodes of a probe's scanlines lie."""
    return _node_steps(probe, like.dtype, like.device)


@kept
def _node_steps(probe: Probe, dtype: torch.dtype, device: torch.device) -> NodeSteps:
    lowered = partial(Tensor.to, dtype=dtype, device=device)
    depths, offsets, _ = _node_table(probe)
    # Scanlines that start at one point are as far apart there as a sample deeper.
    apart = probe.lateral_spacing_mm(torch.cat([depths[1:2], depths[1:]]))
    planes = lowered(offsets) if probe.n_elevation > 1 else None
    shear = None if probe.shear is None else lowered(probe.shear)
    return NodeSteps(lowered(as_double(probe.sample_spacing_mm)), lowered(apart), planes, shear)


@kept
def _node_table(
    probe: Probe,
) -> tuple[Float64[Tensor, " nodes"], Float64[Tensor, "E nodes"], Float64[Tensor, " E"]]:
    """Depths of the nodes in mm, and the elevation planes there."""
    depths = torch.arange(probe.n_samples + 1, dtype=torch.float64) * as_double(probe.sample_spacing_mm)
    return depths, *elevation_planes(probe, depths)


_scanlines = kept(lambda probe: probe.scanlines())


class _Nodes(NamedTuple):
    """Voxel indices of the nodes, as ``origins + directions depths + across offsets``, float64."""

    origins: Float64[Tensor, "B S 3"]
    directions: Float64[Tensor, "B S 3"]
    across: Float64[Tensor, "B 3"]
    depths: Float64[Tensor, " nodes"]
    offsets: Float64[Tensor, "E nodes"]


def scanline_index(
    medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]
) -> Float[Tensor, "B E S nodes 3"]:
    """Fractional voxel index of every node, in the medium's type."""
    return _node_index(_scanline_nodes(medium, probe, world_from_probe), medium.channels)


def _scanline_nodes(medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]) -> _Nodes:
    device = medium.impedance.device
    voxel_from_probe = medium.voxel_from_world.to(device) @ world_from_probe.to(device)
    linear, shift = voxel_from_probe[:, :3, :3], voxel_from_probe[:, :3, 3]
    lines = _scanlines(probe)
    depths, offsets, _ = _node_table(probe)
    return _Nodes(
        lines.origins_mm.to(device) @ linear.mT + shift[:, None],
        lines.directions.to(device) @ linear.mT,
        linear[:, :, 1],
        depths.to(device),
        offsets.to(device),
    )


def _node_index(nodes: _Nodes, like: Tensor) -> Float[Tensor, "B E S nodes 3"]:
    origins, directions, across, depths, offsets = nodes
    along = directions[:, None, :, None].to(like) * depths[:, None].to(like)
    return (
        origins[:, None, :, None].to(like)
        + along
        + (across[:, None, None] * offsets[None, :, :, None]).to(like)[:, :, None]
    )


def _voxels_outside(
    index: Float[Tensor, "*points 3"], shape: tuple[int, int, int]
) -> Float[Tensor, "*points 3"]:
    """How many voxels each point lies beyond the outermost voxel centres, along each axis."""
    last = torch.tensor(shape, dtype=index.dtype, device=index.device) - 1
    return torch.maximum(-index, index - last).clamp_min(0)


def _require_overlap(nodes: _Nodes, medium: Medium) -> None:
    spacing = nodes.depths.new_tensor(spacing_of(medium.world_from_voxel))
    # A sparse look settles nearly every case; only a fan that seems to miss is looked at in full.
    for stride in (16, 1):
        sparse = _Nodes(
            nodes.origins[:, ::stride].detach(),
            nodes.directions[:, ::stride].detach(),
            nodes.across.detach(),
            nodes.depths[::stride].detach(),
            nodes.offsets[:, ::stride].detach(),
        )
        outside = _voxels_outside(_node_index(sparse, spacing), medium.shape)
        distance = (outside * spacing).norm(dim=-1).flatten(1).amin(dim=1)
        if not bool((distance > 0).any()):
            return
    pose = int((distance > 0).nonzero()[0, 0])
    raise ValueError(
        f"the fan of pose {pose} misses the volume by {float(distance[pose]):.1f} mm: "
        "put its face on the surface and aim it inside, or check that pose and volume share one world "
        "(RAS+, mm)"
    )
