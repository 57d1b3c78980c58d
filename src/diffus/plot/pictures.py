"""Picture: values over a rectangle in mm, so that rendered frames and real images are drawn alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from diffus.checks import require_positive, require_shape
from diffus.frame import Frame
from diffus.imaging.scan_conversion import PixelGrid, field_of_view, to_cartesian
from diffus.plot.figures import new_axes
from diffus.probe import Probe

OUTSIDE = "black"
"""Where there is no image."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Values of square or oblong pixels over a rectangle in mm.

    Args:
        values: (H, W), first row at the top; grey values of B-mode images lie in [0, 1].
        extent_mm: outer edges: left, right, bottom, top.
        seen: (H, W), where there is an image; everywhere by default.
        labels: of the horizontal and the vertical axis, with their unit.

    Raises:
        ValueError: for values or a mask of another shape, NaN or Inf where there is an image, no pixel where
            there is one, or an empty rectangle.
    """

    values: np.ndarray
    extent_mm: tuple[float, float, float, float]
    seen: np.ndarray | None = None
    labels: tuple[str, str] = ("lateral x (mm)", "depth z (mm)")

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        require_shape("Picture values", values.shape, "(rows, columns)", values.ndim == 2 and values.size > 0)
        seen = np.ones(values.shape, dtype=bool) if self.seen is None else np.asarray(self.seen, dtype=bool)
        require_shape(
            "Picture seen", seen.shape, f"{values.shape}, that of the values", seen.shape == values.shape
        )
        if not seen.any():
            raise ValueError("Picture: the mask of what is seen is empty: there is nothing to draw")
        bad = int((~np.isfinite(values[seen])).sum())
        if bad:
            raise ValueError(
                f"Picture holds {bad} NaN or infinite pixels: replace them, or mask them by seen"
            )
        left, right, bottom, top = (float(edge) for edge in self.extent_mm)
        require_positive("Picture", width_mm=abs(right - left), height_mm=abs(top - bottom))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "seen", seen)
        object.__setattr__(self, "extent_mm", (left, right, bottom, top))

    @classmethod
    def of_frame(cls, frame: Frame, which: int = 0, spacing_mm: float | None = None) -> Picture:
        """One image of a frame in its sector.

        Args:
            frame: rendered or real, on scanlines.
            which: image of the batch.
            spacing_mm: side of a pixel; by default the depth of one sample.
        """
        return cls.of_scanlines(frame[which].detach().scanlines[0], frame.probe, spacing_mm=spacing_mm)

    @classmethod
    def of_scanlines(
        cls,
        values: Float[Tensor, "S N"],
        probe: Probe,
        weights: Float[Tensor, "S N"] | None = None,
        spacing_mm: float | None = None,
    ) -> Picture:
        """Any values on scanlines in their sector.

        Args:
            values: S scanlines of N samples.
            probe: where they run.
            weights: above one half where a sample is to be seen; all of them by default.
            spacing_mm: side of a pixel; by default the depth of one sample.
        """
        expected = (probe.n_scanlines, probe.n_samples)
        require_shape(
            "values", values.shape, f"{expected}, that of the probe", tuple(values.shape) == expected
        )
        grid = PixelGrid.around(probe, spacing_mm)
        layers = [values] if weights is None else [values, weights.to(values)]
        drawn = to_cartesian(torch.stack(layers).detach().float().cpu(), probe, grid)
        seen = field_of_view(probe, grid)
        if weights is not None:
            seen = seen & (drawn[1] > 0.5)
        left, right, top, bottom = grid.edges_mm()
        return cls(drawn[0].numpy(), (left, right, bottom, top), seen.numpy())

    @classmethod
    def of_image(
        cls,
        image: Any,
        spacing_mm: float | Sequence[float],
        origin_mm: tuple[float, float] = (0.0, 0.0),
        seen: Any = None,
        labels: tuple[str, str] = ("lateral x (mm)", "depth z (mm)"),
    ) -> Picture:
        """A plain image, as a real frame: rows by columns, with or without colour channels.

        Whole numbers are divided by the largest of their type, so that grey values lie in [0, 1]; of colour
        channels the brightest counts.

        Args:
            image: (H, W), (H, W, 3) or (H, W, 4), array or tensor.
            spacing_mm: side of a pixel, or the distances between rows and between columns.
            origin_mm: x and z of the centre of the first pixel.
            seen: (H, W), where there is an image; everywhere by default.
            labels: of the axes.

        Raises:
            ValueError: for another shape, or a spacing that is not above zero.
        """
        values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
        fits = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))
        require_shape("image", values.shape, "(rows, columns), or with 3 or 4 colour channels last", fits)
        if np.issubdtype(values.dtype, np.integer):
            values = values / np.float32(np.iinfo(values.dtype).max)
        if values.ndim == 3:
            values = values[..., :3].max(axis=2)
        both = (spacing_mm, spacing_mm) if isinstance(spacing_mm, int | float) else tuple(spacing_mm)
        require_shape("spacing_mm", (len(both),), "(2,): between rows, between columns", len(both) == 2)
        require_positive("Picture", rows_spacing_mm=both[0], columns_spacing_mm=both[1])
        mask = None if seen is None else np.asarray(seen, dtype=bool)
        height, width = values.shape[0] * both[0], values.shape[1] * both[1]
        left, top = origin_mm[0] - both[1] / 2, origin_mm[1] - both[0] / 2
        return cls(values.astype(np.float32), (left, left + width, top + height, top), mask, labels)

    @classmethod
    def load(cls, path: str | os.PathLike[str], spacing_mm: float | Sequence[float]) -> Picture:
        """Read an image file, as a PNG of a real frame; see `of_image`.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it cannot be read as one image.
        """
        import SimpleITK as sitk

        from diffus.io.itk import quiet

        if not Path(path).is_file():
            raise FileNotFoundError(f"no such image: {path}")
        with quiet(Path(path)):
            image = sitk.ReadImage(str(path))
        return cls.of_image(sitk.GetArrayFromImage(image), spacing_mm)

    @property
    def mask(self) -> np.ndarray:
        """Where there is an image, (H, W)."""
        return np.ones(self.values.shape, dtype=bool) if self.seen is None else self.seen

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Distance between rows and between columns."""
        left, right, bottom, top = self.extent_mm
        rows, columns = self.values.shape
        return abs(bottom - top) / rows, abs(right - left) / columns

    @property
    def aspect(self) -> float:
        """Height over width."""
        left, right, bottom, top = self.extent_mm
        return abs(bottom - top) / abs(right - left)

    def onto(self, other: Picture) -> Picture:
        """The same on the pixels of another picture, bilinear; both must count mm from the same point.

        Raises:
            ValueError: when nothing of both lies over one another.
        """
        if self.values.shape == other.values.shape and np.allclose(self.extent_mm, other.extent_mm):
            return self
        row, column = _index_of(self, other)
        filled = np.where(self.mask, self.values, 0.0)
        values = _bilinear(filled, row, column)
        share = _bilinear(self.mask.astype(np.float32), row, column)
        seen = share > 0.5
        if not (seen & other.mask).any():
            raise ValueError(
                f"the pictures do not overlap: they reach over {_reach(self)} and {_reach(other)}; "
                "give both in one frame of reference (Picture.of_image has origin_mm)"
            )
        return Picture(values / np.where(seen, share, 1.0), other.extent_mm, seen, other.labels)


def picture(
    shown: Picture | Frame,
    ax: Axes | None = None,
    *,
    levels: tuple[float, float] = (0.0, 1.0),
    unit: str | None = None,
    title: str = "",
    **image_options: Any,
) -> Axes:
    """Draw a picture, axes in mm, black where there is no image.

    Args:
        shown: what to draw; of a frame its first image.
        ax: where; by default on a new figure.
        levels: values of black and white.
        unit: of the values, where a bar is wanted.
        title: of the axes.
        **image_options: passed on to ``imshow``.
    """
    drawn = as_picture(shown)
    ax = ax or new_axes(6.5, min(max(5.3 * drawn.aspect + 0.8, 3.0), 9.0))
    options = {"cmap": "gray", "vmin": levels[0], "vmax": levels[1]} | image_options
    masked = np.ma.masked_array(drawn.values, ~drawn.mask)
    image = ax.imshow(masked, extent=drawn.extent_mm, **options)
    ax.set_facecolor(OUTSIDE)
    ax.set(xlabel=drawn.labels[0], ylabel=drawn.labels[1], title=title)
    if unit is not None:
        ax.figure.colorbar(image, ax=ax, shrink=0.8).set_label(unit)
    return ax


def as_picture(shown: Picture | Frame, spacing_mm: float | None = None) -> Picture:
    """A picture as it is; of a frame, its first image in its sector."""
    return shown if isinstance(shown, Picture) else Picture.of_frame(shown, spacing_mm=spacing_mm)


def _index_of(moving: Picture, fixed: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Fractional rows and columns of one picture at the pixel centres of another."""
    rows, columns = fixed.values.shape
    left, right, bottom, top = fixed.extent_mm
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    z = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    left, right, bottom, top = moving.extent_mm
    column = (x - left) / (right - left) * moving.values.shape[1] - 0.5
    row = (z - top) / (bottom - top) * moving.values.shape[0] - 0.5
    return row, column


def _bilinear(values: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Values at every pair of a row and a column; 0 outside."""

    def weights(index: np.ndarray, size: int) -> np.ndarray:
        return np.maximum(0, 1 - np.abs(index[:, None] - np.arange(size)))

    return weights(row, values.shape[0]) @ values @ weights(column, values.shape[1]).T


def _reach(shown: Picture) -> str:
    left, right, bottom, top = shown.extent_mm
    return f"x {left:.1f} to {right:.1f}, z {top:.1f} to {bottom:.1f} mm"
