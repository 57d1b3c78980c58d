"""The way of a registration: the ultrasound, what is rendered on the way, both overlaid, and how far it
is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from diffus.frame import Frame
from diffus.medium import Medium
from diffus.plot import animation
from diffus.plot.backdrop import Backdrop
from diffus.plot.comparison import magenta_green
from diffus.registration.motion import displacement_mm
from diffus.render import render
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from diffus.registration.result import RegistrationResult

MOST_STEPS = 20
"""Steps that are shown; of more, so many evenly spread ones."""
_SPACING_MM = 0.5
_PER_SECOND = 5
_SEEN = RenderSettings(speckle="expected")


def save_animation(
    result: RegistrationResult, frame: Frame, medium: Medium, path: str | os.PathLike[str], which: int = 0
) -> Path:
    """Animate the best descent of one frame or a sweep.

    Args:
        result: what was found.
        frame: what was registered.
        medium: what is rendered.
        path: ``.gif`` or ``.mp4`` file.
        which: image of the sweep.

    Raises:
        ValueError: for another extension, or a place that cannot be written.
    """
    pictures = descent_pictures(result, frame, medium, which)
    return animation.animate(pictures, path, per_second=_PER_SECOND).path


def animate(
    fixed: Frame,
    seen: Callable[[int], Frame],
    away_mm: Float64[Tensor, " T"],
    scores: Float64[Tensor, " T"],
    path: str | os.PathLike[str],
) -> Path:
    """Animate any way, step by step.

    Args:
        fixed: the ultrasound, one image.
        seen: renders step number 0, 1, ...
        away_mm: how far from the end each step is.
        scores: of each step; NaN where it has none.
        path: ``.gif`` or ``.mp4`` file.

    Raises:
        ValueError: for another extension, or a place that cannot be written.
    """
    pictures = step_pictures(fixed, seen, away_mm, scores)
    return animation.animate(pictures, path, per_second=_PER_SECOND).path


def descent_pictures(
    result: RegistrationResult, frame: Frame, medium: Medium, which: int = 0, dpi: int = animation.DPI
) -> Iterator[np.ndarray]:
    """The pictures of the best descent; arguments are those of `save_animation`."""
    placed = torch.linalg.inv(result.world_from_sweep) @ result.world_from_probe[which]
    poses = result.trajectory @ placed

    def seen(number: int) -> Frame:
        with torch.no_grad():
            return render(medium, frame.probe, poses[number], _SEEN)

    away = displacement_mm(result.trajectory, result.world_from_sweep, result.points)
    return step_pictures(frame[which].detach(), seen, away, result.trajectory_scores, dpi)


def step_pictures(
    fixed: Frame,
    seen: Callable[[int], Frame],
    away_mm: Float64[Tensor, " T"],
    scores: Float64[Tensor, " T"],
    dpi: int = animation.DPI,
) -> Iterator[np.ndarray]:
    """One picture for each step that is shown; arguments are those of `animate`."""
    count = len(scores)
    stage = _Stage(fixed, away_mm.numpy(), scores.numpy(), dpi)
    for number in sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST_STEPS))}):
        yield stage.show(number, seen(number))


class _Stage:
    """A figure whose pictures change while its axes stay where they are."""

    def __init__(self, fixed: Frame, away_mm: np.ndarray, scores: np.ndarray, dpi: int) -> None:
        self._fixed, self._away, self._scores = fixed.cartesian(_SPACING_MM)[0].numpy(), away_mm, scores
        left, right, top, bottom = fixed.grid(_SPACING_MM).edges_mm()
        figure = Figure(figsize=(12.5, 5.7))
        grid = figure.add_gridspec(2, 3, height_ratios=(1, 0.26))
        figure.subplots_adjust(left=0.06, right=0.985, bottom=0.1, top=0.87, wspace=0.2, hspace=0.25)
        blank, extent = np.zeros_like(self._fixed), (left, right, bottom, top)
        axes = [figure.add_subplot(grid[0, column]) for column in range(3)]
        grey = {"cmap": "gray", "vmin": 0, "vmax": 1, "extent": extent}
        axes[0].imshow(self._fixed, **grey)
        self._moving = axes[1].imshow(blank, **grey)
        self._both = axes[2].imshow(magenta_green(blank, self._fixed), extent=extent)
        titles = ("ultrasound", "rendered", "rendered magenta, ultrasound green")
        for ax, title in zip(axes, titles, strict=True):
            ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)", title=title, anchor="N")
        way = figure.add_subplot(grid[1, :])
        way.plot(np.arange(len(away_mm)), away_mm, color="0.6", linewidth=1)
        (self._dot,) = way.plot(0, away_mm[0], marker="o", color="tab:red")
        way.set(xlabel="step", ylabel="from the end (mm)", ylim=(0, None))
        way.grid(alpha=0.3)
        way.xaxis.set_major_locator(MaxNLocator(integer=True))
        self._title = figure.suptitle("")
        self._backdrop = Backdrop(figure, dpi)

    def show(self, number: int, seen: Frame) -> np.ndarray:
        """One step."""
        moving = seen.cartesian(_SPACING_MM)[0].numpy()
        self._moving.set_data(moving)
        self._both.set_data(magenta_green(moving, self._fixed))
        self._dot.set_data([number], [self._away[number]])
        score = "" if np.isnan(self._scores[number]) else f", score {self._scores[number]:.3f} in its stage"
        away = f"{self._away[number]:.2f} mm on average from the end"
        self._title.set_text(f"step {number} of {len(self._scores) - 1}: {away}{score}")
        spines = [spine for image in (self._moving, self._both) for spine in image.axes.spines.values()]
        return self._backdrop.picture([self._moving, self._both, *spines, self._dot, self._title])
