"""Trajectories: their ends, their speed, and a surface whose shape is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp
from tests.scenes import IDENTITY, TILTED
from tests.support import as_users_run

from diffus import Volume, pose, trajectory

START = pose.from_euler((10.0, 20.0, -30.0), (5.0, -60.0, 30.0))
END = pose.perturb(START, torch.tensor([15.0, -40.0, 25.0, 12.0, -7.0, 3.0]))
RADIUS_MM = 30.0


@pytest.fixture(scope="module")
def ball() -> Volume:
    axis = torch.arange(81.0) - 40
    radius = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    affine = IDENTITY.clone()
    affine[:3, 3] = -40
    return Volume(255 * (radius < RADIUS_MM).to(torch.uint8), affine)


def assert_rigid(poses: torch.Tensor) -> None:
    rotation = poses[:, :3, :3]
    assert poses.dtype == torch.float64
    assert torch.allclose(rotation.mT @ rotation, torch.eye(3).double().expand_as(rotation), atol=1e-12)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(len(poses)).double())


def test_between_is_scipys_slerp_with_a_straight_face() -> None:
    poses = trajectory.between(START, END, 9)
    assert_rigid(poses)
    assert torch.equal(poses[0], START)
    assert torch.equal(poses[-1], END)
    share = np.linspace(0, 1, 9)
    keys = Rotation.from_matrix(torch.stack([START, END])[:, :3, :3].numpy())
    assert np.allclose(poses[:, :3, :3], Slerp([0, 1], keys)(share).as_matrix(), atol=1e-12)
    assert torch.allclose(poses[:, :3, 3], torch.lerp(START[:3, 3], END[:3, 3], torch.tensor(share)[:, None]))
    shift, turned = pose.distance(poses[:-1], poses[1:])
    assert torch.allclose(shift, shift[0].expand(8))
    assert torch.allclose(turned, turned[0].expand(8))


def test_the_way_does_not_depend_on_where_the_world_is() -> None:
    moved = trajectory.between(TILTED @ START, TILTED @ END, 7)
    assert torch.allclose(moved, TILTED @ trajectory.between(START, END, 7), atol=1e-9)


def test_several_keys_are_passed_at_one_speed() -> None:
    """Parts of 30 mm, and of 90 degrees, which count as 62.8 mm: together 92.8 mm."""
    shifted = pose.perturb(START, torch.tensor([0.0, 0, 0, 0, 30, 0]))
    turned = pose.perturb(shifted, torch.tensor([0.0, 0, 90, 0, 0, 0]))
    poses = trajectory.through([START, shifted, turned], 101)
    assert_rigid(poses)
    shift, turn = pose.distance(poses[:-1], poses[1:])
    speed = shift + torch.deg2rad(turn) * trajectory.ARM_MM
    assert torch.allclose(speed, torch.full((100,), (30 + math.pi / 2 * 40) / 100).double(), atol=1e-9)
    assert float(pose.distance(poses, shifted)[0].min()) < 0.94
    still = trajectory.through([START, START], 3)
    assert torch.allclose(still, START.expand(3, 4, 4))


@pytest.mark.parametrize(("move", "axis", "towards"), [("fan", 0, 1), ("rock", 1, 0), ("turn", 2, None)])
def test_tilts_keep_the_face_and_go_the_way_they_say(move: str, axis: int, towards: int | None) -> None:
    poses = getattr(trajectory, move)(START, 50.0, 11)
    assert_rigid(poses)
    assert torch.allclose(poses[:, :3, 3], START[:3, 3].expand(11, 3))
    assert torch.allclose(poses[5], START)
    assert torch.allclose(poses[:, :3, axis], START[:3, axis].expand(11, 3))
    _, turned = pose.distance(poses[:-1], poses[1:])
    assert torch.allclose(turned, torch.full((10,), 5.0).double())
    last = (pose.inverse(START) @ poses[-1])[:3, :3]
    if towards is None:
        assert float(last[1, 0]) == pytest.approx(math.sin(math.radians(25)))  # x has turned towards y
    else:
        assert float(last[towards, 2]) == pytest.approx(math.sin(math.radians(25)))  # the beam leans that way


@pytest.mark.parametrize(("along", "axis"), [("elevation", 1), ("lateral", 0)])
def test_sliding_over_a_ball(ball: Volume, along: str, axis: int) -> None:
    """A face 3 mm off a ball keeps its 3 mm, looks at the centre, and goes round by length over radius."""
    start = pose.look_at((33.0, 5.0, 2.0), (0.0, 0.0, 0.0))
    poses = trajectory.slide(ball, start, 30.0, 7, along)
    assert_rigid(poses)
    assert torch.allclose(poses[3], start, atol=1e-9)
    face, beam = poses[:, :3, 3], poses[:, :3, 2]
    assert torch.allclose(face.norm(dim=1), start[:3, 3].norm().expand(7), atol=0.3)
    assert float(torch.linalg.cross(face, beam).norm(dim=1).max()) < 1.5
    assert float(pose.distance(poses[0], poses[-1])[1]) == pytest.approx(math.degrees(1.0), abs=2.5)
    steps = face.diff(dim=0)
    assert torch.allclose(steps.norm(dim=1), steps.norm(dim=1).mean().expand(6), rtol=0.1)
    assert float((steps[2] / steps[2].norm()) @ start[:3, axis]) > 0.98


def test_a_face_pressed_askew_stays_askew(ball: Volume) -> None:
    straight = pose.look_at((RADIUS_MM, 0.0, 0.0), (0.0, 0.0, 0.0))
    askew = pose.perturb(straight, torch.tensor([0.0, 20.0, 0, 0, 0, 0]))
    poses = trajectory.slide(ball, askew, 20.0, 3)
    inwards = -poses[:, :3, 3] / poses[:, :3, 3].norm(dim=1, keepdim=True)
    leaning = torch.rad2deg((inwards * poses[:, :3, 2]).sum(dim=1).acos())
    assert torch.allclose(leaning, torch.full((3,), 20.0).double(), atol=2)


def test_refusals(ball: Volume) -> None:
    opposite = pose.perturb(START, torch.tensor([180.0, 0, 0, 0, 0, 0]))
    far = pose.look_at((80.0, 0, 0), (0.0, 0, 0))
    sideways = pose.look_at((0.0, 30.0, 0), (0.0, 0, 0), lateral=(1.0, 0, 0))
    with as_users_run():
        for said, call in {
            "at least 2, got 1": lambda: trajectory.between(START, END, 1),
            "got 2.5": lambda: trajectory.fan(START, 10.0, 2.5),  # pyright: ignore[reportArgumentType]
            "at least two key poses, got 1": lambda: trajectory.through([START], 4),
            "turned by 180.0 degrees": lambda: trajectory.between(START, opposite, 4),
            "last row must be": lambda: trajectory.between(2 * START, END, 4),
            "one pose": lambda: trajectory.fan(torch.stack([START, END]), 10.0, 4),
            r"\[0, 180\], got 270": lambda: trajectory.rock(START, 270.0, 4),
            "angle_deg must be a finite number above 0, got -5": lambda: trajectory.turn(START, -5.0, 4),
            "length_mm must be": lambda: trajectory.slide(ball, far, 0.0, 4),
            "no surface within 25 mm": lambda: trajectory.slide(ball, far, 10.0, 4),
            "expected one of 'elevation', 'lateral'": lambda: trajectory.slide(ball, sideways, 9.0, 4, "up"),
        }.items():
            with pytest.raises(ValueError, match=said):
                call()
