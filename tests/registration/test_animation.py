"""The way of a registration, drawn: its steps are all there, and show what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from tests.registration.phantom_sweep import POSE, PROBE
from tests.registration.scene import TRUTH, medium, sampled

from diffus.frame import Frame
from diffus.plot import magenta_green
from diffus.registration.animation import animate
from diffus.registration.pictures import Moment, before_after, checkerboard, overlay, plane_of
from diffus.registration.virtual_sweep import VirtualSweep


def grey(level: float) -> Frame:
    frame = sampled().detach()
    lines = torch.full_like(frame.scanlines, level)
    return Frame(lines, frame.envelope, frame.probe, frame.world_from_probe, frame.settings)


def middle_of(path: Path) -> list[float]:
    """Red of the middle of the third picture in each shot, which overlays both."""
    with Image.open(path) as animation:
        shots = [np.asarray(shot.convert("RGB")) for shot in ImageSequence.Iterator(animation)]
    rows, columns = shots[0].shape[:2]
    return [float(shot[round(0.4 * rows), round(0.84 * columns), 0]) for shot in shots]


def test_each_shot_shows_its_step(tmp_path: Path) -> None:
    levels = [0.0, 0.3, 0.6, 0.9]
    away, scores = torch.tensor([3.0, 2, 1, 0]).double(), torch.tensor([float("nan"), 0.1, 0.2, 0.3]).double()
    path = animate(grey(0.5), lambda number: grey(levels[number]), away, scores, tmp_path / "way.gif")
    reds = middle_of(path)
    assert len(reds) == 4
    assert reds == pytest.approx([255 * level for level in levels], abs=12)
    assert list(tmp_path.iterdir()) == [path]


def test_a_long_way_is_thinned_and_keeps_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffus.registration.animation.MOST_STEPS", 5)
    count = 13
    asked: list[int] = []

    def seen(number: int) -> Frame:
        asked.append(number)
        return grey(number / count)

    steps = torch.arange(count).double()
    animate(grey(0.5), seen, steps.flip(0), steps, tmp_path / "way.gif")
    assert asked == [0, 3, 6, 9, 12]


def test_a_way_is_also_a_video_and_nothing_else(tmp_path: Path) -> None:
    one = torch.zeros(1).double()
    path = animate(grey(0.5), grey, one, one, tmp_path / "way.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
    with pytest.raises(ValueError, match=r"saved as \.gif or \.mp4, got '\.png'"):
        animate(grey(0.5), grey, one, one, tmp_path / "way.png")


def test_magenta_green_is_magenta_green_and_grey() -> None:
    mixed = magenta_green(np.array([[1.0, 0.0, 0.5]]), np.array([[0.0, 1.0, 0.5]]))
    assert np.array_equal(mixed[0], [[1, 0, 1], [0, 1, 0], [0.5, 0.5, 0.5]])


def test_figures_have_axes_in_mm_and_name_what_they_show() -> None:
    frame, mri = sampled().detach(), medium().volume("backscatter")
    moments = [Moment.at(name, medium(), frame, mri, TRUTH) for name in ("initial", "best")]
    first, best = moments
    way = torch.tensor([2.0, 1.0, 0.0]).double()
    figures = [before_after(frame, first, best, way, "said"), checkerboard(frame, first, best)]
    figures.append(overlay(frame, first, best))
    assert [len(figure.axes) for figure in figures] == [6, 2, 4]
    for figure in figures:
        for ax in figure.axes:
            assert ax.get_title()
            assert ax.get_title() == "the best descent" or ax.get_xlabel() == "lateral x (mm)"
    drawn = figures[1].axes[0].images[0].get_array()
    assert drawn is not None
    pictures = [shot.cartesian(0.3)[0].numpy() for shot in (first.rendered, frame)]
    for row, column in ((40, 100), (60, 100), (60, 120)):
        square = (int(row * 0.3 // 8) + int(column * 0.3 // 8)) % 2
        assert drawn[row, column] == pytest.approx(pictures[square][row, column])


def test_a_plane_of_a_volume_goes_from_black_to_white_where_it_counts() -> None:
    image = torch.linspace(20, 220, PROBE.n_scanlines * PROBE.n_samples).reshape(
        1, PROBE.n_scanlines, PROBE.n_samples
    )
    weights = torch.ones_like(image)
    weights[0, :, :10] = 0
    frame = plane_of(VirtualSweep(PROBE, POSE[None], image, weights))
    assert float(frame.scanlines[0, :, :10].abs().max()) == 0
    assert (float(frame.scanlines.min()), float(frame.scanlines.max())) == (0, 1)
    assert float(frame.scanlines[0, :, 10:].mean()) == pytest.approx(0.5, abs=0.02)
