"""Landmarks: where they lie in both images, and how far from one another a registration leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus import pose
from diffus.checks import require_positive
from diffus.datasets.landmarks import Landmarks
from diffus.plot.figures import new_axes
from diffus.plot.levels import OUTLINED, grey_levels
from diffus.plot.plane import Plane
from diffus.plot.slices import ORIENTATIONS, volume_slice
from diffus.volume import Volume

MRI_COLOUR, ULTRASOUND_COLOUR, BEFORE_COLOUR = "#ffd54f", "#4dd0e1", "0.65"
_MARGIN_MM = 15.0


def landmark_vectors(
    landmarks: Landmarks,
    plane: Plane,
    ax: Axes,
    mri_from_ultrasound: Float[Tensor, "4 4"] | Any = None,
    *,
    within_mm: float | None = None,
) -> Axes:
    """Draw landmarks on a slice: a ring in the MRI, a cross in the ultrasound, and the way between them.

    Both are seen along the normal of the plane; the numbers are those of the rows, from 1.

    Args:
        landmarks: of both images.
        plane: of the slice.
        ax: the axes of the slice.
        mri_from_ultrasound: moves the landmarks of the ultrasound, (4, 4); None leaves them.
        within_mm: draws only landmarks of the MRI nearer to the plane; by default all.

    Raises:
        ValueError: for a transform that is not a rigid (4, 4), a distance that is not above zero, or no
            landmark that near.
    """
    at, moved = (plane.coordinates(points).numpy() for points in _both(landmarks, mri_from_ultrasound))
    chosen = np.arange(len(at))
    if within_mm is not None:
        require_positive("landmark_vectors", within_mm=within_mm)
        chosen = chosen[np.abs(at[:, 2]) <= within_mm]
        if not len(chosen):
            nearest = float(np.abs(at[:, 2]).min())
            raise ValueError(
                f"no landmark lies within {within_mm:g} mm of the plane, the nearest is {nearest:.1f} mm "
                "away: give a larger within_mm or another plane"
            )
    around = ax.get_xlim(), ax.get_ylim()
    for number in chosen:
        (u, v, _), (end_u, end_v, _) = at[number], moved[number]
        ax.plot([u, end_u], [v, end_v], color="white", linewidth=1.3, path_effects=OUTLINED)
        ax.annotate(
            str(number + 1), (u, v), xytext=(4, 4), textcoords="offset points", color=MRI_COLOUR,
            fontsize="x-small", path_effects=OUTLINED,
        )  # fmt: skip
    rings, crosses = at[chosen], moved[chosen]
    ax.plot(
        rings[:, 0], rings[:, 1], "o", markerfacecolor="none", color=MRI_COLOUR, markersize=6, label="MRI",
        path_effects=OUTLINED,
    )  # fmt: skip
    ax.plot(crosses[:, 0], crosses[:, 1], "x", color=ULTRASOUND_COLOUR, markersize=5, label="ultrasound")
    ax.set(xlim=around[0], ylim=around[1])
    return ax


def landmark_errors(
    landmarks: Landmarks,
    mri_from_ultrasound: Float[Tensor, "4 4"] | Any = None,
    ax: Axes | None = None,
    *,
    before: Float[Tensor, "4 4"] | Any = None,
    title: str | None = None,
) -> Axes:
    """Draw the target registration error of each landmark in mm, as bars with their numbers, and the mean.

    Args:
        landmarks: of both images.
        mri_from_ultrasound: what was found, (4, 4); None for images that lie as they are.
        ax: where; by default on a new figure.
        before: a first transform whose errors are drawn beside; by default there is none to compare with
            where ``mri_from_ultrasound`` is None, else the images as they lie.
        title: by default the mean before and after.

    Raises:
        ValueError: for a transform that is not a rigid (4, 4).
    """
    ax = ax or new_axes(6.0, 1.2 + 0.28 * len(landmarks))
    errors = landmarks.errors_mm(_checked(mri_from_ultrasound)).detach().numpy()
    mean = f"mean TRE {errors.mean():.2f} mm"
    rows = np.arange(1, len(errors) + 1)
    if mri_from_ultrasound is not None or before is not None:
        first = landmarks.errors_mm(_checked(before)).detach().numpy()
        ax.barh(rows - 0.2, first, height=0.36, color=BEFORE_COLOUR, label="before")
        ax.axvline(first.mean(), color=BEFORE_COLOUR, linestyle="--", linewidth=1)
        ax.barh(rows + 0.2, errors, height=0.36, color="#1e88e5", label="after")
        _write_numbers(ax, rows - 0.2, first)
        _write_numbers(ax, rows + 0.2, errors)
        ax.legend(loc="lower right", fontsize="small")
        mean = f"mean TRE {first.mean():.2f} mm before, {errors.mean():.2f} mm after"
    else:
        ax.barh(rows, errors, height=0.6, color="#1e88e5")
        _write_numbers(ax, rows, errors)
    ax.axvline(errors.mean(), color="#1e88e5", linestyle="--", linewidth=1)
    ax.set(
        xlabel="target registration error (mm)", ylabel="landmark", yticks=rows, ylim=(len(rows) + 0.6, 0.4)
    )
    ax.set_xlim(0, 1.12 * ax.get_xlim()[1])
    ax.set_title(mean if title is None else title)
    return ax


def landmark_figure(
    volume: Volume,
    landmarks: Landmarks,
    mri_from_ultrasound: Float[Tensor, "4 4"] | Any = None,
    *,
    before: Float[Tensor, "4 4"] | Any = None,
    convention: str = "radiological",
    title: str | None = None,
) -> Figure:
    """Landmarks on three slices of the MRI through their middle, and the error of each in mm.

    Args:
        volume: the MRI.
        landmarks: of both images.
        mri_from_ultrasound: what was found, (4, 4); None for images that lie as they are.
        before: see `landmark_errors`.
        convention: radiological or neurological, see `orthogonal_slice`.
        title: of the figure.

    Raises:
        ValueError: for landmarks whose middle lies outside the volume, or a transform that is not a rigid
            (4, 4).
    """
    middle = landmarks.mri_mm.mean(dim=0)
    low_high = grey_levels(volume)
    figure = Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, orientation in zip(axes.flat, ORIENTATIONS, strict=False):
        plane = Plane.anatomical(orientation, middle, volume, convention)
        volume_slice(volume, plane, ax, levels=low_high)
        landmark_vectors(landmarks, plane, ax, mri_from_ultrasound)
        _zoom(ax, plane, landmarks, mri_from_ultrasound)
    axes[0, 0].legend(loc="upper right", fontsize="small", facecolor="0.25", labelcolor="white")
    landmark_errors(landmarks, mri_from_ultrasound, axes[1, 1], before=before)
    if title is not None:
        figure.suptitle(title)
    return figure


def _both(landmarks: Landmarks, transform: Any) -> tuple[Tensor, Tensor]:
    """Landmarks of the MRI, and those of the ultrasound where a transform puts them."""
    checked = _checked(transform)
    moved = landmarks.ultrasound_mm
    return landmarks.mri_mm, moved if checked is None else pose.transform_points(checked, moved).detach()


def _checked(transform: Any) -> Tensor | None:
    return None if transform is None else pose.from_matrix(transform).detach().cpu()


def _write_numbers(ax: Axes, rows: np.ndarray, errors: np.ndarray) -> None:
    for row, error in zip(rows, errors, strict=True):
        ax.annotate(
            f"{error:.1f}", (error, row), xytext=(2, 0), textcoords="offset points", va="center",
            fontsize="x-small",
        )  # fmt: skip


def _zoom(ax: Axes, plane: Plane, landmarks: Landmarks, transform: Any) -> None:
    """Show the landmarks and a little around them, the axes running as they did."""
    points = np.concatenate([plane.coordinates(side).numpy()[:, :2] for side in _both(landmarks, transform)])
    low, high = points.min(axis=0) - _MARGIN_MM, points.max(axis=0) + _MARGIN_MM
    left, right, bottom, top = plane.extent_mm
    ax.set_xlim(*((low[0], high[0]) if right > left else (high[0], low[0])))
    ax.set_ylim(*((low[1], high[1]) if top > bottom else (high[1], low[1])))
