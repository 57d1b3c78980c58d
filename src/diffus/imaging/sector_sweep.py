"""A sector carried through space: the shape of a swept volume, and its fit to a support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from diffus.imaging.sector_fit import EMPTY_WEIGHT, SectorShape, differences, levenberg_marquardt

_LARGEST_TURN = 0.03
"""Largest turn per mm of sweep, in radians: 1.7 degrees."""
_LARGEST_RADIUS_MM = 400.0
_UNIT = np.array([30.0, 30, 30, 1, 1, 1, 1, 30, 30, 30, 1, 1, 0.03, 0.03, 0.03])
_STEADY = np.array([0.02, 0.02, 1.5, 1.5, 1.5])
"""Pull of the rates of drift and turn to zero: a steady hand is likelier."""

Axes = tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]


class SweptSector(NamedTuple):
    """A sector and how it moves.

    Probe frame of the plane at t = 0: x lateral, y across the plane, z along the central scanline, origin
    half way down it. Plane t is shifted by t (drift_x, 1, drift_z) and turned by t * turn about the axes.

    Args:
        values: centre (3), rotation vector of the frame (3), half opening, inner and outer radius, half the
            length of the sweep (t runs from its negative to it), drift along x and z, turn about x, y and z
            in radians per mm.
    """

    values: Float[np.ndarray, "15"]

    @classmethod
    def through(
        cls, shape: SectorShape, corner: Float[np.ndarray, "3"], axes: Axes, extent: Sequence[float]
    ) -> SweptSector:
        """A steady sweep straight across a plane.

        Args:
            shape: sector in the plane's coordinates.
            corner: their origin.
            axes: their directions.
            extent: where the sweep begins and ends along the plane's normal, the cross product of the axes.
        """
        z = math.cos(shape.axis) * axes[0] + math.sin(shape.axis) * axes[1]
        x = math.cos(shape.axis) * axes[1] - math.sin(shape.axis) * axes[0]
        y = np.cross(z, x)
        middle = (shape.inner + shape.outer) / 2
        low, high = extent
        across = (low + high) / 2 * np.cross(*axes)
        centre = corner + shape.apex[0] * axes[0] + shape.apex[1] * axes[1] + middle * z + across
        turn = _rotation_vector(np.stack([x, y, z], axis=1))
        geometry = [shape.half_opening, shape.inner, shape.outer, (high - low) / 2]
        return cls(np.concatenate([centre, turn, geometry, np.zeros(5)]))

    def distances(self, points: Float[np.ndarray, "P 3"]) -> Float[np.ndarray, "6 P"]:
        """Distances to inner and outer arc, both sides, first and last plane; positive inside.

        The turns are taken to first order in t where they move a point from plane to plane.
        """
        return _distances(self.values, points)

    def overlap(self, points: Float[np.ndarray, "P 3"], inside: Bool[np.ndarray, " P"]) -> float:
        """Intersection over union with a support on a grid of points."""
        covered = (self.distances(points) >= 0).all(axis=0)
        return float((covered & inside).sum() / max((covered | inside).sum(), 1))

    def plane(self, share: float) -> tuple[Float[np.ndarray, "3"], Axes]:
        """Middle of the sector and axes z and x of a plane, ``share`` of the length from the middle on."""
        return self._plane_at(2 * share * float(self.values[9]))

    def shape(self, share: float, corner: Float[np.ndarray, "3"]) -> SectorShape:
        """The sector in the coordinates of a plane, as given by `plane`, from a point of it."""
        middle, (z, x) = self.plane(share)
        half, inner, outer = (float(v) for v in self.values[6:9])
        apex = middle - (inner + outer) / 2 * z - corner
        return SectorShape((float(apex @ z), float(apex @ x)), 0.0, half, inner, outer)

    @property
    def opening_deg(self) -> float:
        """Angle between the outer scanlines."""
        return math.degrees(2 * self.values[6])

    @property
    def turn_deg(self) -> float:
        """Angle by which the probe turns from the first plane to the last."""
        return math.degrees(2 * self.values[9] * float(np.linalg.norm(self.values[12:15])))

    def direction(self) -> Float[np.ndarray, "3"]:
        """Unit vector from the middle of the face in the first plane to that in the last."""
        half_depth = (self.values[8] - self.values[7]) / 2
        faces = []
        for t in (-self.values[9], self.values[9]):
            middle, (z, _) = self._plane_at(float(t))
            faces.append(middle - half_depth * z)
        way = faces[1] - faces[0]
        return way / np.linalg.norm(way)

    def _plane_at(self, t: float) -> tuple[np.ndarray, Axes]:
        frame = rotation_matrix(self.values[3:6])
        drift_x, drift_z = self.values[10:12]
        moved = frame @ rotation_matrix(t * self.values[12:15])
        return self.values[:3] + t * frame @ np.array([drift_x, 1.0, drift_z]), (moved[:, 2], moved[:, 0])


def fit_sweep(
    start: SweptSector,
    points: Float[np.ndarray, "P 3"],
    inside: Bool[np.ndarray, " P"],
    softness_mm: Sequence[float],
) -> SweptSector:
    """Fit a swept sector to a support by least squares between it and a sweep with soft edges.

    Args:
        start: where to start.
        points: regular grid around the support.
        inside: which points belong to it.
        softness_mm: width of the soft edges, stage by stage.
    """
    weight, truth = np.sqrt(np.where(inside, 1.0, EMPTY_WEIGHT)), inside.astype(float)
    pull = math.sqrt(len(points))
    values = start.values
    for softness in softness_mm:

        def errors(trial: np.ndarray, softness: float = softness) -> np.ndarray:
            soft = 1 / (1 + np.exp(-np.clip(_distances(trial, points) / softness, -30, 30)))
            small = 0.002 * np.array([trial[6], trial[8] / 60])
            return np.concatenate(
                [weight * (soft.prod(axis=0) - truth), pull * small, pull * _STEADY * trial[10:]]
            )

        values = levenberg_marquardt(
            errors, differences(errors, 1e-5 * _UNIT), values, _UNIT, _bounded, steps=12
        )
    return SweptSector(values)


def plane_axes(normal: Float[np.ndarray, "3"]) -> Axes:
    """Two unit vectors at right angles to each other, whose cross product is the unit normal."""
    hint = np.eye(3)[int(np.abs(normal).argmin())]
    first = np.cross(normal, hint)
    first /= np.linalg.norm(first)
    return first, np.cross(normal, first)


def rotation_matrix(vector: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation about a vector by its length in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    import roma
    import torch

    return roma.rotmat_to_rotvec(torch.from_numpy(matrix)).numpy()


def _distances(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    half, inner, outer, reach, drift_x, drift_z, turn_x, turn_y, turn_z = values[6:]
    x, y, z = ((points - values[:3]) @ rotation_matrix(values[3:6])).T
    t = y / np.clip(1 - turn_x * z + turn_z * x, 0.2, None)
    x, z = x - drift_x * t, z - drift_z * t
    cosine, sine = np.cos(turn_y * t), np.sin(turn_y * t)
    x, z = cosine * x - sine * z, sine * x + cosine * z + (inner + outer) / 2
    radius, rise, aside = np.hypot(x, z), z * math.sin(half), x * math.cos(half)
    return np.stack([radius - inner, outer - radius, rise + aside, rise - aside, reach + t, reach - t])


def _bounded(values: np.ndarray) -> np.ndarray:
    bounded = values.copy()
    bounded[6] = np.clip(values[6], math.radians(1), math.radians(89.5))
    bounded[7] = np.clip(values[7], 0.0, _LARGEST_RADIUS_MM)
    bounded[8] = max(values[8], bounded[7] + 5.0)
    bounded[9] = max(values[9], 2.0)
    bounded[10:12] = np.clip(values[10:12], -1.0, 1.0)
    bounded[12:] = np.clip(values[12:], -_LARGEST_TURN, _LARGEST_TURN)
    return bounded
