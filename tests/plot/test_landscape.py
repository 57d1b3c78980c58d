"""Curves and contours of a landscape: what is drawn, and where the marks are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from tests.scenes import IDENTITY, TILTED

from diffus import pose
from diffus.plot.landscape import landscape, landscape_plane
from diffus.registration.landscape import Landscape, LandscapePlane

OFFSETS = torch.linspace(-4, 4, 9, dtype=torch.float64)


def curves() -> Landscape:
    scores = torch.stack([1 - (OFFSETS - 1) ** 2 / 30, 1 - OFFSETS**2 / 20])
    scores[1, -2:] = torch.nan
    return Landscape(("turn_x_deg", "shift_z_mm"), OFFSETS.repeat(2, 1), scores, TILTED, IDENTITY)


def plane() -> LandscapePlane:
    scores = 1 - (OFFSETS[:, None] - 2) ** 2 / 30 - (OFFSETS + 1) ** 2 / 50
    return LandscapePlane(("shift_x_mm", "shift_z_mm"), OFFSETS, OFFSETS, scores, TILTED, IDENTITY)


def xy(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xydata())


def test_curves_carry_the_scores_the_unit_and_the_marks() -> None:
    first, second = landscape(curves()).axes
    given, line, best = first.lines
    assert np.array_equal(xy(line)[:, 1], curves().scores[0])
    assert xy(given)[:, 0].tolist() == [0, 0]
    assert xy(best).tolist() == [[1, 1]]
    assert first.get_xlabel() == "tilt out of the image plane, about x (deg)"
    assert second.get_xlabel() == "move along the beam, z (mm)"
    assert first.get_title() == "best at +1.0 deg"
    assert not first.collections and len(second.collections) == 1, "what is not seen is shaded"


def test_contours_lie_the_right_way_round() -> None:
    path = pose.perturb(TILTED, torch.tensor([[0, 0, 0, -3.0, 0, 2.0], [0, 0, 0, 2.0, 0, -1.0]]).double())
    ax = landscape_plane(plane(), path=path)
    marks = {str(line.get_label()).split(",")[0]: xy(line) for line in ax.lines}
    assert marks["given pose"].tolist() == [[0, 0]]
    assert marks["best"].tolist() == [[2, -1]]
    assert np.allclose(marks["descent"], [[-3, 2], [2, -1]])
    (contours,) = ax.collections
    levels = [np.asarray(path.vertices) for path in contours.get_paths()]
    top = [corners for corners in levels if len(corners)][-1]
    assert np.allclose(top.mean(axis=0), (2, -1), atol=0.7)
    assert ax.get_xlabel().endswith("x (mm)") and ax.get_ylabel().endswith("z (mm)")


def test_draws_on_given_axes_and_without_any_score() -> None:
    ax = Figure().add_subplot()
    empty = LandscapePlane(
        ("shift_x_mm", "turn_z_deg"),
        OFFSETS,
        OFFSETS,
        torch.full((9, 9), torch.nan).double(),
        TILTED,
        IDENTITY,
    )
    assert landscape_plane(empty, ax=ax) is ax
    with pytest.raises(ValueError, match=r"axes: expected shape \(2,\), one for each degree of freedom"):
        landscape(curves(), [ax])
