"""Pictures in their place, and two of them compared: by turns, in colours, by edges, subtracted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scenes import IDENTITY, PROBES, textured
from tests.support import as_users_run

from diffus import RenderSettings, plot, pose, render
from diffus.plot import Picture
from diffus.plot.comparison import edges

GREY = np.random.default_rng(3).uniform(0, 1, (40, 60))
FIXED = Picture.of_image(GREY, 0.5, (-15.0, 2.0))


def drawn(ax: Any) -> np.ndarray:
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_a_real_image_lies_where_its_spacing_says() -> None:
    shown = Picture.of_image(GREY, (0.5, 0.25), origin_mm=(10.0, -3.0))
    assert shown.extent_mm == (9.875, 24.875, 16.75, -3.25)
    ax = plot.picture(shown)
    assert tuple(ax.images[0].get_extent()) == shown.extent_mm
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lateral x (mm)", "depth z (mm)")


def test_a_png_is_grey_from_0_to_1(tmp_path: Path) -> None:
    colours = np.zeros((4, 5, 3), dtype=np.uint8)
    colours[1, 2], colours[3, 4] = (10, 51, 0), (255, 255, 255)
    Image.fromarray(colours).save(tmp_path / "real.png")
    shown = Picture.load(tmp_path / "real.png", 0.5)
    assert shown.values[1, 2] == pytest.approx(0.2) and shown.values[3, 4] == 1
    assert shown.extent_mm == (-0.25, 2.25, 1.75, -0.25)


def test_a_frame_and_its_own_pixels_are_drawn_alike() -> None:
    frame = render(textured(torch.float32), PROBES["convex"], IDENTITY)
    grid = frame.grid(0.5)
    plain = Picture.of_image(frame.cartesian(0.5)[0], 0.5, (grid.x_mm, grid.z_mm), frame.mask(0.5))
    of_frame = Picture.of_frame(frame, spacing_mm=0.5)
    assert np.allclose(plain.extent_mm, of_frame.extent_mm)
    assert np.array_equal(plain.values, of_frame.values) and np.array_equal(plain.mask, of_frame.mask)


def test_onto_another_grid_a_plane_of_values_stays_itself() -> None:
    def ramp(shown: Picture) -> np.ndarray:
        left, right, bottom, top = shown.extent_mm
        rows, columns = shown.values.shape
        x = left + (np.arange(columns) + 0.5) * (right - left) / columns
        z = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
        return 3 * x - 2 * z[:, None]

    coarse = Picture(np.zeros((30, 30)), (-20.0, 10.0, 25.0, -5.0))
    coarse = Picture(ramp(coarse), coarse.extent_mm)
    moved = coarse.onto(FIXED)
    assert moved.values.shape == FIXED.values.shape and moved.extent_mm == FIXED.extent_mm
    assert 0.5 < moved.mask.mean() < 1  # it reaches less far to the right
    inner = moved.mask & (np.arange(60) < 48)
    assert np.allclose(moved.values[inner], ramp(FIXED)[inner])


def test_squares_are_of_either_image_by_turns() -> None:
    other = Picture.of_image(1 - GREY, 0.5, (-15.0, 2.0))
    mixed = drawn(plot.checkerboard(other, FIXED, square_mm=5.0))
    for row, column in ((0, 0), (9, 9), (9, 10), (10, 9), (10, 10), (39, 59)):
        expected = (1 - GREY if (row // 10 + column // 10) % 2 == 0 else GREY)[row, column]
        assert mixed[row, column] == pytest.approx(expected)


def test_colours_and_difference_say_which_image_is_brighter() -> None:
    brighter = Picture.of_image(np.minimum(GREY + 0.25, 2), 0.5, (-15.0, 2.0))
    both = drawn(plot.colour_overlay(brighter, FIXED))
    assert np.allclose(both[..., 0], np.clip(GREY + 0.25, 0, 1)) and np.allclose(both[..., 1], GREY)
    ax = plot.difference(brighter, FIXED)
    assert np.allclose(drawn(ax), 0.25)
    assert ax.images[0].get_cmap()(1.0)[0] > ax.images[0].get_cmap()(1.0)[2]  # red where moving is brighter
    assert ax.figure.axes[1].get_ylabel() == "grey, of 0 to 1"


def test_the_difference_of_frames_of_one_dynamic_range_is_in_decibels() -> None:
    medium = textured(torch.float32)
    # At 40 dB nothing is clipped on either side of 2 dB.
    first, second = (
        render(medium, PROBES["convex"], IDENTITY, RenderSettings(dynamic_range_db=150.0, gain_db=gain))
        for gain in (2.0, 0.0)
    )
    ax = plot.difference(first, second)
    values = drawn(ax)
    assert np.nanmedian(values) == pytest.approx(2.0, abs=0.01)
    assert np.array_equal(np.isfinite(values), Picture.of_frame(second).mask)
    assert ax.figure.axes[1].get_ylabel() == "dB"
    other = render(medium, PROBES["convex"], IDENTITY, RenderSettings(dynamic_range_db=140.0))
    assert plot.difference(other, second).figure.axes[1].get_ylabel().startswith("grey")


def test_edges_are_those_of_what_is_seen_and_not_of_the_field_of_view() -> None:
    z, x = np.mgrid[0:80, 0:100] * 0.4
    away = np.hypot(x - 20, z - 16)
    shown = Picture(np.where(away < 7, 0.8, 0.2) + 0.001 * x, (0, 40, 32, 0), away < 15)
    found = edges(shown, 1.0)
    assert found.sum() > 60  # once around, 44 mm
    assert np.abs(away[found] - 7).max() < 0.8
    angles = np.arctan2(z - 16, x - 20)[found]
    assert set(np.floor(angles / (np.pi / 4)).astype(int)) >= set(range(-4, 4))
    ax = plot.edge_overlay(shown, shown)
    x_drawn, z_drawn = ax.lines[0].get_data()
    assert np.abs(np.hypot(np.asarray(x_drawn) - 20.2, np.asarray(z_drawn) - 16.2) - 7).max() < 0.8


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda: Picture(np.zeros((2, 3, 4)), (0, 1, 1, 0)),
            r"expected shape \(rows, columns\), got \(2, 3, 4\)",
        ),
        (lambda: Picture(GREY, (0, 1, 1, 0), np.ones((2, 2))), r"Picture seen: expected shape \(40, 60\)"),
        (lambda: Picture(GREY, (0, 1, 1, 0), np.zeros(GREY.shape)), "what is seen is empty"),
        (lambda: Picture(np.full((3, 3), np.nan), (0, 1, 1, 0)), "holds 9 NaN or infinite pixels"),
        (lambda: Picture(GREY, (1, 1, 1, 0)), "width_mm must be a finite number above 0"),
        (lambda: Picture.of_image(GREY, 0.0), "spacing_mm must be a finite number above 0"),
        (lambda: Picture.of_image(np.zeros((2, 3, 5)), 1.0), "colour channels last, got"),
        (lambda: Picture.of_scanlines(torch.zeros(3, 4), PROBES["convex"]), r"expected shape \(9, 96\)"),
        (
            lambda: plot.checkerboard(Picture.of_image(GREY, 0.5, (90.0, 0.0)), FIXED),
            "do not overlap: they reach",
        ),
        (lambda: plot.checkerboard(FIXED, FIXED, square_mm=0.0), "square_mm must be"),
        (lambda: plot.edge_overlay(FIXED, FIXED, smoothing_mm=-1.0), "smoothing_mm must be"),
        (lambda: plot.difference(FIXED, FIXED, limit=0.0), "limit must be"),
    ],
)
def test_refusals(made: Any, words: str) -> None:
    with as_users_run(), pytest.raises(ValueError, match=words):
        made()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such image"):
        Picture.load(tmp_path / "none.png", 0.5)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png"):
        Picture.load(tmp_path / "broken.png", 0.5)


def test_before_and_after_are_the_rows() -> None:
    frames = [
        render(
            textured(torch.float32), PROBES["convex"], pose.exp(torch.tensor([0, 0, 0, shift, 0, 0]).double())
        )
        for shift in (4.0, 0.0)
    ]
    figure = plot.before_after(frames[0], frames[1], frames[1])
    greys = np.asarray(figure.axes[4 + 3].images[0].get_array())
    assert np.array_equal(greys[..., 0], greys[..., 1])  # after: both agree
    greys = np.asarray(figure.axes[3].images[0].get_array())
    assert np.abs(greys[..., 0] - greys[..., 1]).max() > 0.05
