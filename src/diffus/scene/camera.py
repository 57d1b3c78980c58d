"""Where a scene is seen from. The projection is parallel, so that a millimetre is as long everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.surface import DIRECTIONS

VIEWS = (*DIRECTIONS, "probe", "image", "oblique")
"""Named views: from an anatomical side; from behind the probe; square onto the B-mode image as a scanner
shows it; and onto its image side from above the probe."""

_BEFORE_ANY_PROBE = np.array([-0.80, 0.50, 0.35])


@dataclass(frozen=True, eq=False)
class Camera:
    """A parallel projection.

    Args:
        centre_mm: world point in the middle of the picture.
        towards_eye: unit vector from the scene to the eye.
        up: unit vector, upwards in the picture.
        half_height_mm: from the middle to the upper edge.
    """

    centre_mm: Float64[np.ndarray, " 3"]
    towards_eye: Float64[np.ndarray, " 3"]
    up: Float64[np.ndarray, " 3"]
    half_height_mm: float

    @property
    def right(self) -> Float64[np.ndarray, " 3"]:
        """Unit vector, to the right in the picture."""
        return np.cross(self.up, self.towards_eye)

    def pixels_per_mm(self, size: tuple[int, int]) -> float:
        """The scale of a picture of ``size`` (width, height)."""
        return size[1] / (2 * self.half_height_mm)

    def project(self, points: Float[np.ndarray, "P 3"], size: tuple[int, int]) -> Float64[np.ndarray, "P 2"]:
        """Columns and rows of world points in a picture; the upper left corner is (0, 0)."""
        seen = (points - self.centre_mm) @ np.stack([self.right, -self.up], axis=1)
        return seen * self.pixels_per_mm(size) + np.array(size) / 2


def camera_for(
    points: Float[np.ndarray, "P 3"],
    view: str | Sequence[float] | Float[Tensor, "3"],
    world_from_probe: Float64[Tensor, "4 4"] | None,
    size: tuple[int, int],
    margin: float = 0.08,
) -> Camera:
    """A camera that looks from a side and has all points in its picture.

    Args:
        points: what is to be seen.
        view: a name of `VIEWS`, or a world direction from the scene to the eye.
        world_from_probe: pose that the views ``probe``, ``image`` and ``oblique`` go by.
        size: width and height of the picture.
        margin: share of the picture left free at every edge.

    Raises:
        ValueError: for an unknown view, a direction of no length, or a view of the probe where there is none.
    """
    eye, up = _directions(view, world_from_probe)
    right = np.cross(up, eye)
    across, upwards = points @ right, points @ up
    middle = (across.max() + across.min()) / 2 * right + (upwards.max() + upwards.min()) / 2 * up
    depth = points @ eye
    middle = middle + (depth.max() + depth.min()) / 2 * eye
    share = 1 - 2 * margin
    half = max(np.ptp(upwards), np.ptp(across) * size[1] / size[0]) / (2 * share)
    return Camera(middle, eye, up, max(float(half), 1.0))


def _directions(
    view: str | Sequence[float] | Tensor, world_from_probe: Tensor | None
) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    """Towards the eye, and up."""
    if not isinstance(view, str):
        eye = np.asarray(view, dtype=np.float64)
        if eye.shape != (3,) or not np.linalg.norm(eye) > 0:
            raise ValueError(f"view must be one of {', '.join(VIEWS)} or a direction (x, y, z), got {view}")
        return _upright(eye)
    if view in DIRECTIONS:
        return _upright(np.array(DIRECTIONS[view]))
    if view not in VIEWS:
        raise ValueError(
            f"unknown view {view!r}: expected one of {', '.join(VIEWS)}, or a direction (x, y, z)"
        )
    if world_from_probe is None:
        if view == "oblique":
            return _upright(_BEFORE_ANY_PROBE)
        raise ValueError(f"view {view!r} needs a probe: add a frame or a probe to the scene first")
    # Columns of the rotation: lateral, elevation and depth. Seen from +y the image is as a scanner shows it,
    # with the first scanline on the left and depth downwards.
    lateral, elevation, depth = world_from_probe[:3, :3].detach().cpu().double().numpy().T
    if view == "image":
        return elevation, -depth
    if view == "probe":
        return _upright(-depth + 0.45 * elevation + 0.25 * lateral)
    return _upright(elevation - 0.55 * depth + 0.35 * lateral)


def _upright(eye: Float64[np.ndarray, " 3"]) -> tuple[Float64[np.ndarray, " 3"], Float64[np.ndarray, " 3"]]:
    """With superior up, or where one looks along it, anterior."""
    eye = eye / np.linalg.norm(eye)
    hints = [np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])]
    hint = next(hint for hint in hints if abs(hint @ eye) < 0.9)
    up = hint - (hint @ eye) * eye
    return eye, up / np.linalg.norm(up)


def direction_letters(camera: Camera) -> list[tuple[str, Float64[np.ndarray, " 2"], float]]:
    """R, A and S: where each points in the picture (right, up), and towards the eye."""
    axes = zip("RAS", np.eye(3), strict=True)
    return [
        (letter, np.array([axis @ camera.right, axis @ camera.up]), float(axis @ camera.towards_eye))
        for letter, axis in axes
    ]
