"""A few frames of an evaluated case, and the picture of them: MRI, rendered, real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.learning.case import TrainingCase
from diffus.plot.figures import save_figure
from diffus.plot.pictures import Picture, picture
from diffus.probe import Probe
from diffus.registration.virtual_sweep import frame_points
from diffus.similarity.statistics import standardised
from diffus.volume import Volume

PLACES = (0.25, 0.5, 0.75)
"""Of the frames that are kept, along the sweep."""
MOST_ROWS = 6
"""Of a picture."""
PIXEL_MM = 0.4
_SPAN = 2.5
"""Standard deviations from grey to black or white."""
_TITLES = ("MRI", "rendered, expected", "real ultrasound")


@dataclass(frozen=True, eq=False)
class ShownFrame:
    """One frame, for people to look at.

    Args:
        title: case and place.
        probe: geometry of the scanlines.
        mri: intensity of the MRI at the samples, 1 at the 98th percentile of the brain.
        rendered_db: rendered levels.
        real: grey values.
        weights: 1 where a sample counts.
    """

    title: str
    probe: Probe
    mri: Float[Tensor, "S N"]
    rendered_db: Float[Tensor, "S N"]
    real: Float[Tensor, "S N"]
    weights: Float[Tensor, "S N"]


def shown_frames(case: TrainingCase, rendered_db: Float[Tensor, "F S N"]) -> tuple[ShownFrame, ...]:
    """The frames nearest to `PLACES`, those that the probe made before tilted ones, each once.

    Args:
        case: that the frames are of.
        rendered_db: rendered levels of all.
    """
    place, sweep = case.frames.place, case.frames.sweep
    mri = Volume(case.mri.intensities[0], case.mri.world_from_voxel)
    shown = []
    for at in sorted({int((place - wanted).abs().argmin()) for wanted in PLACES}):
        points = frame_points(sweep.probe, case.poses[at : at + 1])[0]
        title = f"{case.name}, {100 * float(place[at]):.0f} % along the sweep"
        images = (mri.sample(points.float()), rendered_db[at], sweep.image[at], sweep.weights[at])
        shown.append(ShownFrame(title, sweep.probe, *images))
    return tuple(shown)


def save_frames(path: Path, shown: Sequence[ShownFrame]) -> Path:
    """Draw frames in their sectors, one a row, axes in mm, black where nothing is compared.

    Rendered and real frames are shown in units of their own standard deviation about their mean. Of more
    than `MOST_ROWS` frames, so many are drawn, evenly spread.

    Args:
        path: PNG to write.
        shown: at least one.

    Raises:
        ValueError: for no frames.
    """
    if not shown:
        raise ValueError("there are no frames to draw")
    count = min(len(shown), MOST_ROWS)
    rows = [shown[round(float(at))] for at in torch.linspace(0, len(shown) - 1, count)]
    figure = Figure(figsize=(11.5, 3.5 * count), layout="constrained")
    for axes, frame in zip(figure.subplots(count, len(_TITLES), squeeze=False), rows, strict=True):
        _draw_row(list(axes), frame)
    return save_figure(figure, path, dpi=80)


def _draw_row(axes: Sequence[Axes], frame: ShownFrame) -> None:
    weights = frame.weights.float()
    levels, grey = (
        standardised(image.float()[None], weights[None])[0] for image in (frame.rendered_db, frame.real)
    )
    pictures = ((frame.mri.float(), 0.0, 1.3), (levels, -_SPAN, _SPAN), (grey, -_SPAN, _SPAN))
    for ax, title, (image, low, high) in zip(axes, _TITLES, pictures, strict=True):
        picture(
            Picture.of_scanlines(image, frame.probe, weights, PIXEL_MM), ax, levels=(low, high), title=title
        )
        ax.label_outer()
    axes[0].set_title(f"{frame.title}\n{_TITLES[0]}")
