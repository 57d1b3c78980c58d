"""Poses: what each means, against SciPy and hand-computed frames; algebra by property; gradients; files."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tests.support import as_users_run
from torch.autograd import gradcheck

from diffus import pose

EYE = torch.eye(4, dtype=torch.float64)


def _tangents(largest_turn_deg=170.0):
    def build(axis, angle, translation):
        direction = torch.tensor(axis, dtype=torch.float64)
        turn = direction / direction.norm() * angle
        return torch.cat([turn, torch.tensor(translation, dtype=torch.float64)])

    number = st.floats(-1, 1)
    axis = st.tuples(number, number, number).filter(lambda a: math.hypot(*a) > 0.1)
    distance = st.floats(-200, 200)
    return st.builds(build, axis, st.floats(0, largest_turn_deg), st.tuples(distance, distance, distance))


def _close(a, b, tolerance=1e-9):
    return torch.allclose(a, b, rtol=0, atol=tolerance)


# --- look_at ------------------------------------------------------------------------------------------------


def test_looking_down_from_the_vertex():
    found = pose.look_at((0.0, 0.0, 80.0), (0.0, 0.0, 0.0))
    # z down, x anterior by default, y = z cross x = (0,0,-1) x (0,1,0) = (1,0,0)
    expected = torch.tensor([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 80], [0, 0, 0, 1]], dtype=torch.float64)
    assert _close(found, expected)


def test_along_anterior_posterior_the_image_runs_to_the_right():
    found = pose.look_at((0.0, 90.0, 0.0), (0.0, 0.0, 0.0))
    assert found[:3, 0].tolist() == pytest.approx([1, 0, 0])
    assert found[:3, 2].tolist() == pytest.approx([0, -1, 0])


@pytest.mark.parametrize(("angle", "lateral_is_right"), [(24.5, True), (25.5, False)])
def test_the_default_lateral_changes_25_degrees_from_anterior(angle, lateral_is_right):
    beam = torch.tensor([0.0, math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    found = pose.look_at((0.0, 0.0, 0.0), beam)
    assert (abs(float(found[0, 0])) > 0.99) == lateral_is_right


@given(_tangents(), st.floats(-180, 180))
@settings(max_examples=40, deadline=None)
def test_looks_at_its_target_and_is_rigid(tangent, roll):
    entry, target = tangent[3:], tangent[3:] + tangent[:3] + torch.tensor([0.0, 0.0, 300.0])
    found = pose.look_at(entry, target, roll_deg=roll)
    pose.from_matrix(found)
    depth = float((target - entry).norm())
    on_beam = pose.transform_points(found, torch.tensor([[0.0, 0.0, depth]], dtype=torch.float64))[0]
    assert _close(on_beam, target.double())
    assert _close(found[:3, 3], entry)


def test_lateral_is_followed_as_nearly_as_it_can():
    found = pose.look_at((0.0, 0.0, 0.0), (0.0, 0.0, 10.0), lateral=(1.0, 0.0, 5.0))
    assert found[:3, 0].tolist() == pytest.approx([1, 0, 0])


def test_roll_turns_from_x_towards_y():
    straight = pose.look_at((1.0, 2.0, 3.0), (4.0, 0.0, 9.0))
    rolled = pose.look_at((1.0, 2.0, 3.0), (4.0, 0.0, 9.0), roll_deg=90.0)
    assert _close(rolled[:3, 0], straight[:3, 1])
    assert _close(rolled[:3, 1], -straight[:3, 0])
    assert _close(rolled[:3, 2:], straight[:3, 2:])


def test_batches_look_as_each_alone():
    entries = torch.randn(3, 3, dtype=torch.float64) * 50
    rolls = torch.tensor([0.0, 30.0, -70.0])
    together = pose.look_at(entries, (0.0, 0.0, 0.0), roll_deg=rolls)
    for n in range(3):
        assert _close(together[n], pose.look_at(entries[n], (0.0, 0.0, 0.0), roll_deg=float(rolls[n])))


def test_plain_numbers_keep_every_digit():
    assert pose.look_at((0.1, 0.2, 0.3), (0.0, 0.0, 9.7))[:3, 3].tolist() == [0.1, 0.2, 0.3]
    assert pose.from_matrix([[1, 0, 0, 0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])[0, 3] == 0.1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((1.0, 2, 3), (1.0, 2, 3)), "coincide"),
        (((0.0, 0, 0), (0.0, 0, 5), (0.0, 0, 1)), "leaves the roll open"),
        (((0.0, 0), (0.0, 0, 5)), r"entry_mm: expected shape \(3,\) or \(B, 3\), got \(2,\)"),
        (((0.0, 0, float("nan")), (0.0, 0, 5)), "entry_mm holds NaN"),
    ],
)
def test_look_at_refuses(arguments, words):
    with as_users_run(), pytest.raises(ValueError, match=words):
        pose.look_at(*arguments)


# --- Euler angles and matrices ------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["xyz", "zyx", "XYZ", "ZYX", "zxz", "YXZ"])
def test_euler_angles_are_scipys(convention):
    angles = torch.tensor([[20.0, -35.0, 70.0], [0.0, 10.0, 0.0]], dtype=torch.float64)
    found = pose.from_euler(angles, (1.0, 2.0, 3.0), convention)
    expected = Rotation.from_euler(convention, angles.numpy(), degrees=True).as_matrix()
    assert _close(found[:, :3, :3], torch.from_numpy(expected))
    assert found[1, :3, 3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("convention", ["xy", "abc", "xYz", ""])
def test_unknown_euler_conventions_are_refused(convention):
    with pytest.raises(ValueError, match="unknown Euler convention"):
        pose.from_euler((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), convention)


def _with(value, *where):
    matrix = EYE.clone()
    matrix[where] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (torch.eye(3), r"expected shape \(4, 4\) or \(B, 4, 4\), got \(3, 3\)"),
        (torch.eye(4).expand(2, 3, 4, 4), r"got \(2, 3, 4, 4\)"),
        (_with(float("nan"), 0, 3), "NaN or Inf"),
        (_with(1.0, 3, 0), "last row"),
        (_with(1.1, 0, 0), "not rigid"),
        (_with(0.1, 0, 1), "not rigid"),
        (_with(-1.0, 0, 0), "reflection"),
    ],
)
def test_what_is_not_rigid_is_refused(matrix, words):
    with pytest.raises(ValueError, match=words):
        pose.from_matrix(matrix)


def test_single_precision_and_batches_are_rigid_enough():
    batch = pose.exp(torch.randn(5, 6) * 20).float()
    assert pose.from_matrix(batch).dtype == torch.float64


# --- exp, log, perturb, compose -----------------------------------------------------------------------------


@given(_tangents())
@settings(max_examples=40, deadline=None)
def test_exp_is_scipys_rotation_beside_a_translation(tangent):
    found = pose.exp(tangent)
    expected = Rotation.from_rotvec(tangent[:3].numpy(), degrees=True).as_matrix()
    assert _close(found[:3, :3], torch.from_numpy(expected))
    assert torch.equal(found[:3, 3], tangent[3:])


@given(_tangents())
@settings(max_examples=40, deadline=None)
def test_log_undoes_exp(tangent):
    assert _close(pose.log(pose.exp(tangent)), tangent, 1e-6)


def test_log_of_nothing_is_zero():
    assert torch.equal(pose.log(EYE), torch.zeros(6, dtype=torch.float64))


@given(_tangents(), _tangents())
@settings(max_examples=40, deadline=None)
def test_inverse_and_compose(first, second):
    a, b = pose.exp(first), pose.exp(second)
    assert _close(pose.compose(a, pose.inverse(a)), EYE)
    assert _close(pose.inverse(pose.compose(a, b)), pose.compose(pose.inverse(b), pose.inverse(a)))
    assert _close(pose.compose(a, b, EYE), a @ b)


def test_compose_broadcasts_and_needs_one():
    assert pose.compose(EYE, EYE.expand(3, 4, 4)).shape == (3, 4, 4)
    with pytest.raises(ValueError, match="at least one"):
        pose.compose()


def test_perturbing_moves_in_the_probes_own_frame():
    start = pose.look_at((0.0, 0.0, 80.0), (0.0, 0.0, 0.0))
    deeper = pose.perturb(start, torch.tensor([0.0, 0, 0, 0, 0, 5]))
    assert deeper[:3, 3].tolist() == pytest.approx([0, 0, 75])
    turned = pose.perturb(start, torch.tensor([0.0, 0, 90, 0, 0, 0]))
    assert _close(turned[:3, 0], start[:3, 1])
    assert pose.perturb(start, torch.zeros(7, 6)).shape == (7, 4, 4)


def test_refuses_a_tangent_of_another_length():
    with (
        as_users_run(),
        pytest.raises(ValueError, match=r"tangent: expected shape \(6,\) or \(B, 6\), got \(5,\)"),
    ):
        pose.exp(torch.zeros(5))


@given(_tangents(), _tangents())
@settings(max_examples=40, deadline=None)
def test_distance_is_read_off_the_tangent(start, step):
    millimetres, degrees = pose.distance(pose.exp(start), pose.perturb(pose.exp(start), step))
    assert float(millimetres) == pytest.approx(float(step[3:].norm()), abs=1e-9)
    assert float(degrees) == pytest.approx(float(step[:3].norm()), abs=1e-5)


def test_points_move_with_their_frame():
    tangent = torch.tensor([0.0, 0, 90, 10, 20, 30])
    found = pose.transform_points(pose.exp(tangent), torch.tensor([[1.0, 0, 0], [0, 0, 0]]))
    assert _close(found, torch.tensor([[10.0, 21, 30], [10, 20, 30]], dtype=torch.float64))
    assert pose.transform_points(EYE.expand(2, 4, 4), torch.zeros(5, 3)).shape == (2, 5, 3)


# --- gradients ----------------------------------------------------------------------------------------------


def _random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_gradients():
    entry, target = _random(2, 3), (10 * torch.randn(2, 3, dtype=torch.float64) + 50).requires_grad_()
    roll = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    lateral = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    assert gradcheck(pose.look_at, (entry, target, lateral, roll))
    assert gradcheck(lambda a, t: pose.from_euler(a, t, "ZYX"), (_random(3), _random(3)))
    assert gradcheck(pose.exp, (_random(2, 6),))
    assert gradcheck(pose.exp, (torch.zeros(6, dtype=torch.float64, requires_grad=True),))
    assert gradcheck(
        lambda t: pose.log(pose.exp(t)), (20 * torch.rand(2, 6, dtype=torch.float64) + 1).requires_grad_()
    )
    assert gradcheck(lambda t: pose.perturb(pose.exp(torch.ones(6)), t), (_random(6),))
    assert gradcheck(lambda t: pose.inverse(pose.exp(t)), (_random(6),))
    assert gradcheck(
        lambda t: pose.distance(pose.exp(t), EYE), ((_random(6) * 10).detach().requires_grad_(),)
    )
    assert gradcheck(lambda t, p: pose.transform_points(pose.exp(t), p), (_random(6), _random(4, 3)))


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (3, 6)])
def test_a_file_gives_back_the_very_pose(tmp_path, shape):
    given_pose = pose.exp(torch.randn(*shape, dtype=torch.float64) * 30)
    path = pose.save(given_pose, tmp_path / "pose.json")
    assert torch.equal(pose.load(path), given_pose)
    content = json.loads(path.read_text())
    assert {key: content[key] for key in ("format", "version", "transform", "frame", "unit")} == {
        "format": "diffus-pose",
        "version": 1,
        "transform": "world_from_probe",
        "frame": "RAS+",
        "unit": "mm",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a pose file"),
        ({"matrix": None}, r"pose\.json: "),
        ({"matrix": [[1, 0], [0, 1]]}, "expected shape"),
        ({"matrix": [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "not rigid"),
        ({"matrix": [["a"] * 4] * 4}, r"pose\.json: "),
        ({"frame": "LPS"}, r"expected frame 'RAS\+', got 'LPS'"),
        ({"unit": "m"}, "expected unit 'mm'"),
        ({"transform": "probe_from_world"}, "expected transform"),
        ({"version": 2}, "update diffus"),
        ({"version": "1"}, "version '1'"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, change, words):
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(pose.to_dict(EYE) | change))
    with pytest.raises(ValueError, match=words):
        pose.load(path)


def test_a_list_is_no_pose_file(tmp_path):
    path = tmp_path / "pose.json"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="not a pose file"):
        pose.load(path)
