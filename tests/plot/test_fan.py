"""The field of view on a plane: where it crosses, in one or two pieces, and where it lies in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tests.plot.scenes import FLAT, from_the_left
from tests.scenes import IDENTITY, PROBES, TILTED

from diffus import Volume, plot, pose
from diffus.plot.fan import fan_crossing_mm, fan_outline_mm

AROUND = Volume(
    torch.zeros(100, 100, 120),
    torch.tensor([[1, 0, 0, -50], [0, 1, 0, -50], [0, 0, 1, -50], [0, 0, 0, 1]]).double(),
)


def axial(s_mm: float) -> plot.Plane:
    return plot.Plane.anatomical("axial", (0.0, 0.0, s_mm), AROUND)


def test_a_flat_probe_crosses_a_depth_over_its_whole_width() -> None:
    # In the world's own frame, depth is S and lateral is R.
    (piece,) = fan_crossing_mm(FLAT, IDENTITY, axial(20.0))
    assert piece[:, 0].sort().values.tolist() == pytest.approx([-8.0, 8.0], abs=0.06)
    assert piece[:, 1].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_a_ring_is_crossed_twice() -> None:
    pieces = fan_crossing_mm(PROBES["radial"], IDENTITY, axial(0.0))
    ends = sorted(x for piece in pieces for x in piece[:, 0].tolist())
    assert ends == pytest.approx([-54.0, -6.0, 6.0, 54.0], abs=0.06)


def test_beyond_the_field_of_view_there_is_no_crossing() -> None:
    assert fan_crossing_mm(FLAT, IDENTITY, axial(45.0)) == []
    parallel = plot.Plane.anatomical("coronal", (0.0, 3.0, 0.0), AROUND)
    assert fan_crossing_mm(FLAT, IDENTITY, parallel) == []


def test_within_the_plane_the_outline_is_the_crossing() -> None:
    plane = plot.Plane.of_fan(PROBES["convex"], TILTED)
    (piece,) = fan_crossing_mm(PROBES["convex"], TILTED, plane)
    assert torch.allclose(piece, PROBES["convex"].outline_mm(), atol=1e-9)


def test_the_ends_lie_on_the_edge_of_the_field_of_view_and_in_both_planes() -> None:
    probe, at = from_the_left()
    plane = plot.Plane.anatomical("sagittal", (-20.0, 0.0, 0.0), AROUND)
    (piece,) = fan_crossing_mm(probe, at, plane)
    flat = torch.cat([piece, torch.zeros(2, 1).double()], dim=1)
    ends = pose.transform_points(pose.inverse(at), pose.transform_points(plane.world_from_plane, flat))
    assert ends[:, 1].abs().max() < 1e-9
    x, z = ends[:, 0], ends[:, 2]
    margin = torch.stack([8 - x.abs(), z, 40 - z]).min(dim=0).values
    assert (margin > -1e-6).all() and margin.max() < 0.06


def test_solid_is_the_crossing_and_dashed_the_projection() -> None:
    probe, at = from_the_left()
    plane = plot.Plane.anatomical("axial", (0.0, 0.0, 0.0), AROUND)
    ax = plot.draw_fan(probe, at, plane, Figure().add_subplot())
    dashed, solid, face = ax.lines
    assert dashed.get_linestyle() == "--" and solid.get_linestyle() == "-"
    assert solid.get_linewidth() > dashed.get_linewidth()
    assert torch.allclose(
        torch.from_numpy(np.asarray(dashed.get_xydata())), fan_outline_mm(probe, at, plane)[:, :2]
    )
    assert np.asarray(face.get_xydata())[0].tolist() == pytest.approx(at[:2, 3].tolist())
