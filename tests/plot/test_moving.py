"""What moves in animations: each picture shows its own frame."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageSequence
from tests.registration.scene import PROBE, TRUTH, medium

from diffus import RenderSettings, Volume, render, trajectory
from diffus.plot.backdrop import Backdrop
from diffus.plot.moving import SweepStage, animate_parameter, animate_sweep
from diffus.plot.turned import Turned

POSES = trajectory.fan(TRUTH, 30.0, 4)


def shots_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        return [np.asarray(shot.convert("RGB")).astype(int) for shot in ImageSequence.Iterator(image)]


def mri() -> Volume:
    return medium().volume("backscatter")


def drawn(stage: SweepStage, which: int) -> np.ndarray:
    values = stage._figure.axes[which].images[0].get_array()
    assert values is not None
    return np.ma.filled(values, -1)


def test_a_backdrop_draws_what_matplotlib_draws() -> None:
    figure = Figure(figsize=(3, 2), dpi=50)
    ax = figure.add_subplot()
    image = ax.imshow(np.zeros((4, 4)), vmin=0, vmax=1)
    backdrop = Backdrop(figure, 50)
    for level in (0.2, 0.9):
        image.set_data(np.full((4, 4), level))
        ax.set_title(f"level {level}")
        quick = backdrop.picture([image, *ax.spines.values(), ax.title])
        figure.canvas.draw()
        whole = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # pyright: ignore[reportAttributeAccessIssue]
        assert (np.abs(quick.astype(int) - whole).max(axis=-1) > 2).sum() < 8  # where spines meet


def test_a_sweep_shows_each_frame_its_slice_and_where_it_is() -> None:
    frames, volume = render(medium(), PROBE, POSES).detach(), mri()
    stage = SweepStage(frames[0], volume)
    seen = []
    for number, frame in enumerate(frames):
        picture = stage.show(frame)
        seen.append(picture)
        where, cut, bmode = stage._figure.axes[:3]
        assert np.allclose(drawn(stage, 2)[frame.mask().numpy()], frame.cartesian()[0][frame.mask()])
        assert bmode.get_title() == f"frame {number + 1}"
        # The middle of the slice's pixels against the volume itself, there in the world.
        values, (left, right, bottom, top) = drawn(stage, 1), cut.images[0].get_extent()
        row, column = values.shape[0] // 2, values.shape[1] // 2 + 7
        x = left + (column + 0.5) * (right - left) / values.shape[1]
        z = top + (row + 0.5) * (bottom - top) / values.shape[0]
        world = POSES[number] @ torch.tensor([x, 0, z, 1], dtype=torch.float64)
        assert values[row, column] == pytest.approx(float(volume.sample(world[:3].float())), rel=1e-3)
        assert np.asarray(where.lines[-1].get_xydata()).shape == (number + 1, 2)  # the way of the face
        assert len(cut.texts) == 4
    assert all((first != second).any() for first, second in pairwise(seen))
    for ax in stage._figure.axes[:3]:
        assert "(mm)" in ax.get_xlabel()
        assert "(mm)" in ax.get_ylabel()


def test_a_sweep_is_taken_frame_by_frame(tmp_path: Path) -> None:
    made: list[int] = []

    def rendered() -> Iterator[object]:
        for number, at in enumerate(POSES):
            made.append(number)
            yield render(medium(), PROBE, at)

    animation = animate_sweep(rendered(), tmp_path / "sweep.gif", per_second=4)  # pyright: ignore[reportArgumentType]
    shots = shots_of(animation.path)
    assert made == [0, 1, 2, 3]
    assert len(shots) == 4
    assert np.abs(shots[0] - shots[3]).max() > 50


def test_a_parameter_is_turned_from_value_to_value(tmp_path: Path) -> None:
    animation = animate_parameter(
        medium(), PROBE, TRUTH, "gain_db", (-40.0, 0.0, 40.0), tmp_path / "gain.gif"
    )
    brightness = [shot[40:300, 60:380].mean() for shot in shots_of(animation.path)]
    assert brightness[0] < brightness[1] - 10 < brightness[2] - 20
    assert animation.count == 3


@pytest.mark.parametrize(
    ("parameter", "value", "probe", "settings"),
    [
        ("frequency_mhz", 4.0, {"frequency_mhz": 4.0}, {}),
        ("n_scanlines", 24.0, {"n_scanlines": 24}, {}),
        ("depth_mm", 30.0, {"depth_mm": 30.0}, {}),
        ("dynamic_range_db", 40.0, {}, {"dynamic_range_db": 40.0}),
    ],
)
def test_what_is_turned_is_what_render_is_given(
    parameter: str, value: float, probe: dict[str, float], settings: dict[str, float]
) -> None:
    turned = Turned(medium(), PROBE, TRUTH, parameter, RenderSettings(), [value, value])
    expected = (PROBE.with_options(**probe), RenderSettings().with_options(**settings))
    made = turned._changed(value)
    assert (made[0], made[2]) == expected
    assert torch.equal(made[1], TRUTH)


def test_a_degree_of_freedom_is_turned_about_the_middle_of_the_sector() -> None:
    turned = Turned(medium(), PROBE, TRUTH, "turn_y_deg", RenderSettings(), [0.0, 90.0])
    middle = torch.cat([PROBE.sample_points_mm().mean(dim=(0, 1)), torch.ones(1).double()])
    before, after = (turned._changed(value)[1] for value in (0.0, 90.0))
    assert torch.allclose(before, TRUTH)
    assert torch.allclose(after @ middle, TRUTH @ middle, atol=1.5)
    assert float(after[:3, 2] @ TRUTH[:3, 2]) == pytest.approx(0, abs=1e-9)


def test_refusals(tmp_path: Path) -> None:
    path, far = tmp_path / "a.gif", TRUTH.clone()
    far[:3, 3] += 500
    frame = render(medium(), PROBE, TRUTH)
    other = render(medium(), PROBE.with_options(depth_mm=30.0), TRUTH)
    elsewhere = type(frame)(frame.scanlines, frame.envelope, frame.probe, far[None], frame.settings)
    for said, call in {
        "unknown parameter 'loudness': expected one of 'depth_mm'": lambda: turn("loudness", (1.0, 2.0)),
        r"\(T,\) with T >= 2, got \(1,\)": lambda: turn("gain_db", (1.0,)),
        "NaN or Inf": lambda: turn("gain_db", (1.0, float("nan"))),
        "frequency_mhz must be": lambda: turn("frequency_mhz", (1.0, -2.0)),
        "unknown parameter 'propagation'": lambda: turn("propagation", (1.0, 2.0)),
        "at least one frame": lambda: animate_sweep([], path),
        "one probe, and an image of another": lambda: animate_sweep([frame, other], path),
        "frame 2: its plane does not meet": lambda: animate_sweep([frame, elsewhere], path, volume=mri()),
    }.items():
        with pytest.raises(ValueError, match=said):
            call()
    assert not path.exists()


def turn(parameter: str, values: tuple[float, ...]) -> None:
    animate_parameter(medium(), PROBE, TRUTH, parameter, values, "never.gif")
