"""Fit a sector to a support: from several starts, by area and then by the border, robustly.

A sector is six numbers (`SectorShape`) in a plane whose two coordinates share one unit. Its four edges are
full lines and full circles with signed distances, positive inside; a wedge of up to 180 degrees is what lies
on the inner side of all four.

The area fit minimises the squared difference between the support and a sector with soft edges, by
Levenberg-Marquardt (Marquardt, J SIAM 11:431, 1963). The border fit is an iterated closest-point fit (Besl
and McKay, IEEE TPAMI 14:239, 1992) with residuals reweighted by Tukey's biweight (Beaton and Tukey,
Technometrics 16:147, 1974), so that shadows, stubs and cut corners do not pull.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EMPTY_WEIGHT = 0.5
"""What an empty point in the sector costs beside a point of the support outside it: shadows are common."""
MAX_HALF_OPENING = math.radians(89.5)
MIN_HALF_OPENING = math.radians(1.0)
HELD = 20.0
"""Pull, per border point's residual of a pixel, of an edge that no border point shows to where it was."""

Points = Float[np.ndarray, "P 2"]
Errors = Callable[[np.ndarray], np.ndarray]


class SectorShape(NamedTuple):
    """A sector in the plane.

    Args:
        apex: where the outer scanlines meet, first and second coordinate.
        axis: direction of the central scanline, in radians from the first coordinate towards the second.
        half_opening: half the angle between the outer scanlines, in radians.
        inner: radius at which the scanlines start.
        outer: radius at which they end.
    """

    apex: tuple[float, float]
    axis: float
    half_opening: float
    inner: float
    outer: float

    @classmethod
    def of(cls, values: Float[np.ndarray, "6"]) -> SectorShape:
        """From its six numbers in order."""
        first, second, axis, half, inner, outer = (float(v) for v in values)
        return cls((first, second), axis, half, inner, outer)

    def values(self) -> Float[np.ndarray, "6"]:
        """The six numbers in order."""
        return np.array([*self.apex, self.axis, self.half_opening, self.inner, self.outer])

    def distances(self, points: Points) -> Float[np.ndarray, "4 P"]:
        """Signed distances to the inner arc, the outer arc, and the sides at -half and +half opening."""
        return _distances(self.values(), points)

    def contains(self, points: Points) -> Bool[np.ndarray, " P"]:
        """Which points lie inside."""
        return np.all(self.distances(points) >= 0, axis=0)

    def edges(self, pitch: float) -> list[tuple[Points, Points]]:
        """Points along each edge, in the order of `distances`, with the unit vectors that point outwards."""
        return [
            _arc(self, self.inner, pitch, -1.0),
            _arc(self, self.outer, pitch, 1.0),
            _side(self, -1.0, pitch),
            _side(self, 1.0, pitch),
        ]


def fit_area(points: Points, inside: Bool[np.ndarray, " P"], start: SectorShape, pitch: float) -> SectorShape:
    """The sector that covers the points inside and few of the others.

    Args:
        points: all known points of a regular grid in the bounding box of the support. Beyond it the sector
            may go on unseen, as it does where an image is cut to a rectangle.
        inside: which of them belong to the support.
        start: where to start.
        pitch: distance between the points.
    """
    weight = np.sqrt(np.where(inside, 1.0, EMPTY_WEIGHT))
    size = float(np.ptp(points, axis=0).max())
    values = start.values()
    for softness in (0.03 * size, 0.012 * size, 0.7 * pitch):
        values = _minimise(*_area_errors(points, inside, weight, softness, size), values, size, steps=20)
    return SectorShape.of(values)


def fit_border(border: Points, start: SectorShape, pitch: float) -> SectorShape:
    """Move the edges of a sector that is nearly right onto the border of the support.

    Args:
        border: points of the border.
        start: where to start.
        pitch: side of a pixel.
    """
    size, values = start.outer, start.values()
    held_at, hold = values, HELD / np.array([size, size, 1.0, 1.0, size, size])
    for reach in (10.0, 6.0, 4.0, 3.0, 2.5, 2.0):
        nearest, distance = closest_edge(SectorShape.of(values), border)
        weight = np.clip(1 - (distance / (reach * pitch)) ** 2, 0, None) / pitch  # root of Tukey's biweight
        values = _minimise(*_border_errors(border, nearest, weight, held_at, hold), values, size, steps=6)
    return SectorShape.of(values)


def closest_edge(shape: SectorShape, points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Number of the nearest edge of each point, in the order of `SectorShape.distances`, and its distance.

    The distance is to the edge itself, not to the line or circle that carries it.
    """
    signed = shape.distances(points)
    reach = np.empty_like(signed)
    for edge in range(4):
        beyond = np.clip(-np.delete(signed, edge, axis=0), 0, None)
        reach[edge] = np.hypot(signed[edge], np.linalg.norm(beyond, axis=0))
    nearest = reach.argmin(axis=0)
    return nearest, np.take_along_axis(reach, nearest[None], axis=0)[0]


def _arc(shape: SectorShape, radius: float, pitch: float, outwards: float) -> tuple[np.ndarray, np.ndarray]:
    count = max(2, math.ceil(2 * shape.half_opening * radius / pitch))
    angles = shape.axis + np.linspace(-shape.half_opening, shape.half_opening, count)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.array(shape.apex) + radius * directions, outwards * directions


def _side(shape: SectorShape, sign: float, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    angle = shape.axis + sign * shape.half_opening
    direction = np.array([math.cos(angle), math.sin(angle)])
    outwards = sign * np.array([-direction[1], direction[0]])
    count = max(2, math.ceil((shape.outer - shape.inner) / pitch))
    points = np.array(shape.apex) + np.linspace(shape.inner, shape.outer, count)[:, None] * direction
    return points, np.broadcast_to(outwards, points.shape)


def _distances(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    first, second, axis, half, inner, outer = values
    a, b = points[:, 0] - first, points[:, 1] - second
    along, across = a * math.cos(axis) + b * math.sin(axis), b * math.cos(axis) - a * math.sin(axis)
    radius = np.hypot(a, b)
    rise, aside = along * math.sin(half), across * math.cos(half)
    return np.stack([radius - inner, outer - radius, rise + aside, rise - aside])


def _slopes(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Derivatives of the four distances by the six numbers, (4, 6, P)."""
    first, second, axis, half, _, _ = values
    a, b = points[:, 0] - first, points[:, 1] - second
    c, s, cosine, sine = math.cos(axis), math.sin(axis), math.cos(half), math.sin(half)
    along, across = a * c + b * s, b * c - a * s
    radius = np.hypot(a, b) + 1e-12
    slopes = np.zeros((4, 6, len(points)))
    slopes[0, :2] = -a / radius, -b / radius
    slopes[1, :2] = -slopes[0, :2]
    slopes[0, 4], slopes[1, 5] = -1.0, 1.0
    for side, sign in ((2, 1.0), (3, -1.0)):
        slopes[side, 0] = -c * sine + sign * s * cosine
        slopes[side, 1] = -s * sine - sign * c * cosine
        slopes[side, 2] = across * sine - sign * along * cosine
        slopes[side, 3] = along * cosine - sign * across * sine
    return slopes


def _area_errors(
    points: np.ndarray, inside: np.ndarray, weight: np.ndarray, softness: float, size: float
) -> tuple[Errors, Errors]:
    """Errors of a soft sector, and their derivatives."""
    truth = inside.astype(float)
    # What lies beyond the box is free: a weak pull towards a small sector keeps it from running away.
    pull = 0.003 * math.sqrt(len(points)) * np.array([[0, 0, 0, 0, 0, 1 / size], [0, 0, 0, 1.0, 0, 0]])

    def soft_edges(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.clip(_distances(values, points) / softness, -30, 30)))

    def errors(values: np.ndarray) -> np.ndarray:
        return np.concatenate([weight * (soft_edges(values).prod(axis=0) - truth), pull @ values])

    def derivatives(values: np.ndarray) -> np.ndarray:
        soft = soft_edges(values)
        share = (1 - soft) / softness * (weight * soft.prod(axis=0))
        return np.concatenate([np.einsum("ep,enp->pn", share, _slopes(values, points)), pull])

    return errors, derivatives


def _border_errors(
    border: np.ndarray, nearest: np.ndarray, weight: np.ndarray, held_at: np.ndarray, hold: np.ndarray
) -> tuple[Errors, Errors]:
    """Weighted distances of border points to their edges, and their derivatives."""
    number = np.arange(len(border))

    def errors(values: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [weight * _distances(values, border)[nearest, number], hold * (values - held_at)]
        )

    def derivatives(values: np.ndarray) -> np.ndarray:
        return np.concatenate([weight[:, None] * _slopes(values, border)[nearest, :, number], np.diag(hold)])

    return errors, derivatives


def _minimise(errors: Errors, derivatives: Errors, start: np.ndarray, size: float, steps: int) -> np.ndarray:
    unit = np.array([size, size, 1.0, 1.0, size, size])

    def bounded(values: np.ndarray) -> np.ndarray:
        half = np.clip(values[3], MIN_HALF_OPENING, MAX_HALF_OPENING)
        inner = max(values[4], 0.0)
        return np.array([*values[:3], half, inner, max(values[5], inner + 0.02 * size)])

    return levenberg_marquardt(errors, derivatives, start, unit, bounded, steps)


def differences(errors: Errors, step: Float[np.ndarray, " N"]) -> Errors:
    """Derivatives of errors by forward differences with a step for each unknown."""

    def derivatives(values: np.ndarray) -> np.ndarray:
        here = errors(values)
        return np.stack([(errors(values + shift) - here) / shift.sum() for shift in np.diag(step)], axis=1)

    return derivatives


def levenberg_marquardt(
    errors: Errors,
    derivatives: Errors,
    start: Float[np.ndarray, " N"],
    unit: Float[np.ndarray, " N"],
    bounded: Errors,
    steps: int,
) -> Float[np.ndarray, " N"]:
    """Minimise a sum of squares by damped Gauss-Newton steps.

    Args:
        errors: of the unknowns, (E,).
        derivatives: of the errors by the unknowns, (E, N).
        start: the unknowns to begin with.
        unit: a large change of each, which makes them comparable.
        bounded: puts unknowns that have left their bounds back.
        steps: most steps taken.
    """
    values, damping = bounded(start), 1e-2
    error = errors(values)
    cost = float(error @ error)
    for _ in range(steps):
        jacobian = derivatives(values) * unit
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ error
        gained = 0.0
        while damping < 1e6:
            damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
            trial = bounded(values - np.linalg.solve(damped, gradient) * unit)
            trial_error = errors(trial)
            trial_cost = float(trial_error @ trial_error)
            if trial_cost < cost:
                gained = cost - trial_cost
                values, error, cost, damping = trial, trial_error, trial_cost, damping / 5
                break
            damping *= 4
        if gained <= 1e-6 * cost:
            break
    return values
