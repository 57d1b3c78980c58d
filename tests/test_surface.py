"""Standing on the surface of a mask."""

from __future__ import annotations

import pytest
import torch
from tests.support import placed

from diffus.surface import DIRECTIONS, on_surface
from diffus.volume import Volume

CENTRE = torch.tensor([5.0, -7.0, 11.0], dtype=torch.float64)
RADIUS = 20.0


def _ball(value=1, dtype=torch.uint8, left_handed=False):
    affine = placed((1.0, 1.2, 0.9), (0.0, 0.0, 0.0), left_handed=left_handed)
    shape = (50, 44, 56)
    middle = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    affine[:3, 3] = CENTRE - affine[:3, :3] @ middle
    index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in shape), indexing="ij"), dim=-1)
    distance = (index @ affine[:3, :3].T + affine[:3, 3] - CENTRE).norm(dim=-1)
    return Volume((distance < RADIUS).to(dtype) * value, affine)


@pytest.mark.parametrize("side", DIRECTIONS)
@pytest.mark.parametrize("left_handed", [False, True])
def test_stands_on_a_ball_and_looks_at_its_middle(side, left_handed):
    found = on_surface(_ball(left_handed=left_handed), side=side)
    outwards = found[:3, 3] - CENTRE
    assert float(outwards.norm()) == pytest.approx(RADIUS, abs=0.7)
    assert (outwards / outwards.norm()).tolist() == pytest.approx(DIRECTIONS[side], abs=0.02)
    assert found[:3, 2].tolist() == pytest.approx([-v for v in DIRECTIONS[side]], abs=1e-9)


def test_the_half_level_is_found_to_a_tenth_of_a_voxel():
    affine = torch.diag(torch.tensor([1.0, 1.0, 2.0, 1.0], dtype=torch.float64))
    data = torch.zeros(8, 8, 20)
    data[:, :, :10] = 1  # full up to k = 9, half at k = 9.5, which is 19 mm
    found = on_surface(Volume(data, affine), target_mm=(4.0, 4.0, 3.0), side="superior")
    assert float(found[2, 3]) == pytest.approx(19.0, abs=0.1)


@pytest.mark.parametrize(("value", "dtype"), [(255, torch.uint8), (0.3, torch.float32), (7, torch.int16)])
def test_whatever_is_not_zero_is_inside(value, dtype):
    expected = on_surface(_ball(), side="left")
    assert torch.equal(on_surface(_ball(value, dtype), side="left"), expected)


def test_booleans_are_masks():
    ball = _ball()
    assert torch.equal(on_surface(Volume(ball.data.bool(), ball.world_from_voxel)), on_surface(ball))


def test_the_outermost_crossing_counts():
    data = torch.zeros(5, 5, 40)
    data[:, :, 5:10] = 1
    data[:, :, 20:25] = 1
    volume = Volume(data, torch.eye(4, dtype=torch.float64))
    found = on_surface(volume, target_mm=(2.0, 2.0, 7.0), side="superior")
    assert float(found[2, 3]) == pytest.approx(24.5, abs=0.1)


def test_standoff_direction_and_roll_are_as_asked():
    ball = _ball()
    near = on_surface(ball, side=(1.0, 1.0, 0.0))
    far = on_surface(ball, side=(2.0, 2.0, 0.0), standoff_mm=5.0, roll_deg=90.0)
    assert float((far[:3, 3] - near[:3, 3]).norm()) == pytest.approx(5.0)
    assert torch.allclose(far[:3, 0], near[:3, 1])


@pytest.mark.parametrize(
    ("mask", "options", "words"),
    [
        (_ball(0), {}, "mask is empty"),
        (_ball(), {"target_mm": (500.0, 0.0, 0.0), "side": "right"}, "does not meet the mask"),
        (_ball(), {"side": "up"}, "unknown side 'up'.*'left'"),
        (_ball(), {"side": (0.0, 0.0, 0.0)}, "non-zero direction"),
    ],
)
def test_refuses(mask, options, words):
    with pytest.raises(ValueError, match=words):
        on_surface(mask, **options)
