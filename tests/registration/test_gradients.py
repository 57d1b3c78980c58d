"""Gradients of a loss and of the image against finite differences, voxel by voxel and pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from tests.scenes import PROBES, textured
from torch import Tensor

from diffus import Frame, Medium, pose, render
from diffus.mixing import CHANNELS
from diffus.registration.gradients import loss_gradients, pose_derivative
from diffus.registration.landscape import DEGREES_OF_FREEDOM
from diffus.registration.motion import moved, pivot_of, sector_points

PROBE = PROBES["convex"]
AT = pose.exp(torch.tensor([3.0, -4.0, 5.0, 0.7, 0.6, 0.3]))
"""In general position: no sample lies on the border of a voxel, where the image has a kink."""
STEP = 1e-4


def loss(frame: Frame) -> Tensor:
    weights = torch.linspace(0.5, 2.0, frame.scanlines[0].numel(), dtype=torch.float64)
    return (frame.scanlines[0].flatten() ** 2 * weights).sum()


def loss_of(medium: Medium, at: Tensor = AT) -> float:
    return float(loss(render(medium, PROBE, at)))


@pytest.mark.parametrize("name", CHANNELS)
def test_a_voxel_changes_the_loss_as_its_gradient_says(name: str) -> None:
    medium = textured()
    gradient = getattr(loss_gradients(loss, medium, PROBE, AT), name)
    flat = int(gradient.data.abs().argmax())
    there = torch.tensor(torch.unravel_index(torch.tensor(flat), gradient.shape), dtype=torch.float64)
    world = gradient.world_from_voxel[:3, :3] @ there + gradient.world_from_voxel[:3, 3]
    shift = medium.voxel_from_world
    voxel = tuple((shift[:3, :3] @ world + shift[:3, 3]).round().long().tolist())
    step = 1e-5 if name == "backscatter" else STEP
    ends = []
    for sign in (1, -1):
        maps = {channel: getattr(medium, channel).clone() for channel in CHANNELS}
        maps[name][voxel] += sign * step
        ends.append(loss_of(Medium(**maps, world_from_voxel=medium.world_from_voxel)))
    measured = (ends[0] - ends[1]) / (2 * step)
    assert float(gradient.data.flatten()[flat]) == pytest.approx(measured, rel=1e-4)


def test_nothing_of_the_gradient_is_left_out_by_the_crop() -> None:
    medium = textured()
    channels = medium.channels.clone().requires_grad_()
    loss(render(Medium.from_channels(channels, medium.world_from_voxel), PROBE, AT)).backward()
    found = loss_gradients(loss, medium, PROBE, AT)
    for number, name in enumerate(CHANNELS):
        assert channels.grad is not None
        total = float(channels.grad[..., number].abs().sum())
        assert float(getattr(found, name).data.abs().sum()) == pytest.approx(total, rel=1e-9)
    assert found.impedance.data.numel() < medium.impedance.numel()


def test_the_pose_changes_the_loss_as_its_gradient_says() -> None:
    medium, pivot = textured(), pivot_of(sector_points(PROBE))
    found = loss_gradients(loss, medium, PROBE, AT)
    assert found.loss == pytest.approx(loss_of(medium))
    for axis in range(6):
        step = torch.zeros(2, 6, dtype=torch.float64)
        step[:, axis] = torch.tensor([STEP, -STEP])
        ahead, behind = (loss_of(medium, at) for at in moved(AT, step, pivot))
        assert float(found.tangent[axis]) == pytest.approx((ahead - behind) / (2 * STEP), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", ["turn_x_deg", "turn_y_deg", "shift_z_mm"])
def test_each_pixel_changes_as_the_derivative_says(name: str) -> None:
    medium, pivot = textured(), pivot_of(sector_points(PROBE))
    step = torch.zeros(2, 6, dtype=torch.float64)
    step[:, list(DEGREES_OF_FREEDOM).index(name)] = torch.tensor([STEP, -STEP])
    ahead, behind = (render(medium, PROBE, at).scanlines[0] for at in moved(AT, step, pivot))
    found = pose_derivative(medium, PROBE, AT, name)
    assert float(found.abs().max()) > 1e-3
    apart = (found - (ahead - behind) / (2 * STEP)).abs()
    assert float(apart.max()) < 1e-5


def test_refuses_what_has_no_gradient() -> None:
    with pytest.raises(ValueError, match=r"loss: expected shape \(\), one number"):
        loss_gradients(lambda frame: frame.scanlines.mean(dim=0), textured(), PROBE, AT)
    with pytest.raises(ValueError, match="loss: has no gradient"):
        loss_gradients(lambda frame: frame.scanlines.detach().mean(), textured(), PROBE, AT)
    with pytest.raises(ValueError, match="one pose, got"):
        loss_gradients(loss, textured(), PROBE, AT.repeat(2, 1, 1))
    with pytest.raises(ValueError, match="unknown degree of freedom 'tilt'"):
        pose_derivative(textured(), PROBE, AT, "tilt")
