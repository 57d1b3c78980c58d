"""Pictures of a registration: before and after, checkerboard and overlay, and the way down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.frame import Frame
from diffus.medium import Medium
from diffus.registration.motion import displacement_mm
from diffus.render import render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from diffus.registration.result import RegistrationResult

_SQUARE_MM = 8.0
_SPACING_MM = 0.3


def before_and_after(result: RegistrationResult, frame: Frame, medium: Medium, which: int = 0) -> Figure:
    """The frame beside what the initial and the best pose render; below, both laid over it.

    Args:
        result: what was found.
        frame: what was registered.
        medium: what is rendered.
        which: image of the sweep.
    """
    from matplotlib.figure import Figure

    fixed = frame[which].detach()
    final = result.world_from_probe[which]
    placed = torch.linalg.inv(result.world_from_sweep) @ final
    first, after = (_image(fixed, medium, at) for at in (result.initial @ placed, final))
    real = fixed.cartesian(_SPACING_MM)[0].numpy()
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    left, right, top, bottom = fixed.grid(_SPACING_MM).edges_mm()
    extent = (left, right, bottom, top)
    pictures = {
        "rendered at the initial pose": first,
        "ultrasound": real,
        "rendered at the best pose": after,
        "initial: rendered red, ultrasound green": _overlay(first, real),
        f"checkerboard, squares of {_SQUARE_MM:g} mm": _checkerboard(after, real),
        "best: rendered red, ultrasound green": _overlay(after, real),
    }
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
        ax.imshow(picture, extent=extent, cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
    for ax in axes[1]:
        ax.set_xlabel("lateral x (mm)")
    for ax in axes[:, 0]:
        ax.set_ylabel("depth z (mm)")
    figure.suptitle(f"{result.verdict}: {result.reason}")
    return figure


def way_down(result: RegistrationResult) -> Figure:
    """Score of each descent, and how far the best one's poses were from its end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    away = displacement_mm(result.trajectory, result.world_from_sweep, result.points)
    left.plot(np.arange(len(away)), away.numpy(), marker="o")
    left.set(xlabel="step", ylabel="mean displacement from the end (mm)", title="the best descent")
    ends = displacement_mm(result.ends, result.world_from_sweep, result.points)
    right.scatter(ends.numpy(), result.scores.numpy(), s=14)
    right.set(xlabel="mean displacement from the best (mm)", ylabel="correlation", title="all descents")
    return figure


def save_animation(result: RegistrationResult, frame: Frame, medium: Medium, path: str | Path) -> Path:
    """The descent of the best start as an animated GIF: the rendered image red, the ultrasound green.

    Raises:
        ValueError: for another extension, or a place that cannot be written.
    """
    from PIL import Image

    from diffus.files import write_aside

    target = Path(path)
    if target.suffix != ".gif":
        raise ValueError(f"{target.name}: an animation is saved as .gif, got {target.suffix!r}")
    fixed = frame[0].detach()
    real = fixed.cartesian(0.5)[0].numpy()
    placed = torch.linalg.inv(result.world_from_sweep) @ result.world_from_probe[0]
    steps = [_overlay(_image(fixed, medium, at @ placed, 0.5), real) for at in result.trajectory]
    shots = [Image.fromarray((255 * step).astype(np.uint8)) for step in steps]
    with write_aside(target) as temporary:
        shots[0].save(temporary, save_all=True, append_images=shots[1:], duration=200, loop=0)
    return target


def _image(
    frame: Frame, medium: Medium, at: Float64[Tensor, "4 4"], spacing_mm: float = _SPACING_MM
) -> np.ndarray:
    with torch.no_grad():
        return render(medium, frame.probe, at).cartesian(spacing_mm)[0].numpy()


def _overlay(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    return np.clip(np.stack([moving, fixed, np.zeros_like(fixed)], axis=-1), 0, 1)


def _checkerboard(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    rows, columns = (np.arange(n) * _SPACING_MM // _SQUARE_MM for n in fixed.shape)
    return np.where((rows[:, None] + columns) % 2 == 0, moving, fixed)
