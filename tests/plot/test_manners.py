"""What every public function of `diffus.plot` owes: the axes it was given, mm on them, no pyplot."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.plot.scenes import from_the_left, head, landmarks
from tests.scenes import IDENTITY, PROBES, textured

from diffus import Frame, Medium, Volume, plot, render
from diffus.imaging.sector import Sector
from diffus.imaging.sector_match import EdgeShares

SECTOR = Sector((-5.0, 20.0), 0.0, 60.0, 10.0, 30.0, (1.0, 1.0), 0.95, EdgeShares(1.0, 1.0, 0.9, 1.0))


@pytest.fixture(autouse=True)
def _without_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imports pyplot, which holds the state that all figures of a process share, fails."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)


@cache
def frame() -> Frame:
    return render(textured(torch.float32), PROBES["convex"], IDENTITY)


@cache
def medium() -> Medium:
    volume = head()
    return Medium(1.5 + volume.data, volume.data, volume.data, volume.world_from_voxel)


def plane() -> plot.Plane:
    return plot.Plane.anatomical("axial", (0.0, 0.0, 0.0), head())


def sliced(ax: Axes) -> Axes:
    return plot.volume_slice(head(), plane(), ax)


@cache
def mask() -> Volume:
    return Volume(head().data > 0.2, head().world_from_voxel)


ON_AXES: dict[str, Callable[[Axes], Axes]] = {
    "bmode": lambda ax: plot.bmode(frame(), ax),
    "bmode_overlay": lambda ax: plot.bmode_overlay(frame(), sliced(ax)),
    "checkerboard": lambda ax: plot.checkerboard(frame(), frame(), ax),
    "colour_overlay": lambda ax: plot.colour_overlay(frame(), frame(), ax),
    "difference": lambda ax: plot.difference(frame(), frame(), ax),
    "draw_fan": lambda ax: plot.draw_fan(*from_the_left(), plane(), sliced(ax)),
    "edge_overlay": lambda ax: plot.edge_overlay(frame(), frame(), ax),
    "fan_slice": lambda ax: plot.fan_slice(head(), *from_the_left(), ax),
    "label_overlay": lambda ax: plot.label_overlay(mask(), plane(), sliced(ax)),
    "landmark_vectors": lambda ax: plot.landmark_vectors(landmarks(), plane(), sliced(ax)),
    "mask_overlay": lambda ax: plot.mask_overlay(mask(), plane(), sliced(ax)),
    "orthogonal_slice": lambda ax: plot.orthogonal_slice(head(), "sagittal", ax=ax),
    "picture": lambda ax: plot.picture(frame(), ax, title="real"),
    "sector_outline": lambda ax: plot.sector_outline(np.eye(60), SECTOR, ax),
    "tissue_map": lambda ax: plot.tissue_map(medium(), "impedance", plane(), ax),
    "volume_slice": sliced,
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "before_after": lambda: plot.before_after(frame(), frame(), frame()),
    "comparison": lambda: plot.comparison(frame(), frame()),
    "orthogonal_slices": lambda: plot.orthogonal_slices(head()),
    "side_by_side": lambda: plot.side_by_side(head(), frame()),
    "tissue_maps": lambda: plot.tissue_maps(medium(), *from_the_left()),
}
ELSEWHERE = {
    # Measured against something else than mm on both axes; each has tests of its own.
    *("landmark_errors", "landmark_figure", "gradient_maps", "image_derivative", "pose_gradient"),
    *("landscape", "landscape_plane", "scanline"),
    # These draw nothing.
    *("grey_levels", "new_axes", "recorded", "magenta_green", "save_figure", "scanline_curves"),
}


def is_image(ax: Axes) -> bool:
    return ax.get_label() != "<colorbar>"


@pytest.mark.parametrize("name", ON_AXES)
def test_draws_in_mm_on_the_axes_it_is_given(name: str) -> None:
    ax = Figure().add_subplot()
    assert ON_AXES[name](ax) is ax
    assert ax.get_xlabel().endswith("(mm)") and ax.get_ylabel().endswith("(mm)")
    assert ax.get_aspect() in (1.0, "equal")
    assert ax.get_title()


@pytest.mark.parametrize("name", FIGURES)
def test_every_panel_is_in_mm(name: str) -> None:
    panels = [ax for ax in FIGURES[name]().axes if is_image(ax)]
    assert all(ax.get_title() and ax.get_aspect() in (1.0, "equal") for ax in panels)
    # Panels in a row share the label of their depth, those in a column that of what lies across.
    words = {word for ax in panels for word in (ax.get_xlabel(), ax.get_ylabel()) if word}
    assert words and all(word.endswith("(mm)") for word in words)


def test_no_public_function_is_left_out() -> None:
    functions = {name for name in plot.__all__ if inspect.isfunction(getattr(plot, name))}
    animations = {name for name in functions if name.startswith("animate")}
    assert functions - animations - ELSEWHERE == set(ON_AXES) | set(FIGURES)
