"""Rendered against real, on the same pixels: side by side, checkerboard, edges, colours, difference."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffus.checks import require_positive
from diffus.frame import Frame
from diffus.plot.figures import new_axes, new_panels
from diffus.plot.pictures import Picture, as_picture, picture
from diffus.scalars import plain

SQUARE_MM = 8.0
EDGE_COLOUR = "#ff5252"
_STRONG, _WEAK = 0.92, 0.75
"""Share of the pixels whose gradient is smaller than that where an edge begins, and where it goes on."""


def checkerboard(
    moving: Frame | Picture,
    fixed: Frame | Picture,
    ax: Axes | None = None,
    *,
    square_mm: float = SQUARE_MM,
    title: str | None = None,
) -> Axes:
    """Squares of two images by turns: where they agree, edges go on across the squares.

    The square at the upper left is of the moving image.

    Args:
        moving: mostly what is rendered; brought onto the pixels of ``fixed``.
        fixed: mostly the real image.
        ax: where; by default on a new figure.
        square_mm: side of a square.
        title: by default says what is drawn.

    Raises:
        ValueError: for images that do not overlap, or squares that are not above zero.
    """
    require_positive("checkerboard", square_mm=square_mm)
    first, second = _together(moving, fixed)
    rows, columns = (
        (np.arange(n) * step // square_mm)
        for n, step in zip(second.values.shape, second.spacing_mm, strict=True)
    )
    turn = (rows[:, None] + columns) % 2 == 0
    mixed = np.where(turn, first.values, second.values)
    seen = np.where(turn, first.mask, second.mask)
    shown = Picture(np.where(seen, mixed, 0.0), second.extent_mm, seen, second.labels)
    name = f"checkerboard, squares of {square_mm:g} mm" if title is None else title
    return picture(shown, ax, title=name)


def colour_overlay(
    moving: Frame | Picture, fixed: Frame | Picture, ax: Axes | None = None, *, title: str | None = None
) -> Axes:
    """The moving image in magenta and the fixed in green: grey where they agree.

    Unlike red and green, these are told apart by eyes that lack one of the two (Wong, Nature Methods 2011).

    Args:
        moving: mostly what is rendered; brought onto the pixels of ``fixed``.
        fixed: mostly the real image.
        ax: where; by default on a new figure.
        title: by default says which is which.

    Raises:
        ValueError: for images that do not overlap.
    """
    first, second = _together(moving, fixed)
    ax = ax or new_axes()
    both = magenta_green(first.values * first.mask, second.values * second.mask)
    ax.imshow(both, extent=second.extent_mm)
    name = "rendered magenta, real green" if title is None else title
    ax.set(xlabel=second.labels[0], ylabel=second.labels[1], title=name)
    return ax


def edge_overlay(
    moving: Frame | Picture,
    fixed: Frame | Picture,
    ax: Axes | None = None,
    *,
    smoothing_mm: float = 1.0,
    colour: str = EDGE_COLOUR,
    title: str | None = None,
) -> Axes:
    """The edges of the moving image, drawn on the fixed one.

    Args:
        moving: mostly what is rendered; brought onto the pixels of ``fixed``.
        fixed: mostly the real image.
        ax: where; by default on a new figure.
        smoothing_mm: standard deviation of the Gaussian that goes before; of the order of the grain.
        colour: of the edges.
        title: by default says what is drawn.

    Raises:
        ValueError: for images that do not overlap, or a smoothing that is not above zero.
    """
    require_positive("edge_overlay", smoothing_mm=smoothing_mm)
    first, second = _together(moving, fixed)
    ax = picture(second, ax, title="edges of rendered on real" if title is None else title)
    rows, columns = np.nonzero(edges(first, smoothing_mm))
    left, right, bottom, top = second.extent_mm
    x = left + (columns + 0.5) * (right - left) / second.values.shape[1]
    z = top + (rows + 0.5) * (bottom - top) / second.values.shape[0]
    around = ax.get_xlim(), ax.get_ylim()
    # Dots of one size on paper: lines one pixel wide would be lost where the image is drawn small.
    ax.plot(x, z, ".", color=colour, markersize=1.6, markeredgewidth=0)
    ax.set(xlim=around[0], ylim=around[1])
    return ax


def difference(
    moving: Frame | Picture,
    fixed: Frame | Picture,
    ax: Axes | None = None,
    *,
    unit: str | None = None,
    limit: float | None = None,
    title: str | None = None,
) -> Axes:
    """Moving minus fixed, red where the moving image is brighter, blue where it is darker, with a bar.

    Of two frames shown over one dynamic range without a grey map the difference is in dB; otherwise it is in
    the unit of the values, which for a B-mode image are grey values from 0 to 1.

    Args:
        moving: mostly what is rendered; brought onto the pixels of ``fixed``.
        fixed: mostly the real image.
        ax: where; by default on a new figure.
        unit: of the values, where they are neither grey values nor dB.
        limit: difference at both ends of the bar; by default the 99th percentile of its size.
        title: by default says what is drawn.

    Raises:
        ValueError: for images that do not overlap, or a limit that is not above zero.
    """
    span = None if unit is not None else _shared_span_db(moving, fixed)
    first, second = _together(moving, fixed)
    both = first.mask & second.mask
    change = (first.values - second.values) * (1.0 if span is None else span)
    end = float(np.quantile(np.abs(change[both]), 0.99)) if limit is None else limit
    if limit is not None:
        require_positive("difference", limit=limit)
    shown = Picture(np.where(both, change, 0.0), second.extent_mm, both, second.labels)
    end = end or 1.0
    words = unit or ("grey, of 0 to 1" if span is None else "dB")
    name = "rendered - real" if title is None else title
    return picture(shown, ax, levels=(-end, end), unit=words, title=name, cmap="RdBu_r")


def comparison(
    rendered: Frame | Picture,
    real: Frame | Picture,
    *,
    square_mm: float = SQUARE_MM,
    title: str | None = None,
) -> Figure:
    """Rendered and real image side by side; below and beside, difference, checkerboard, edges and colours.

    Args:
        rendered: brought onto the pixels of ``real``.
        real: what it is compared with, on axes in the same frame of reference.
        square_mm: side of a square of the checkerboard.
        title: of the figure.

    Raises:
        ValueError: for images that do not overlap.
    """
    first, second = _together(rendered, real)
    figure, axes = new_panels(2, 3, second.aspect)
    picture(first, axes[0, 0], title="rendered")
    picture(second, axes[0, 1], title="real")
    difference(rendered, real, axes[0, 2])
    checkerboard(first, second, axes[1, 0], square_mm=square_mm)
    edge_overlay(first, second, axes[1, 1])
    colour_overlay(first, second, axes[1, 2])
    _only_outer_labels(figure)
    if title is not None:
        figure.suptitle(title, fontweight="bold")
    return figure


def before_after(
    before: Frame | Picture,
    after: Frame | Picture,
    real: Frame | Picture,
    *,
    square_mm: float = SQUARE_MM,
    title: str | None = None,
) -> Figure:
    """A registration: what is rendered before and after, and each against the real image.

    The rows are before and after; the columns the rendered image, the checkerboard, the edges of the rendered
    image on the real one, and both in colours.

    Args:
        before: rendered at the first pose.
        after: rendered at the pose that was found.
        real: the ultrasound.
        square_mm: side of a square of the checkerboard.
        title: of the figure.

    Raises:
        ValueError: for images that do not overlap.
    """
    figure, axes = new_panels(2, 4, as_picture(real).aspect)
    for row, (name, rendered) in zip(axes, (("before", before), ("after", after)), strict=True):
        first, second = _together(rendered, real)
        picture(first, row[0], title=f"{name}: rendered")
        checkerboard(first, second, row[1], square_mm=square_mm, title=f"{name}: by turns with the real one")
        edge_overlay(first, second, row[2], title=f"{name}: its edges on the real one")
        colour_overlay(first, second, row[3], title=f"{name}: rendered magenta, real green")
    _only_outer_labels(figure)
    if title is not None:
        figure.suptitle(title, fontweight="bold")
    return figure


def magenta_green(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Two grey images in [0, 1] as one in colour: the moving magenta, the fixed green, grey where they agree.

    Args:
        moving: (H, W).
        fixed: (H, W).

    Returns:
        (H, W, 3).
    """
    return np.clip(np.stack([moving, fixed, moving], axis=-1), 0, 1)


def edges(shown: Picture, smoothing_mm: float) -> np.ndarray:
    """Where the edges of a picture run, (H, W); those of its field of view are not among them.

    Canny's detector (IEEE PAMI 8, 1986), by SimpleITK, with thresholds that follow the picture's gradients.
    """
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(_filled(shown).astype(np.float32))
    image.SetSpacing(shown.spacing_mm[::-1])
    smooth = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, [smoothing_mm] * 2))
    slope = np.hypot(*np.gradient(smooth))  # a step of a pixel, as Canny's thresholds in ITK are
    inner = _inner(shown, 2 * smoothing_mm)
    if not inner.any() or not slope[inner].any():
        return np.zeros(shown.values.shape, dtype=bool)
    weak, strong = (float(v) for v in np.quantile(slope[inner], [_WEAK, _STRONG]))
    found = sitk.CannyEdgeDetection(
        image,
        lowerThreshold=weak,
        upperThreshold=strong,
        variance=[smoothing_mm**2] * 2,
        maximumError=[0.01] * 2,
    )
    return (sitk.GetArrayFromImage(found) > 0) & inner


def _filled(shown: Picture) -> np.ndarray:
    """The picture with the mean of what is seen around it."""
    return np.where(shown.mask, shown.values, shown.values[shown.mask].mean())


def _inner(shown: Picture, margin_mm: float) -> np.ndarray:
    """Pixels that lie deeper than a margin in what is seen; the border of the picture bounds it, too."""
    import SimpleITK as sitk

    mask = sitk.GetImageFromArray(np.pad(shown.mask, 1).astype(np.uint8))
    mask.SetSpacing(shown.spacing_mm[::-1])
    depth = sitk.SignedMaurerDistanceMap(
        mask, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
    )
    return sitk.GetArrayFromImage(depth)[1:-1, 1:-1] > margin_mm


def _together(moving: Frame | Picture, fixed: Frame | Picture) -> tuple[Picture, Picture]:
    second = as_picture(fixed)
    return as_picture(moving).onto(second), second


def _shared_span_db(moving: Frame | Picture, fixed: Frame | Picture) -> float | None:
    """Dynamic range in dB that two frames share, if they do."""
    if not (isinstance(moving, Frame) and isinstance(fixed, Frame)):
        return None
    if moving.settings.grey_map is not None or fixed.settings.grey_map is not None:
        return None
    spans = [float(np.ravel(plain(frame.settings.dynamic_range_db))[0]) for frame in (moving, fixed)]
    return spans[0] if math.isclose(*spans) else None


def _only_outer_labels(figure: Figure) -> None:
    for ax in figure.axes:
        if ax.images and ax.get_subplotspec() is not None and ax.get_title():
            ax.label_outer()
