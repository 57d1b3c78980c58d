"""Probes: scanlines at hand-computed places, the way back, the mask, spacing, refusals and gradients."""

from __future__ import annotations

import dataclasses
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import as_users_run
from torch.autograd import gradcheck

from diffus.probe import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe

H = math.sqrt(0.5)
C30 = math.cos(math.radians(30))
PROBES = [
    LinearProbe(width_mm=40, depth_mm=50, n_scanlines=33),
    ConvexProbe(radius_mm=20, field_of_view_deg=65, depth_mm=70, n_scanlines=33),
    ConvexProbe(radius_mm=60, field_of_view_deg=180, depth_mm=30, n_scanlines=33),
    PhasedProbe(field_of_view_deg=90, depth_mm=120, n_scanlines=33),
    RadialProbe(radius_mm=5, depth_mm=30, n_scanlines=36),
    LinearProbe(width_mm=40, depth_mm=50, n_scanlines=33, steering_deg=-20),
    PhasedProbe(field_of_view_deg=60, depth_mm=80, n_scanlines=33, steering_deg=25),
    PhasedProbe(field_of_view_deg=40, depth_mm=80, n_scanlines=33, steering_deg=-50),
]
each_probe = pytest.mark.parametrize("probe", PROBES, ids=lambda p: f"{p.kind}")


@pytest.mark.parametrize(
    ("probe", "origins", "directions"),
    [
        (
            LinearProbe(width_mm=40, n_scanlines=3),
            [(-20, 0, 0), (0, 0, 0), (20, 0, 0)],
            [(0, 0, 1), (0, 0, 1), (0, 0, 1)],
        ),
        (
            ConvexProbe(radius_mm=20, field_of_view_deg=60, n_scanlines=3),
            [(-10, 0, 20 * C30 - 20), (0, 0, 0), (10, 0, 20 * C30 - 20)],
            [(-0.5, 0, C30), (0, 0, 1), (0.5, 0, C30)],
        ),
        (
            PhasedProbe(field_of_view_deg=90, n_scanlines=3),
            [(0, 0, 0)] * 3,
            [(-H, 0, H), (0, 0, 1), (H, 0, H)],
        ),
        (
            RadialProbe(radius_mm=5, n_scanlines=4),
            [(0, 0, 5), (5, 0, 0), (0, 0, -5), (-5, 0, 0)],
            [(0, 0, 1), (1, 0, 0), (0, 0, -1), (-1, 0, 0)],
        ),
    ],
    ids=["linear", "convex", "phased", "radial"],
)
def test_scanlines_start_and_run_where_the_hand_says(probe, origins, directions):
    lines = probe.scanlines()
    assert torch.allclose(lines.origins_mm, torch.tensor(origins, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(lines.directions, torch.tensor(directions, dtype=torch.float64), atol=1e-12)


@each_probe
def test_one_scanline_runs_down_the_middle(probe):
    lines = probe.with_options(n_scanlines=1).scanlines()
    steered = math.radians(getattr(probe, "steering_deg", 0))
    assert lines.directions[0].tolist() == pytest.approx([math.sin(steered), 0, math.cos(steered)])
    assert float(lines.origins_mm[0, 0]) == 0


@each_probe
@given(line=st.floats(0, 1), depth=st.floats(0.05, 1))
@settings(max_examples=60, deadline=None)
def test_scanline_coordinates_are_the_way_back(probe, line, depth):
    last = probe.n_scanlines - 1
    lines = probe.scanlines()
    s, reach = round(line * last), depth * probe.depth_mm
    point = lines.origins_mm[s] + reach * lines.directions[s]
    found_line, found_depth = probe.scanline_coordinates(point[0], point[2])
    difference = float(found_line) - s
    if probe.wraps:
        difference = (difference + 0.5 * probe.n_scanlines) % probe.n_scanlines - 0.5 * probe.n_scanlines
    assert abs(difference) < 1e-9
    assert float(found_depth) == pytest.approx(reach, abs=1e-9)
    assert bool(probe.field_of_view_mask(point[0], point[2]))


@each_probe
def test_between_two_scanlines_the_coordinate_is_between(probe):
    lines = probe.scanlines()
    ends = lines.origins_mm + 25.0 * lines.directions
    middle = (ends[:-1] + ends[1:]) / 2
    found, _ = probe.scanline_coordinates(middle[:, 0], middle[:, 2])
    assert torch.allclose(found, torch.arange(len(middle)).double() + 0.5, atol=1e-9)


def test_a_circle_closes():
    probe = RadialProbe(radius_mm=5, n_scanlines=36)
    angles = torch.deg2rad(torch.tensor([355.0, -5.0, 359.999, 0.0, 0.001], dtype=torch.float64))
    found, depth = probe.scanline_coordinates(15 * angles.sin(), 15 * angles.cos())
    assert found.tolist() == pytest.approx([35.5, 35.5, 35.9999, 0.0, 0.0001], abs=1e-9)
    assert depth.tolist() == pytest.approx([10.0] * 5)
    for dtype in (torch.float32, torch.float64):
        tiny = torch.tensor([-1e-30, -1e-9, -1e-18], dtype=dtype)
        found, _ = probe.scanline_coordinates(tiny, torch.full_like(tiny, 15.0))
        assert ((found >= 0) & (found < 36)).all()


@pytest.mark.parametrize(
    ("probe", "inside", "outside"),
    [
        (PROBES[0], [(0, 0), (-20, 0), (20, 50), (3, 49.9)], [(0, -0.1), (20.1, 5), (0, 50.1)]),
        (PROBES[1], [(0, 0), (0, 70), (30, 40)], [(0, -0.1), (0, 70.1), (40, 20), (-40, 20), (0, -30)]),
        (PROBES[3], [(0, 0.01), (0, 120), (20, 20.1), (84, 84.8)], [(20, 19.9), (0, 120.1), (0, -5)]),
        (PROBES[4], [(5, 0), (0, -35), (-24, 24), (0, 5)], [(0, 0), (4.9, 0), (0, 35.1), (25, -25)]),
    ],
    ids=["linear", "convex", "phased", "radial"],
)
def test_the_mask_is_the_field_of_view(probe, inside, outside):
    for points, expected in ((inside, True), (outside, False)):
        x, z = torch.tensor(points, dtype=torch.float64).T
        assert probe.field_of_view_mask(x, z).tolist() == [expected] * len(points)


@each_probe
def test_lateral_spacing_is_the_arc_between_neighbours(probe):
    depth = torch.tensor([1.0, 20.0, 29.0], dtype=torch.float64)
    lines = probe.with_options(n_scanlines=721).scanlines()
    points = lines.origins_mm[:, None] + depth[:, None] * lines.directions[:, None]
    apart = points[1] - points[0]
    if probe.shear is not None:
        apart = apart - (apart @ lines.directions[0])[:, None] * lines.directions[0]
    chord = apart.norm(dim=-1)
    spacing = probe.with_options(n_scanlines=721).lateral_spacing_mm(depth)
    assert torch.allclose(spacing, chord, rtol=1e-5)  # chord and arc differ by angle^2 / 24


@each_probe
def test_the_outline_is_closed_and_touches_its_box(probe):
    outline = probe.outline_mm(n_arc=probe.n_scanlines)
    assert torch.equal(outline[0], outline[-1])
    assert probe.field_of_view_mask(outline[:, 0], outline[:, 1]).all()
    x_min, x_max, z_min, z_max = probe.plane_bounds_mm()
    assert [float(outline[:, 0].min()), float(outline[:, 0].max())] == pytest.approx([x_min, x_max], abs=1e-9)
    # The deepest point of a steered arc lies between two scanlines.
    between = 0.02 if getattr(probe, "steering_deg", 0) else 1e-9
    depths = [float(outline[:, 1].min()), float(outline[:, 1].max())]
    assert depths == pytest.approx([z_min, z_max], abs=between)


def test_samples_are_the_middles_of_equal_cells():
    probe = LinearProbe(depth_mm=10, n_samples=4)
    assert probe.sample_spacing_mm == 2.5
    assert probe.sample_depths_mm().tolist() == [1.25, 3.75, 6.25, 8.75]


def test_wavelength():
    assert LinearProbe(frequency_mhz=7.5).wavelength_mm == pytest.approx(0.2053, abs=1e-4)


@each_probe
def test_face_cosines_are_those_of_the_scanlines_and_the_face(probe):
    lines = probe.scanlines()
    if isinstance(probe, LinearProbe | PhasedProbe):
        normals = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(33, 3)
    else:
        normals = lines.directions
    expected = (lines.directions * normals).sum(dim=-1).clamp_min(math.cos(math.radians(80)))
    assert torch.allclose(probe.face_cosines(), expected, atol=1e-12)


@pytest.mark.parametrize("degrees", [-35.0, 10.0])
def test_lines_of_equal_depth_lean_by_the_shear(degrees):
    probe = LinearProbe(n_scanlines=5, steering_deg=degrees)
    lines = probe.scanlines()
    step = lines.origins_mm[1] - lines.origins_mm[0]
    along = step @ lines.directions[0]
    assert probe.shear is not None
    assert float(probe.shear) == pytest.approx(float(along / (step @ step - along**2).sqrt()))
    assert LinearProbe().shear is None


# --- refusals -----------------------------------------------------------------------------------------------

CLASSES: list[type[Probe]] = [LinearProbe, ConvexProbe, PhasedProbe, RadialProbe]
FIELDS = sorted(
    {field.name for cls in CLASSES for field in dataclasses.fields(cls)}
    - {"dynamic_receive", "apodization", "steering_deg"}
)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "wide", None])
@pytest.mark.parametrize("name", FIELDS)
def test_every_number_must_be_above_zero(name, value):
    for cls in CLASSES:
        if name in {field.name for field in dataclasses.fields(cls)}:
            with as_users_run(), pytest.raises(ValueError, match=rf"{cls.__name__}: {name} must be"):
                cls(**{name: value})


@pytest.mark.parametrize("value", [-61, 61, float("nan"), "left", None])
@pytest.mark.parametrize("cls", [LinearProbe, PhasedProbe])
def test_steering_has_its_bounds(cls, value):
    with as_users_run(), pytest.raises(ValueError, match=rf"{cls.__name__}: steering_deg must"):
        cls(steering_deg=value, **({} if cls is LinearProbe else {"field_of_view_deg": 20}))


@pytest.mark.parametrize("value", ["round", 3, None])
def test_apodization_is_a_known_window(value):
    with as_users_run(), pytest.raises(ValueError, match=r"unknown ConvexProbe apodization.*'hann'"):
        ConvexProbe(apodization=value)


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (PhasedProbe, {"field_of_view_deg": 90, "steering_deg": 50}, "95 deg from the normal"),
        (
            ConvexProbe,
            {"field_of_view_deg": 181},
            r"ConvexProbe: field_of_view_deg must lie in \[0, 180\], got 181",
        ),
        (PhasedProbe, {"field_of_view_deg": 200}, r"PhasedProbe: field_of_view_deg must lie in"),
        (LinearProbe, {"n_samples": 10.5}, "n_samples must be a whole number, got 10.5"),
        (LinearProbe, {"fractional_bandwidth": 3.0}, "fractional_bandwidth must lie in"),
        (
            LinearProbe,
            {"depth_mm": torch.tensor([1.0, 2.0])},
            r"depth_mm must be one number, got shape \(2,\)",
        ),
        (LinearProbe, {"dynamic_receive": "yes"}, "dynamic_receive must be true or false, got 'yes'"),
        (LinearProbe, {"n_scanlines": True}, "n_scanlines must be a whole number, got True"),
    ],
)
def test_other_bad_values(cls, options, words):
    with as_users_run(), pytest.raises(ValueError, match=words):
        cls(**options)


def test_options_change_a_copy_and_unknown_ones_are_refused():
    probe = ConvexProbe()
    assert probe.with_options(depth_mm=30).depth_mm == 30
    assert probe.depth_mm == 70
    with pytest.raises(ValueError, match=r"unknown ConvexProbe field 'width_mm'.*'radius_mm'"):
        probe.with_options(width_mm=3)
    with pytest.raises(ValueError, match="depth_mm must be"):
        probe.with_options(depth_mm=-3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        probe.depth_mm = 3  # type: ignore[misc]


# --- gradients ----------------------------------------------------------------------------------------------


def _leaf(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def test_gradients_of_the_scanlines():
    assert gradcheck(lambda w: LinearProbe(width_mm=w, n_scanlines=5).scanlines().origins_mm, (_leaf(40.0),))
    assert gradcheck(lambda r: RadialProbe(radius_mm=r, n_scanlines=5).scanlines().origins_mm, (_leaf(5.0),))

    def convex(radius, opening):
        return tuple(ConvexProbe(radius_mm=radius, field_of_view_deg=opening, n_scanlines=5).scanlines())

    assert gradcheck(convex, (_leaf(20.0), _leaf(65.0)))
    assert gradcheck(
        lambda a: PhasedProbe(field_of_view_deg=a, n_scanlines=5).scanlines().directions, (_leaf(80.0),)
    )


def test_gradients_of_coordinates_spacing_and_depths():
    x, z = torch.tensor([3.0, -8.0], dtype=torch.float64), torch.tensor([20.0, 33.0], dtype=torch.float64)

    def convex(radius, opening, depth):
        probe = ConvexProbe(
            radius_mm=radius, field_of_view_deg=opening, depth_mm=depth, n_scanlines=9, n_samples=4
        )
        return *probe.scanline_coordinates(x, z), probe.lateral_spacing_mm(z), probe.sample_depths_mm()

    assert gradcheck(convex, (_leaf(20.0), _leaf(65.0), _leaf(70.0)))


@each_probe
def test_tensor_fields_do_all_that_numbers_do(probe):
    tensors = {
        f.name: _leaf(getattr(probe, f.name))
        for f in dataclasses.fields(probe)
        if f.name.endswith(("_mm", "_deg"))
    }
    torch.set_warn_always(True)  # a gradient dropped unasked is a warning, shown once unless told otherwise
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = probe.with_options(**tensors)
        _compare(same, probe)
    torch.set_warn_always(False)


def _compare(same, probe):
    assert torch.equal(same.outline_mm(), probe.outline_mm())
    assert same.plane_bounds_mm() == probe.plane_bounds_mm()
    assert same.to_dict() == probe.to_dict()
    x = torch.linspace(-30, 30, 7, dtype=torch.float64)
    assert torch.equal(same.field_of_view_mask(x, x + 20), probe.field_of_view_mask(x, x + 20))
