"""Figures: axes in mm, the sector where it belongs, nothing global touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tests.scenes import IDENTITY, PROBES, textured

from diffus import Frame, RenderSettings, Volume, plot, pose, render


@pytest.fixture(scope="module")
def frame() -> Frame:
    return render(textured(torch.float32), PROBES["convex"], IDENTITY)


def bright_point(at_mm: tuple[float, float, float]) -> Volume:
    """1 mm voxels, one of them bright."""
    data = torch.zeros(81, 41, 81)
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 3] = torch.tensor([-40.0, -20.0, -10.0])
    index = (torch.tensor(at_mm) - affine[:3, 3].float()).long().tolist()
    data[tuple(index)] = 1.0
    return Volume(data, affine)


def test_bmode_lies_in_millimetres(frame: Frame) -> None:
    axes = plot.bmode(frame, spacing_mm=0.5)
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, top, bottom) == pytest.approx(frame.grid(0.5).edges_mm())
    assert axes.get_xlabel().endswith("(mm)") and axes.get_ylabel().endswith("(mm)")
    assert axes.get_aspect() in (1.0, "equal")


def test_bmode_draws_on_the_axes_it_is_given(frame: Frame) -> None:
    axes = Figure().add_subplot()
    assert plot.bmode(frame, ax=axes, decibel_bar=False) is axes


def test_fan_slice_shows_a_point_where_it_is() -> None:
    # A point 30 mm deep and 10 mm along the image's x, in a turned probe frame.
    at = pose.look_at((0.0, 0.0, 60.0), (0.0, 0.0, 0.0))
    place = pose.transform_points(at, torch.tensor([[10.0, 0.0, 30.0]], dtype=torch.float64))[0]
    axes = plot.fan_slice(bright_point(tuple(place.tolist())), PROBES["convex"], at)
    image = np.ma.filled(np.ma.asarray(axes.images[0].get_array()), 0.0)
    left, right, bottom, top = axes.images[0].get_extent()
    row, column = divmod(int(image.argmax()), image.shape[1])
    x = left + (column + 0.5) * (right - left) / image.shape[1]
    z = top + (row + 0.5) * (bottom - top) / image.shape[0]
    assert (x, z) == pytest.approx((10.0, 30.0), abs=0.6)


def test_letters_say_where_the_body_lies() -> None:
    at = pose.look_at((0.0, 0.0, 60.0), (0.0, 0.0, 0.0))  # from above; x is anterior
    axes = plot.fan_slice(bright_point((0.0, 0.0, 0.0)), PROBES["convex"], at)
    letters = {text.get_position(): text.get_text() for text in axes.texts}
    assert letters == {(0.99, 0.5): "A", (0.01, 0.5): "P", (0.5, 0.01): "I", (0.5, 0.99): "S"}


def test_side_by_side_shares_its_scale(frame: Frame) -> None:
    figure = plot.side_by_side(bright_point((0.0, 0.0, 20.0)), frame)
    first, second = figure.axes[:2]
    assert first.get_xlim() == second.get_xlim() and first.get_ylim() == second.get_ylim()


def test_the_scanline_view_has_degrees_or_millimetres_across() -> None:
    medium = textured(torch.float32)
    for kind, label, reach in (("convex", "(deg)", 20.0), ("phased", "(deg)", 20.0), ("linear", "(mm)", 8.0)):
        frame = render(medium, PROBES[kind], IDENTITY)
        axes = plot.bmode(frame, view="scanlines", decibel_bar=False)
        left, right, bottom, top = axes.images[0].get_extent()
        half = reach / 8  # nine scanlines
        assert (left, right, bottom, top) == pytest.approx((-reach - half, reach + half, 48.0, 0.0))
        assert axes.get_xlabel().endswith(label) and axes.get_ylabel().endswith("(mm)")
        assert np.array_equal(np.asarray(axes.images[0].get_array()), frame.scanlines[0].numpy().T)


def test_the_bar_says_decibels_through_the_grey_map() -> None:
    settings = RenderSettings(dynamic_range_db=40.0, grey_map=(0.0, 0.7, 1.0))
    axes = plot.bmode(render(textured(torch.float32), PROBES["convex"], IDENTITY, settings))
    bar = axes.figure.axes[1]
    words = {text.get_text(): at for text, at in zip(bar.get_yticklabels(), bar.get_yticks(), strict=True)}
    assert (
        words["0"] == 1 and words["\N{MINUS SIGN}20"] == pytest.approx(0.7) and words["\N{MINUS SIGN}40"] == 0
    )


def test_an_unknown_view_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match="unknown view 'polar': expected one of 'sector', 'scanlines'"):
        plot.bmode(frame, view="polar")
