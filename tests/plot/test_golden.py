"""Every kind of figure as it was when somebody last looked at it; see `golden_images` for how to refresh it.

The second half proves that the comparison sees what matters: it must fail for pictures that are flipped,
turned, or lack an outline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.plot.golden_images import FOLDER, SHARE, pixels, share_that_differs
from tests.plot.scenes import ball, from_the_left, head, landmarks
from tests.scenes import IDENTITY

from diffus import ConvexProbe, Frame, Medium, Volume, plot, pose, render

SMALL = (3.6, 3.4)
PROBE = ConvexProbe(
    radius_mm=15.0, field_of_view_deg=60.0, depth_mm=48.0, n_scanlines=64, n_samples=320, aperture_mm=8.0
)


def one() -> Axes:
    return plot.new_axes(*SMALL)


@cache
def medium() -> Medium:
    volume = head()
    return Medium(1.5 + 0.2 * volume.data, 0.2 + volume.data, 0.02 * volume.data, volume.world_from_voxel)


@cache
def frame(shift_mm: float = 0.0) -> Frame:
    """The bright ball, left of the middle of the image and half way down."""
    at = pose.look_at((36.0 + shift_mm, 5.0, 14.0), (-20.0, 5.0, 14.0))
    return render(medium(), PROBE, at)


@cache
def parts() -> Volume:
    place = head().world_from_voxel
    return Volume(
        (head().data > 0.2).int() + 3 * (ball((14.0, 10.0, 12.0), 7.0, place).data > 0.5).int(), place
    )


def labelled() -> Axes:
    plane = plot.Plane.anatomical("coronal", (0.0, 10.0, 12.0), head())
    ax = plot.volume_slice(head(), plane, one())
    return plot.label_overlay(parts(), plane, ax, names={1: "big", 4: "small"})


def axial(convention: str = "radiological", with_probe: bool = True) -> Axes:
    probe, at = from_the_left()
    fan = {"probe": probe, "world_from_probe": at} if with_probe else {}
    return plot.orthogonal_slice(head(), "axial", (0.0, 2.0, 5.5), one(), convention=convention, **fan)


def fan_plane(outline: bool = True) -> Axes:
    return plot.fan_slice(head(), *from_the_left(), ax=one(), margin_mm=8.0, outline=outline)


def shown_at(shift_mm: float) -> plot.Picture:
    return plot.Picture.of_frame(frame(shift_mm), spacing_mm=0.4)


FIGURES: dict[str, Callable[[], Axes | Figure]] = {
    "bmode_sector": lambda: plot.bmode(frame(), one(), spacing_mm=0.4),
    "bmode_scanlines": lambda: plot.bmode(frame(), one(), view="scanlines"),
    "axial_with_fan": axial,
    "fan_slice": fan_plane,
    "orthogonal_slices": lambda: plot.orthogonal_slices(
        head(), probe=from_the_left()[0], world_from_probe=from_the_left()[1]
    ),
    "tissue_maps": lambda: plot.tissue_maps(medium(), *from_the_left()),
    "labels": labelled,
    "comparison": lambda: plot.comparison(shown_at(3.0), shown_at(0.0)),
    "landmarks": lambda: plot.landmark_figure(
        head(), landmarks(), pose.from_euler((0.0, 0, 0), (-3.0, 0, 0))
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_look_as_they_did(name: str) -> None:
    differs = share_that_differs(name, pixels(FIGURES[name]()))
    assert differs <= SHARE, f"{name} differs in {differs:.2%} of its pixels: see tests/plot/golden_images.py"
    assert (FOLDER / f"{name}.png").stat().st_size < 30_000


def upside_down(axes: Axes) -> Axes:
    """The data flipped, the axes as they were."""
    image = axes.images[0]
    image.set_data(np.ma.masked_invalid(np.ma.filled(np.ma.asarray(image.get_array()), np.nan)[::-1]))
    return axes


def inverted(axes: Axes) -> Axes:
    axes.invert_yaxis()
    return axes


WRONG: dict[str, tuple[str, Callable[[], Axes | Figure]]] = {
    "B-mode upside down": ("bmode_sector", lambda: upside_down(FIGURES["bmode_sector"]())),  # type: ignore[arg-type]
    "depth axis upwards": ("bmode_sector", lambda: inverted(FIGURES["bmode_sector"]())),  # type: ignore[arg-type]
    "scanlines in reverse": (
        "bmode_scanlines",
        lambda: plot.bmode(
            Frame(
                frame().scanlines.flip(1),
                frame().envelope,
                PROBE,
                IDENTITY[None],
                frame().settings,
            ),
            one(),
            view="scanlines",
        ),
    ),
    "left for right": ("axial_with_fan", lambda: axial("neurological")),
    "slice upside down": ("axial_with_fan", lambda: upside_down(axial())),
    "no fan": ("axial_with_fan", lambda: axial(with_probe=False)),
    "no outline": ("fan_slice", lambda: fan_plane(outline=False)),
    "no labels": (
        "labels",
        lambda: plot.volume_slice(head(), plot.Plane.anatomical("coronal", (0.0, 10.0, 12.0), head()), one()),
    ),
    "moving for fixed": ("comparison", lambda: plot.comparison(shown_at(0.0), shown_at(3.0))),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_comparison_sees_mistakes(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIFFUS_WRITE_GOLDEN", raising=False)
    name, drawn = WRONG[mistake]
    assert share_that_differs(name, pixels(drawn())) > 2 * SHARE
