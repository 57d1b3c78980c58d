"""What a loss says of the medium, voxel by voxel, and of the pose; and what the pose does to each pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.autograd import forward_ad

from diffus import pose
from diffus.checks import require_one_of, require_shape
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.mixing import CHANNELS
from diffus.probe import Probe
from diffus.registration.landscape import DEGREES_OF_FREEDOM
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.render import DEFAULT_SETTINGS, render
from diffus.scanline_sampling import scanline_index
from diffus.settings import RenderSettings
from diffus.volume import Volume

MAP_UNITS = {"impedance": "MRayl", "attenuation": "dB/cm/MHz", "backscatter": "unit of backscatter"}
"""What one unit of each map of the medium is; a gradient is a change of the loss for each of it."""


@dataclass(frozen=True, eq=False)
class LossGradients:
    """Derivatives of a loss at one pose.

    Args:
        loss: its value.
        impedance: change of the loss for each MRayl in a voxel; on the voxels around the fan, all others have
            none.
        attenuation: the same for each dB/cm/MHz.
        backscatter: the same for each unit of backscatter.
        tangent: change of the loss for each degree of the three turns, then each mm of the three shifts
            (`landscape.DEGREES_OF_FREEDOM`), about the middle of the sector.
        probe: whose image.
        world_from_probe: the pose.
    """

    loss: float
    impedance: Volume
    attenuation: Volume
    backscatter: Volume
    tangent: Float64[Tensor, "6"]
    probe: Probe
    world_from_probe: Float64[Tensor, "4 4"]


def loss_gradients(
    loss: Callable[[Frame], Tensor],
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> LossGradients:
    """Differentiate a loss on the rendered frame in the maps of the medium and in the pose.

    Only the voxels around the fan are differentiated, so that a large volume takes no more memory.

    Args:
        loss: takes the frame of one image and gives one number, as
            ``lambda frame: 1 - similarity.ncc(frame.scanlines, fixed.scanlines)[0]``.
        medium: what is rendered.
        probe: whose image.
        world_from_probe: one pose.
        settings: how it is rendered.

    Raises:
        ValueError: for several poses, a loss that is not one number or has no gradient, and as
            `diffus.render`.
    """
    at = _one_pose(world_from_probe)
    around = _around_fan(medium, probe, at)
    channels = around.channels.detach().clone().requires_grad_()
    tangent = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    pivot = pivot_of(sector_points(probe))
    with torch.enable_grad():
        leaf = Medium.from_channels(channels, around.world_from_voxel)
        value = loss(render(leaf, probe, moved(at, tangent, pivot), settings))
        require_shape("loss", value.shape, "(), one number", value.ndim == 0)
        if not value.requires_grad:
            raise ValueError("loss: has no gradient: compute it from frame.scanlines or frame.envelope alone")
        by_voxel, by_pose = torch.autograd.grad(
            value, (channels, tangent), allow_unused=True, materialize_grads=True
        )
    impedance, attenuation, backscatter = (
        Volume(by_voxel[..., number], around.world_from_voxel) for number in range(len(CHANNELS))
    )
    return LossGradients(float(value.detach()), impedance, attenuation, backscatter, by_pose, probe, at)


def pose_derivative(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    name: str,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> Float[Tensor, "S N"]:
    """Change of each displayed value for a degree, or a mm, of one degree of freedom of the pose.

    Exact, by differentiating forwards, which the backend ``"torch"`` alone can do.

    Args:
        medium: what is rendered.
        probe: whose image.
        world_from_probe: one pose.
        name: one of `landscape.DEGREES_OF_FREEDOM`; turns are about the middle of the sector.
        settings: how the image is rendered, its backend aside.

    Raises:
        ValueError: for an unknown name, several poses, and as `diffus.render`.
    """
    require_one_of("degree of freedom", name, DEGREES_OF_FREEDOM)
    at, pivot = _one_pose(world_from_probe), pivot_of(sector_points(probe))
    way = torch.zeros(6, dtype=torch.float64)
    way[list(DEGREES_OF_FREEDOM).index(name)] = 1
    plain = settings.with_options(backend="torch", max_memory_mb=None)
    with torch.no_grad(), forward_ad.dual_level():
        tangent = forward_ad.make_dual(torch.zeros_like(way), way)
        shown = render(_around_fan(medium, probe, at), probe, moved(at, tangent, pivot), plain).scanlines
        change = forward_ad.unpack_dual(shown[0]).tangent
    assert change is not None
    return change


def _one_pose(world_from_probe: Any) -> Float64[Tensor, "4 4"]:
    poses = pose.as_batch(world_from_probe).detach().cpu()
    require_shape("world_from_probe", poses.shape, "(4, 4), one pose", len(poses) == 1)
    return poses[0]


def _around_fan(medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "4 4"]) -> Medium:
    """The voxels that the fan is sampled from, and one more each way, where there are any."""
    index = scanline_index(medium, probe, world_from_probe[None]).detach().flatten(0, -2).double()
    box = []
    for low, high, size in zip(index.amin(dim=0), index.amax(dim=0), medium.shape, strict=True):
        start = min(max(math.floor(float(low)) - 1, 0), size - 1)
        box.append(slice(start, max(min(math.floor(float(high)) + 3, size), start + 1)))
    affine = medium.world_from_voxel.clone()
    affine[:3, 3] += affine[:3, :3] @ affine.new_tensor([part.start for part in box])
    return Medium.from_channels(medium.channels[tuple(box)].detach(), affine)
