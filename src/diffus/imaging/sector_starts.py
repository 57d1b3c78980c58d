"""Where to start fitting a sector: between every two straight lines that the border of the support follows.

The lines come from the Hough transform in its normal form (Duda and Hart, Comm ACM 15:11, 1972): angle of the
normal and signed distance from the origin.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float

N_LINES = 7
"""Lines looked at; two of them should be the sides, the others are borders of shadows and of cut corners."""
_MIN_ANGLE_DEG = 2.0

Line = tuple[float, float]


def sector_starts(
    support: Float[np.ndarray, "S 2"], border: Float[np.ndarray, "P 2"], pitch: float
) -> list[Float[np.ndarray, "6"]]:
    """Sectors (apex, axis, half opening, inner and outer radius) between pairs of straight lines.

    Args:
        support: points of the support.
        border: points of its border.
        pitch: side of a pixel.
    """
    lines = straight_lines(border, pitch)
    wedges = (_wedge(support, one, other) for one, other in itertools.combinations(lines, 2))
    return [wedge for wedge in wedges if wedge is not None]


def straight_lines(border: Float[np.ndarray, "P 2"], pitch: float, count: int = N_LINES) -> list[Line]:
    """Lines (angle of the normal in radians, offset) that hold the most border points, the best first.

    The points of a line no longer count for the next.
    """
    angles = np.radians(np.arange(180.0))
    offsets = border @ np.stack([np.cos(angles), np.sin(angles)])
    width = 1.5 * pitch
    low = float(offsets.min())
    bins = ((offsets - low) / width).astype(int)
    size = int(bins.max()) + 2
    votes = np.stack([np.bincount(column, minlength=size) for column in bins.T])
    free = np.ones(len(border), dtype=bool)
    lines = []
    for _ in range(count):
        pairs = votes[:, :-1] + votes[:, 1:]  # a line on the edge of a bin counts in full
        row, column = np.unravel_index(int(pairs.argmax()), pairs.shape)
        offset = low + (int(column) + 1) * width
        lines.append((float(angles[row]), offset))
        taken = free & (np.abs(offsets[:, row] - offset) < 2.5 * width)
        free &= ~taken
        votes = votes - np.stack([np.bincount(column[taken], minlength=size) for column in bins.T])
        if not free.any():
            break
    return lines


def _wedge(support: np.ndarray, one: Line, other: Line) -> np.ndarray | None:
    """The sector between two lines on the side of the support; none for lines that are nearly parallel."""
    normals = np.array([[math.cos(angle), math.sin(angle)] for angle, _ in (one, other)])
    if abs(np.linalg.det(normals)) < math.sin(math.radians(_MIN_ANGLE_DEG)):
        return None
    apex = np.linalg.solve(normals, np.array([one[1], other[1]]))
    away = support - apex
    inward = normals * np.where(np.median(normals @ away.T, axis=1) < 0, -1.0, 1.0)[:, None]
    axis = inward.sum(axis=0)
    half = math.acos(float(np.clip(-inward[0] @ inward[1], -1, 1))) / 2
    inner, outer = np.quantile(np.linalg.norm(away, axis=1), [0.005, 0.995])
    return np.array([*apex, math.atan2(axis[1], axis[0]), half, inner, outer])
