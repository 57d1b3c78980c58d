"""What a scene is made of: triangles with a colour, triangles with a picture, and words. All in RAS+ mm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int, UInt8

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """A shaded surface.

    Args:
        name: what it is, for the legend.
        points: corners in world mm.
        triangles: three corners each, counter-clockwise as seen from outside.
        colour: of the whole.
        opacity: 1 hides what lies behind.
        point_colours: of each corner, instead of ``colour``.
        listed: whether the legend names it.
    """

    name: str
    points: Float64[np.ndarray, "P 3"]
    triangles: Int[np.ndarray, "T 3"]
    colour: Colour
    opacity: float = 1.0
    point_colours: Float[np.ndarray, "P 3"] | None = None
    listed: bool = False

    def normals(self) -> Float64[np.ndarray, "P 3"]:
        """Unit normals at the corners: the mean of the triangles there, weighted by their area."""
        a, b, c = (self.points[self.triangles[:, corner]] for corner in range(3))
        across = np.cross(b - a, c - a)
        total = np.zeros_like(self.points)
        for corner in range(3):
            for axis in range(3):
                total[:, axis] += np.bincount(
                    self.triangles[:, corner], across[:, axis], minlength=len(total)
                )
        return total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)


@dataclass(frozen=True, eq=False)
class Picture:
    """A flat image in space, shown with its own grey values, without light or shade.

    Args:
        name: what it is.
        points: corners in world mm.
        triangles: three corners each.
        places: where each corner lies in the image, as shares of its width (to the right) and height (down).
        image: grey or colour, rows from the top.
        behind: whether another picture in the same plane covers this one.
    """

    name: str
    points: Float64[np.ndarray, "P 3"]
    triangles: Int[np.ndarray, "T 3"]
    places: Float64[np.ndarray, "P 2"]
    image: UInt8[np.ndarray, "H W"] | UInt8[np.ndarray, "H W 3"]
    behind: bool = False


@dataclass(frozen=True, eq=False)
class Label:
    """Words at a place of the world.

    Args:
        name: the words.
        at_mm: the place.
        colour: of the words.
    """

    name: str
    at_mm: Float64[np.ndarray, " 3"]
    colour: Colour


Part = Mesh | Picture | Label
