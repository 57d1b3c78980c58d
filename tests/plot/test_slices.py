"""Slices with the field of view on them: a point is drawn where it lies, and nothing is drawn of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.plot.scenes import from_the_left, head
from tests.support import as_users_run

from diffus import pose
from diffus.plot import fan_slice, orthogonal_slice, orthogonal_slices

BRIGHT = (14.0, 10.0, 12.0)
"""Middle of the bright ball of `head`."""


def brightest(ax: Any) -> tuple[float, float]:
    """Middle of what is bright, on the axes."""
    image = ax.images[0]
    values = np.ma.filled(image.get_array(), 0.0)
    rows, columns = np.nonzero(values > 0.8)
    left, right, bottom, top = image.get_extent()
    x = left + (columns.mean() + 0.5) * (right - left) / values.shape[1]
    y = top + (rows.mean() + 0.5) * (bottom - top) / values.shape[0]
    return x, y


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
@pytest.mark.parametrize(
    ("orientation", "axes"), [("axial", (0, 1)), ("coronal", (0, 2)), ("sagittal", (1, 2))]
)
def test_a_point_is_drawn_at_its_world_position(
    orientation: str, axes: tuple[int, int], convention: str
) -> None:
    ax = orthogonal_slice(head(), orientation, BRIGHT, convention=convention)
    assert brightest(ax) == pytest.approx([BRIGHT[axis] for axis in axes], abs=0.3)
    left, right = ax.get_xlim()
    assert (left > right) == (convention == "radiological")
    assert ax.get_ylim()[0] < ax.get_ylim()[1]


def test_the_crosshair_meets_at_the_point_and_is_open_there() -> None:
    ax = orthogonal_slice(head(), "coronal", BRIGHT)
    lines = [np.asarray(line.get_xydata()) for line in ax.lines]
    assert [np.ptp(line, axis=0).argmin() for line in lines] == [1, 1, 0, 0]
    assert all(line[0, 1] == 12.0 for line in lines[:2]) and all(line[0, 0] == 14.0 for line in lines[2:])
    assert min(np.hypot(*(end - (14.0, 12.0))) for line in lines for end in line) > 1


def test_all_planes_go_through_the_middle_of_the_field_of_view() -> None:
    probe, at = from_the_left()
    middle = (at[:3, 3] + 20.0 * at[:3, 2]).tolist()
    figure = orthogonal_slices(head(), probe=probe, world_from_probe=at)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == [
        f"{name} = {value:.1f} mm"
        for name, value in zip(("axial, S", "coronal, A", "sagittal, R"), reversed(middle), strict=True)
    ]
    assert all(any(line.get_linestyle() == "--" for line in ax.lines) for ax in figure.axes[:3])
    assert len(orthogonal_slices(head()).axes) == 3


def test_refusals() -> None:
    volume, (probe, at) = head(), from_the_left()
    far = pose.look_at((500.0, 0.0, 0.0), (600.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="does not meet Volume"):
        fan_slice(volume, probe, far)
    with pytest.raises(ValueError, match=r"\(520.0, 0.0, 0.0\) mm lies outside the volume, which reaches"):
        orthogonal_slices(volume, probe=probe, world_from_probe=far)
    with pytest.raises(ValueError, match="got a probe without its world_from_probe"):
        orthogonal_slice(volume, "axial", probe=probe)
    with pytest.raises(ValueError, match="got a pose without its probe"):
        orthogonal_slices(volume, world_from_probe=at)
    with as_users_run(), pytest.raises(ValueError, match="one pose"):
        fan_slice(volume, probe, torch.stack([at, at]))
