"""The overlay of a found sector: where the outline lies, in mm and in pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.support import as_users_run

from diffus.imaging.sector import Sector
from diffus.imaging.sector_match import EdgeShares
from diffus.plot.sector import sector_outline

IMAGE = np.random.default_rng(0).uniform(0, 255, (120, 90))
SHARES = EdgeShares(1.0, 1.0, 0.9, math.nan)


def sector(spacing: tuple[float, float] | None) -> Sector:
    return Sector((-5.0, 20.0), 0.0, 60.0, 10.0, 30.0, spacing, 0.95, SHARES)


def line(axes: Axes, number: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = axes.lines[number].get_data()
    return np.asarray(x), np.asarray(y)


def test_in_millimetres_by_default() -> None:
    axes = sector_outline(IMAGE, sector((0.5, 0.25)))
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, bottom, top) == pytest.approx((-0.125, 22.375, 59.75, -0.25))
    x, y = line(axes, 0)
    assert np.hypot(x - 20, y + 5).max() == pytest.approx(30)
    assert axes.get_xlabel() == "columns (mm)" and axes.get_ylabel() == "rows (mm)"
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "rows grow downwards"


def test_in_pixels_on_request_and_without_a_spacing() -> None:
    axes = sector_outline(IMAGE, sector((0.5, 0.25)), pixels=True)
    assert tuple(axes.images[0].get_extent()) == pytest.approx((-0.5, 89.5, 119.5, -0.5))
    x, y = line(axes, 0)
    assert y.max() == pytest.approx(50, abs=0.01) and x.max() == pytest.approx(140, abs=0.01)
    assert axes.get_xlabel() == "columns (pixels)"
    assert sector_outline(IMAGE, sector(None)).get_xlabel() == "columns (pixels)"


def test_the_whole_sector_is_shown_or_the_image_alone() -> None:
    whole = sector_outline(IMAGE, sector((0.5, 0.25)))
    assert whole.get_ylim()[1] == pytest.approx(-5) and whole.get_xlim()[1] == pytest.approx(35)
    alone = sector_outline(IMAGE, sector((0.5, 0.25)), whole=False)
    assert alone.get_xlim() == pytest.approx((-0.125, 22.375)) and alone.get_ylim() == pytest.approx(
        (59.75, -0.25)
    )


def test_the_central_scanline_follows_the_axis() -> None:
    turned = Sector((0.0, 0.0), 90.0, 60.0, 10.0, 30.0, (1.0, 1.0), 0.95, SHARES)
    x, y = line(sector_outline(IMAGE, turned), 1)
    assert (x[1], y[1]) == pytest.approx((30, 0), abs=1e-9)


def test_draws_on_the_axes_it_is_given_and_refuses_other_shapes() -> None:
    axes = Figure().add_subplot()
    assert sector_outline(IMAGE, sector(None), ax=axes) is axes
    with as_users_run(), pytest.raises(ValueError, match=r"expected shape \(rows, columns\)"):
        sector_outline(IMAGE[None], sector(None))
