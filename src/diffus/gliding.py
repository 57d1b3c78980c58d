"""The surface that a transducer's face glides over, and frames carried along it."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.volume import Volume

SMOOTHING_MM = 4.0
"""Standard deviation of the smoothing: a face of 20 mm and more does not dip into a sulcus."""
FARTHEST_MM = 25.0
"""How far the middle of the face may be from the surface."""
_STEP_MM = 1.0
_HALF = 0.5
_NEAR_MM = 1e-3
_TRIES = 30


class Surface:
    """The half level of a mask, smoothed with a Gaussian, without a smoothed copy of the mask.

    The smoothed occupancy and its gradient at a point are weighted sums of the trilinear mask around it.

    Args:
        mask: non-zero inside.
        smoothing_mm: standard deviation of the Gaussian.
    """

    def __init__(self, mask: Volume, smoothing_mm: float = SMOOTHING_MM) -> None:
        self._inside = Volume(mask.data != 0, mask.world_from_voxel)
        axis = torch.arange(-7, 8, dtype=torch.float64) * smoothing_mm / 3
        offsets = torch.cartesian_prod(axis, axis, axis)
        offsets = offsets[offsets.norm(dim=1) <= 2.4 * smoothing_mm]
        weights = torch.exp(-(offsets**2).sum(dim=1) / (2 * smoothing_mm**2))
        self._offsets, self._weights = offsets, weights / weights.sum()
        self._slope = self._weights[:, None] * offsets / smoothing_mm**2

    def frames(
        self,
        near: Float64[Tensor, "4 4"],
        direction: Float64[Tensor, "3"],
        places_mm: Float64[Tensor, " T"],
    ) -> list[Float64[Tensor, "4 4"]]:
        """Frames on the surface along a way over it: z inwards, x the way.

        Args:
            near: pose whose face is at or near the surface.
            direction: world direction to leave in.
            places_mm: how far along the way, ascending; negative ones lie behind.

        Returns:
            The frame nearest to the pose, and one for each place.

        Raises:
            ValueError: when there is no surface within `FARTHEST_MM`, or it leaves ``direction`` open.
        """
        point, inwards = self._nearest(near[:3, 3], near[:3, 2])
        way = direction - (direction @ inwards) * inwards
        if float(way.norm()) < 0.1:
            raise ValueError(
                "the probe would slide straight into the surface or off it: turn it so that its face lies on "
                "the surface"
            )
        base = _frame(point, way / way.norm(), inwards)
        ahead = self._carried(base, places_mm[places_mm >= 0], 1.0)
        behind = self._carried(base, -places_mm[places_mm < 0].flip(0), -1.0)
        return [base, *reversed(behind), *ahead]

    def _carried(
        self, base: Float64[Tensor, "4 4"], places_mm: Float64[Tensor, " T"], sign: float
    ) -> list[Float64[Tensor, "4 4"]]:
        """Frames at ascending distances from the base, forwards or backwards."""
        frames, at, gone = [], base, 0.0
        for place in places_mm.tolist():
            while place - gone > 1e-9:
                step = min(_STEP_MM, place - gone)
                at = self._stepped(at, sign * step)
                gone += step
            frames.append(at)
        return frames

    def _stepped(self, frame: Float64[Tensor, "4 4"], step_mm: float) -> Float64[Tensor, "4 4"]:
        """One step along x, back onto the surface, x turned no more than the new tangent plane asks for."""
        point, inwards = self._onto(frame[:3, 3] + step_mm * frame[:3, 0], frame[:3, 2])
        moved = point - frame[:3, 3]
        point, inwards = self._onto(frame[:3, 3] + abs(step_mm) * moved / moved.norm(), inwards)
        way = frame[:3, 0] - (frame[:3, 0] @ inwards) * inwards
        return _frame(point, way / way.norm(), inwards)

    def _nearest(
        self, point: Float64[Tensor, "3"], beam: Float64[Tensor, "3"]
    ) -> tuple[Float64[Tensor, "3"], Float64[Tensor, "3"]]:
        """The surface along the beam from FARTHEST_MM before the face to as far behind it."""
        depths = torch.arange(-FARTHEST_MM, FARTHEST_MM, 1.0, dtype=torch.float64)
        levels, _ = self._level(point + depths[:, None] * beam)
        enters = ((levels[:-1] < _HALF) & (levels[1:] >= _HALF)).nonzero().flatten()
        if len(enters) == 0:
            raise ValueError(
                f"no surface within {FARTHEST_MM:g} mm of the face at "
                f"{[round(v, 1) for v in point.tolist()]} mm along its beam: stand the probe on the surface"
            )
        nearest = enters[depths[enters].abs().argmin()]
        return self._onto(point + depths[nearest] * beam, beam)

    def _onto(
        self, point: Float64[Tensor, "3"], along: Float64[Tensor, "3"]
    ) -> tuple[Float64[Tensor, "3"], Float64[Tensor, "3"]]:
        """The surface from a point near it along a direction, and its inward normal there."""
        for _ in range(_TRIES):
            level, slope = self._level(point)
            rise = float(slope @ along)
            if abs(rise) < 1e-4:
                break
            move = max(-2.0, min(2.0, (_HALF - float(level)) / rise))
            point = point + move * along
            if abs(move) < _NEAR_MM:
                _, slope = self._level(point)
                return point, slope / slope.norm()
        raise ValueError(
            f"the surface ends near {[round(v, 1) for v in point.tolist()]} mm: slide less far, or start "
            "elsewhere"
        )

    def _level(
        self, points: Float64[Tensor, "*P 3"]
    ) -> tuple[Float64[Tensor, "*P"], Float64[Tensor, "*P 3"]]:
        """Smoothed occupancy, and its gradient per mm."""
        inside = self._inside.sample(points[..., None, :] + self._offsets)
        return inside @ self._weights, inside @ self._slope


def _frame(
    point: Float64[Tensor, "3"], way: Float64[Tensor, "3"], inwards: Float64[Tensor, "3"]
) -> Float64[Tensor, "4 4"]:
    frame = torch.eye(4, dtype=torch.float64)
    frame[:3, 0], frame[:3, 2], frame[:3, 3] = way, inwards, point
    frame[:3, 1] = torch.linalg.cross(inwards, way)
    return frame
