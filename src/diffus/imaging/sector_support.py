"""The support of an ultrasound image: where it shows echoes, without dark background, text and markers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from jaxtyping import Bool, Float

LEVEL_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1)
"""Levels above the darkest value, as shares of the span to the 99.5th percentile, that may bound the support.

The lowest serves an image whose background is one value; the others serve lossy compression and noise."""
_SPACING_PER_RADIUS = 150


def support_levels(image: Float[np.ndarray, "..."]) -> list[float]:
    """Grey levels that may separate the background, which is taken to be dark, from the support."""
    darkest = float(image.min())
    span = float(np.quantile(image, 0.995)) - darkest
    return [darkest + share * span for share in LEVEL_SHARES]


def largest_piece(mask: Bool[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """The largest piece of a 2D or 3D mask, small gaps closed, thin bridges cut and holes filled."""
    radius = max(1, round(max(mask.shape) / _SPACING_PER_RADIUS))
    margin = [2 * radius + 2] * mask.ndim
    padded = sitk.ConstantPad(sitk.GetImageFromArray(mask.astype(np.uint8)), margin, margin, 0)
    closed = sitk.BinaryMorphologicalClosing(padded, [radius] * mask.ndim)
    opened = sitk.BinaryMorphologicalOpening(closed, [2 * radius] * mask.ndim)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(opened))
    filled = sitk.BinaryFillhole(pieces == 1)
    return sitk.GetArrayFromImage(sitk.Crop(filled, margin, margin)) > 0


def bounding_box(mask: Bool[np.ndarray, "..."]) -> tuple[slice, ...]:
    """The smallest box that holds the mask, which must not be empty."""
    box = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)


def border_points(
    support: Bool[np.ndarray, "H W"], known: Bool[np.ndarray, "H W"], spacing: Sequence[float]
) -> Float[np.ndarray, "P 2"]:
    """Middles of the pixel faces between the support and the dark.

    Faces on the sides of the bounding box are left out: an image that is cut to a rectangle ends there,
    whatever the sector does. So are faces to pixels whose value is not known.
    """
    rows, columns = bounding_box(support)
    low = np.array([rows.start, columns.start]) - 0.5
    high = np.array([rows.stop, columns.stop]) - 0.5
    found = []
    for axis in (0, 1):
        both_known = np.logical_and(*_neighbours(known, axis))
        faces = np.argwhere(np.not_equal(*_neighbours(support, axis)) & both_known).astype(float)
        faces[:, axis] += 0.5
        found.append(faces)
    points = np.concatenate(found)
    on_box = ((points < low + 1.1) | (points > high - 1.1)).any(axis=1)
    return points[~on_box] * np.asarray(spacing)


def _neighbours(mask: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    return np.delete(mask, -1, axis), np.delete(mask, 0, axis)
