"""Frames rendered from what a model makes of an MRI; only the voxels that are looked at are asked for."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffus.imaging.gain import time_gain_db
from diffus.learning.features import Box, MRIFeatures
from diffus.learning.model import TissueModel
from diffus.medium import Medium
from diffus.pose import transform_points
from diffus.probe import Probe
from diffus.registration.rendered_sweep import FLOOR_DB, RENDERING
from diffus.render import render
from diffus.scanline_sampling import scanline_index
from diffus.settings import RenderSettings


def learned_levels(
    model: TissueModel,
    mri: MRIFeatures,
    probe: Probe,
    world_from_probe: Float64[Tensor, "F 4 4"],
    autocast: AbstractContextManager[Any] | None = None,
    settings: RenderSettings = RENDERING,
) -> Float[Tensor, "F S N"]:
    """Frames in dB, TGC made up for, with gradients to the model's weights and to the poses.

    Args:
        model: what the tissue is.
        mri: around the frames, on the model's device.
        probe: of the frames.
        world_from_probe: their poses in the world of the MRI.
        autocast: in which the model computes, for half precision.
        settings: of the renderer.
    """
    with autocast or nullcontext():
        channels = _channels(model, mri, probe, world_from_probe.detach())
    medium = Medium.from_channels(channels.to(mri.untrained.dtype), mri.world_from_voxel)
    return levels_db(medium, probe, world_from_probe, settings)


def levels_db(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float64[Tensor, "F 4 4"],
    settings: RenderSettings = RENDERING,
) -> Float[Tensor, "F S N"]:
    """Mean intensity over speckle in dB, TGC made up for, with the power of a scanner's noise added.

    The noise (`FLOOR_DB`) keeps the logarithm of what is black from ruling the loss. Powers add, so that
    what is well above it is not changed.
    """
    envelope = render(medium, probe, world_from_probe, settings).envelope
    gained_db = time_gain_db(probe, settings, envelope)
    return 10 * torch.log10(envelope**2 * 10 ** (gained_db / 10) + 10 ** (FLOOR_DB / 10))


def box_around(
    mri: MRIFeatures,
    probe: Probe,
    world_from_probe: Float64[Tensor, "F 4 4"],
    margin_mm: float = 0.0,
    margin_voxels: int = 0,
) -> Box:
    """Voxels of a grid that the scanlines of some frames run through, with a margin.

    Args:
        mri: whose grid is meant.
        probe: of the frames.
        world_from_probe: their poses in the world of the MRI.
        margin_mm: around them.
        margin_voxels: around that.
    """
    lines = probe.scanlines()
    depth = float(probe.depth_mm)
    ends = torch.cat([lines.origins_mm, lines.origins_mm + depth * lines.directions])
    affine = torch.linalg.inv(mri.world_from_voxel)
    index = transform_points(affine @ world_from_probe.detach().cpu(), ends).reshape(-1, 3)
    margin = margin_mm / mri.world_from_voxel[:3, :3].norm(dim=0) + margin_voxels + 1
    last = torch.tensor(mri.shape, dtype=torch.float64)
    low = (index.amin(dim=0) - margin).floor().clamp_min(0).minimum(last - 2).long().tolist()
    high = (index.amax(dim=0) + margin).ceil().add(1).minimum(last).long().tolist()
    i, j, k = (slice(a, max(b, a + 2)) for a, b in zip(low, high, strict=True))
    return i, j, k


def _channels(
    model: TissueModel, mri: MRIFeatures, probe: Probe, poses: Float64[Tensor, "F 4 4"]
) -> Float[Tensor, "I J K 3"]:
    """The model's channels; those of voxels that no scanline touches may be the untrained ones."""
    if model.reach_voxels:
        return model(mri)
    touched = _touched(mri, probe, poses)
    learned = model(mri.voxels(touched)).reshape(-1, 3)
    flat = mri.untrained.reshape(-1, 3)
    return flat.index_copy(0, touched, learned.to(flat.dtype)).reshape(*mri.shape, 3)


def _touched(mri: MRIFeatures, probe: Probe, poses: Float64[Tensor, "F 4 4"]) -> Int64[Tensor, " n"]:
    """Numbers of the voxels that trilinear interpolation at the nodes of the scanlines reads."""
    grid = Medium.from_channels(mri.untrained, mri.world_from_voxel)
    last = torch.tensor(mri.shape, device=mri.untrained.device) - 1
    low = scanline_index(grid, probe, poses).reshape(-1, 3).floor().long()
    mark = torch.zeros(mri.shape, dtype=torch.bool, device=mri.untrained.device)
    for corner in itertools.product((0, 1), repeat=3):
        index = (low + torch.tensor(corner, device=low.device)).clamp_min(0).minimum(last)
        mark[index.unbind(dim=-1)] = True
    return mark.flatten().nonzero()[:, 0]
