"""Plain shapes: tubes, balls and arrows, as points and triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int


class Shape(NamedTuple):
    """Corners, and the triangles between them."""

    points: Float64[np.ndarray, "P 3"]
    triangles: Int[np.ndarray, "T 3"]


def joined(shapes: list[Shape]) -> Shape:
    """Several shapes as one."""
    starts = np.cumsum([0, *(len(shape.points) for shape in shapes[:-1])])
    triangles = [shape.triangles + start for shape, start in zip(shapes, starts, strict=True)]
    return Shape(np.concatenate([shape.points for shape in shapes]), np.concatenate(triangles))


def stitched(rings: Float64[np.ndarray, "R C 3"], closed: bool = True) -> Shape:
    """The skin over rings of corners, each joined to the next.

    Args:
        rings: R rings of C corners, counter-clockwise as seen from the last ring.
        closed: whether the last corner of a ring joins the first.
    """
    n_rings, n_corners = rings.shape[:2]
    ring = np.arange(n_rings - 1)[:, None] * n_corners
    corner = np.arange(n_corners if closed else n_corners - 1)
    following = (corner + 1) % n_corners
    a, b = (ring + corner).ravel(), (ring + following).ravel()
    c, d = a + n_corners, b + n_corners
    return Shape(rings.reshape(-1, 3), np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]))


def tube(line: Float64[np.ndarray, "L 3"], radius_mm: float | np.ndarray, n_sides: int = 10) -> Shape:
    """A round tube along a line, closed at both ends; a radius of its own at each point makes it taper.

    The cross-section is carried along the line without twist. Points that follow each other in the same place
    count once.

    Raises:
        ValueError: when the line has no length.
    """
    radii = np.broadcast_to(np.asarray(radius_mm, dtype=np.float64), len(line))
    moved = np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-9]
    line, radii = line[moved], radii[moved]
    if len(line) < 2:
        raise ValueError("a tube needs two different points: the line has no length")
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True).clip(1e-12)
    turn = np.linspace(0, 2 * np.pi, n_sides, endpoint=False)
    side = np.eye(3)[np.abs(along[0]).argmin()]
    rings = []
    for centre, direction, radius in zip(line, along, radii, strict=True):
        side = side - (side @ direction) * direction
        side = side / np.linalg.norm(side)
        other = np.cross(direction, side)
        rings.append(centre + radius * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other))
    ends = [np.broadcast_to(line[end], (n_sides, 3)) for end in (0, -1)]
    return stitched(np.stack([ends[0], *rings, ends[1]]))


def arrow(
    start: Float64[np.ndarray, " 3"], stop: Float64[np.ndarray, " 3"], radius_mm: float, head_mm: float
) -> Shape:
    """An arrow whose tip lies at ``stop``."""
    length = float(np.linalg.norm(stop - start))
    neck = stop - (stop - start) * min(head_mm / length, 0.9)
    shaft = tube(np.stack([start, neck]), radius_mm)
    tip = tube(np.stack([neck, stop]), np.array([2.6 * radius_mm, 1e-3 * radius_mm]), 14)
    return joined([shaft, tip])


def ball(centre: Float64[np.ndarray, " 3"], radius_mm: float, n: int = 12) -> Shape:
    """A ball of ``n`` parallels and twice as many meridians."""
    down = np.linspace(np.pi, 0, n + 1)
    around = np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
    rim, height = np.sin(down)[:, None], np.cos(down)[:, None]
    unit = np.stack([rim * np.cos(around), rim * np.sin(around), height + 0 * around], axis=-1)
    return stitched(centre + radius_mm * unit)
