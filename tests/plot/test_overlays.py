"""Masks, labels, maps and landmarks over slices: right place, right name, right unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from tests.plot.scenes import FLAT, ball, head, landmarks
from tests.scenes import IDENTITY, medium_of, textured
from tests.support import as_users_run

from diffus import Volume, plot, pose, render
from diffus.labels import label_table
from diffus.plot.overlays import PALETTE

PLACE = torch.tensor([[1, 0, 0, -40], [0, 1, 0, -40], [0, 0, 1, -40], [0, 0, 0, 1]]).double()
LABELS = Volume(
    (ball((-15.0, 0.0, 0.0), 8.0, PLACE).data > 0.5) * 2
    + (ball((15.0, 5.0, 0.0), 8.0, PLACE).data > 0.5) * 3,
    PLACE,
)
PLANE = plot.Plane.anatomical("axial", (0.0, 0.0, 0.0), LABELS)


def axes() -> Any:
    return plot.volume_slice(LABELS, PLANE, Figure().add_subplot())


def colour_at(ax: Any, x_mm: float, y_mm: float) -> list[float]:
    """Of the last image that was drawn."""
    image = ax.images[-1]
    values = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    column = int((x_mm - left) / (right - left) * values.shape[1])
    row = int((y_mm - top) / (bottom - top) * values.shape[0])
    return values[row, column].tolist()


def names_of(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_labels_have_their_colours_edges_and_names() -> None:
    ax = plot.label_overlay(LABELS, PLANE, axes(), names={2: "left_thing"}, alpha=0.5)
    assert colour_at(ax, -15.0, 0.0) == pytest.approx(to_rgba(PALETTE[1], 0.5), abs=1e-6)
    assert colour_at(ax, 15.0, 5.0) == pytest.approx(to_rgba(PALETTE[2], 0.5), abs=1e-6)
    assert colour_at(ax, 0.0, 0.0)[3] == 0
    assert names_of(ax) == ["left thing", "label 3"]
    edges = [np.concatenate([np.asarray(path.vertices) for path in c.get_paths()]) for c in ax.collections]
    for edge, (x, y) in zip(edges, ((-15, 0), (15, 5)), strict=True):
        assert np.abs(np.hypot(edge[:, 0] - x, edge[:, 1] - y) - 8).max() < 1.0


def test_names_come_from_a_table_and_many_stand_below() -> None:
    many = Volume(torch.arange(80)[:, None, None].expand(80, 80, 80) // 8, PLACE)
    ax = plot.label_overlay(many, PLANE, axes(), names=label_table("totalsegmentator"))
    assert names_of(ax)[:2] == ["spleen", "kidney right"] and len(names_of(ax)) == 9
    legend = ax.get_legend()
    assert legend is not None and legend.get_bbox_to_anchor().y1 < ax.get_window_extent().y0


def test_masks_add_up_in_the_legend() -> None:
    ax = axes()
    for number, name in ((2, "one"), (3, "two")):
        plot.mask_overlay(Volume(LABELS.data == number, PLACE), PLANE, ax, name=name, colour=PALETTE[number])
    assert names_of(ax) == ["one", "two"]
    assert (colour_at(ax, 15.0, 5.0)[3], colour_at(ax, -15.0, 0.0)[3]) == (0.25, 0)


def test_the_view_stays_where_it_was() -> None:
    ax = axes()
    ax.set(xlim=(10, -10), ylim=(-5, 5))
    plot.label_overlay(LABELS, PLANE, ax)
    assert ax.get_xlim() == (10, -10) and ax.get_ylim() == (-5, 5)


def test_an_image_over_a_slice_is_the_more_opaque_the_brighter() -> None:
    frame = render(textured(torch.float32), FLAT, IDENTITY)
    over = plot.Picture.of_frame(frame)
    ax = plot.bmode_overlay(over, plot.fan_slice(head(), FLAT, IDENTITY), opacity=0.6)
    alpha = np.asarray(ax.images[-1].get_alpha())
    assert np.allclose(alpha, 0.6 * over.values) and ax.get_xlim()[0] < -20


def test_maps_show_the_values_of_the_medium_in_their_units() -> None:
    medium = medium_of(lambda x, y, z: (1.5 + 0.01 * x, 0.5 + 0 * z, 10 ** (-2 - z / 80)), 1.0)
    plane = plot.Plane.of_fan(FLAT, IDENTITY, margin_mm=2.0)
    u, v = plane.centres_mm()
    expected = {
        "impedance": (1.5 + 0.01 * u + 0 * v[:, None], "MRayl"),
        "attenuation": (0.5 + 0 * u + 0 * v[:, None], "dB/cm/MHz"),
        "backscatter": (-40 - v[:, None] / 4 + 0 * u, "dB re plane reflector"),
    }
    for channel, (values, unit) in expected.items():
        ax = plot.tissue_map(medium, channel, plane)
        assert np.allclose(np.asarray(ax.images[0].get_array()), values.numpy(), atol=2e-3)
        assert ax.figure.axes[1].get_ylabel() == unit
    assert [ax.get_title() for ax in plot.tissue_maps(medium, FLAT, IDENTITY).axes[:3]] == list(expected)


def test_landmarks_are_drawn_where_they_lie_and_measured() -> None:
    pairs = landmarks()
    back = pose.exp(torch.tensor([0, 0, 0, -3.0, 0, 0]).double())
    ax = plot.landmark_vectors(pairs, PLANE, axes(), back)
    ways = [np.asarray(line.get_xydata()) for line in ax.lines[:5]]
    for number, way in enumerate(ways):
        start = pairs.mri_mm[number, :2].tolist()
        assert way.tolist() == [start, pytest.approx([start[0], start[1] + number])]
    assert [text.get_text() for text in ax.texts[-5:]] == ["1", "2", "3", "4", "5"]
    near = plot.landmark_vectors(pairs, PLANE, axes(), within_mm=8.5)
    assert [text.get_text() for text in near.texts[-2:]] == ["1", "2"]

    bars = plot.landmark_errors(pairs, back)
    widths = [patch.get_width() for patch in bars.patches if isinstance(patch, Rectangle)]
    assert widths[:5] == pytest.approx([np.hypot(3, n) for n in range(5)])
    assert widths[5:] == pytest.approx(range(5), abs=1e-9)
    assert bars.get_title() == f"mean TRE {pairs.tre_mm():.2f} mm before, 2.00 mm after"
    alone = plot.landmark_errors(pairs)
    assert len(alone.patches) == 5 and alone.get_title() == f"mean TRE {pairs.tre_mm():.2f} mm"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda: plot.mask_overlay(Volume(torch.zeros(9, 9, 9), PLACE), PLANE, axes(), name="brain"),
            "'brain' is empty",
        ),
        (
            lambda: plot.label_overlay(Volume(torch.zeros(9, 9, 9), PLACE), PLANE, axes()),
            "label map is empty",
        ),
        (lambda: plot.label_overlay(Volume(LABELS.data / 4, PLACE), PLANE, axes()), "holds fractions"),
        (lambda: plot.label_overlay(LABELS, PLANE, axes(), alpha=1.5), r"alpha must lie in \[0, 1\]"),
        (lambda: plot.tissue_map(textured(), "density", PLANE), "unknown channel 'density'"),
        (
            lambda: plot.tissue_map(textured(), "impedance", plot.Plane.of_fan(FLAT, far())),
            "does not meet Medium",
        ),
        (
            lambda: plot.landmark_vectors(landmarks(), PLANE, axes(), within_mm=1.0),
            "the nearest is 4.0 mm away",
        ),
        (lambda: plot.landmark_errors(landmarks(), 2 * torch.eye(4)), "last row must be"),
    ],
)
def test_refusals(made: Any, words: str) -> None:
    with as_users_run(), pytest.raises(ValueError, match=words):
        made()


def far() -> torch.Tensor:
    return pose.look_at((500.0, 0.0, 0.0), (600.0, 0.0, 0.0))
