"""The way of a registration as an animated GIF: what is rendered, over the ultrasound, and how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.files import write_aside
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.registration.motion import displacement_mm
from diffus.render import render
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from diffus.registration.result import RegistrationResult

MOST_STEPS = 20
"""Steps that are shown; of more, so many evenly spread ones."""
_SPACING_MM = 0.5
_PER_SECOND = 5
_DPI = 80
_SEEN = RenderSettings(speckle="expected")


def save_animation(
    result: RegistrationResult, frame: Frame, medium: Medium, path: str | os.PathLike[str], which: int = 0
) -> Path:
    """Animate the best descent of one frame or a sweep.

    Args:
        result: what was found.
        frame: what was registered.
        medium: what is rendered.
        path: ``.gif`` file.
        which: image of the sweep.

    Raises:
        ValueError: for another extension, or a place that cannot be written.
    """
    placed = torch.linalg.inv(result.world_from_sweep) @ result.world_from_probe[which]
    poses = result.trajectory @ placed

    def seen(number: int) -> Frame:
        with torch.no_grad():
            return render(medium, frame.probe, poses[number], _SEEN)

    away = displacement_mm(result.trajectory, result.world_from_sweep, result.points)
    return animate(frame[which].detach(), seen, away, result.trajectory_scores, path)


def animate(
    fixed: Frame,
    seen: Callable[[int], Frame],
    away_mm: Float64[Tensor, " T"],
    scores: Float64[Tensor, " T"],
    path: str | os.PathLike[str],
) -> Path:
    """Animate what is rendered on the way, red over the green ultrasound, beside how far is still to go.

    Args:
        fixed: the ultrasound, one image.
        seen: renders step number 0, 1, ...
        away_mm: how far from the end each step is.
        scores: of each step; NaN where it has none.
        path: ``.gif`` file.

    Raises:
        ValueError: for another extension, or a place that cannot be written.
    """
    from matplotlib.animation import PillowWriter

    target = Path(path)
    if target.suffix != ".gif":
        raise ValueError(f"{target.name}: an animation is saved as .gif, got {target.suffix!r}")
    count = len(scores)
    shown = sorted({round(at) for at in np.linspace(0, count - 1, min(count, MOST_STEPS))})
    stage = _Stage(fixed, away_mm.numpy(), scores.numpy())
    writer = PillowWriter(fps=_PER_SECOND)
    with write_aside(target) as temporary, writer.saving(stage.figure, str(temporary), _DPI):
        for number in shown:
            stage.show(number, seen(number))
            writer.grab_frame()
    return target


class _Stage:
    """A figure whose pictures change while its axes stay where they are."""

    def __init__(self, fixed: Frame, away_mm: np.ndarray, scores: np.ndarray) -> None:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        self._fixed, self._away, self._scores = fixed.cartesian(_SPACING_MM)[0].numpy(), away_mm, scores
        left, right, top, bottom = fixed.grid(_SPACING_MM).edges_mm()
        self.figure = Figure(figsize=(12.5, 4.6))
        axes = self.figure.subplots(1, 3)
        self.figure.subplots_adjust(left=0.06, right=0.985, bottom=0.12, top=0.86, wspace=0.24)
        blank, extent = np.zeros_like(self._fixed), (left, right, bottom, top)
        self._grey = axes[0].imshow(blank, extent=extent, cmap="gray", vmin=0, vmax=1)
        self._both = axes[1].imshow(overlaid(blank, self._fixed), extent=extent)
        for ax, title in zip(axes, ("rendered", "rendered red, ultrasound green"), strict=False):
            ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)", title=title)
        axes[2].plot(np.arange(len(away_mm)), away_mm, color="0.6", linewidth=1)
        (self._dot,) = axes[2].plot(0, away_mm[0], marker="o", color="tab:red")
        axes[2].set(xlabel="step", ylabel="mean displacement from the end (mm)", title="the way")
        axes[2].grid(alpha=0.3)
        axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))

    def show(self, number: int, seen: Frame) -> None:
        """One step."""
        moving = seen.cartesian(_SPACING_MM)[0].numpy()
        self._grey.set_data(moving)
        self._both.set_data(overlaid(moving, self._fixed))
        self._dot.set_data([number], [self._away[number]])
        score = "" if np.isnan(self._scores[number]) else f", score {self._scores[number]:.3f} in its stage"
        self.figure.suptitle(f"step {number} of {len(self._scores) - 1}{score}")


def overlaid(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Two grey images in [0, 1] as one in colour: the moving red, the fixed green, both where they agree."""
    return np.clip(np.stack([moving, fixed, np.zeros_like(fixed)], axis=-1), 0, 1)
