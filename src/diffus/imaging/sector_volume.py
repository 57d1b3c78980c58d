"""The fan planes of a swept 3D ultrasound volume: probe, pose of the middle plane, direction of the sweep.

A swept volume is a stack of planes that all show one sector, resampled to a grid. Its support is fitted by a
sector that is carried along while it shifts and turns at constant rates (`SweptSector`). Several sweeps fit
nearly alike: planes across the sweep also make a wedge when the probe was rocked. Which planes are the fan's
is decided on the images in them, by `diffus.imaging.sector_match`, and for the steadier sweep.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_shape
from diffus.imaging.sector import Sector, accepted, require_plausible, sector_of
from diffus.imaging.sector_fit import SectorShape
from diffus.imaging.sector_match import Match, alike, matches
from diffus.imaging.sector_support import bounding_box, largest_piece
from diffus.imaging.sector_sweep import Axes, SweptSector, fit_sweep, plane_axes
from diffus.sampling import inside_grid, sample_trilinear
from diffus.volume import Volume

SMALLEST_VOLUME = 24
_COARSE_POINTS, _FINE_POINTS = 2_500, 12_000
_PLANE_PIXELS = (80, 130)
"""Pixels along the longest side of the support in the planes for starts, and in those that decide."""
_PER_PLANE = 3
_STARTS_TRIED = 24
_SWEEPS_TRIED = 4
_LINEAR_DEG = 15.0
"""Added to opening and turn of a sweep before they are compared, so that straight sweeps count as steady."""
_SAME_DEG = 12.0
"""Angle between the planes of two fits up to which they count as one."""


class VolumeSector(NamedTuple):
    """What `find_sector_in_volume` returns.

    Args:
        sector: the sector of the middle plane, in the plane's own coordinates: first along the central
            scanline, then lateral, in mm from the middle of the face, which are z and x of the probe frame.
        world_from_probe: pose of the middle plane, (4, 4), RAS+ mm.
        sweep_direction: unit vector in the world along which the middle of the face moved; it is the
            probe's elevation y, or against it, only for a sweep straight across the plane.
    """

    sector: Sector
    world_from_probe: Float64[Tensor, "4 4"]
    sweep_direction: Float64[Tensor, "3"]


def find_sector_in_volume(volume: Volume) -> VolumeSector:
    """Find the fan planes of a swept 3D ultrasound volume, and the sector of the middle one.

    Args:
        volume: grey values; the background, where no plane came by, is dark.

    Raises:
        ValueError: when the volume is constant or too small, when its planes are rectangles, as a linear
            probe's are, when no sector explains them, or when the sector cannot be that of a probe.
    """
    require_shape(
        "ultrasound volume",
        volume.shape,
        f"at least {SMALLEST_VOLUME} voxels a side",
        min(volume.shape) >= SMALLEST_VOLUME,
    )
    scene = _VolumeScene(volume)
    sweeps = scene.sweeps()
    if not sweeps:
        raise ValueError("no plane of the volume shows a sector: is it a swept 3D ultrasound volume?")
    best = max(sweeps, key=scene.score)
    best = fit_sweep(best, *scene.points(_FINE_POINTS), softness_mm=(2.0, 1.0))
    return scene.middle_plane(best)


class _Plane(NamedTuple):
    """Grey values in a plane, support, which pixels the volume has, place of the first pixel, and spacing."""

    image: Float[np.ndarray, "H W"]
    support: Bool[np.ndarray, "H W"]
    known: Bool[np.ndarray, "H W"]
    corner: Float[np.ndarray, "3"]
    spacing: float

    def matches(self, near: SectorShape | None = None) -> list[Match]:
        """Sectors that may explain the image, the best first."""
        if not self.support.any():
            return []
        return matches(self.image, self.support, self.known, (self.spacing, self.spacing), near)

    def fill(self) -> float:
        """Share of its bounding box that the support fills."""
        return float(self.support[bounding_box(self.support)].mean()) if self.support.any() else 0.0


class _VolumeScene:
    """A volume in mm along its own axes from its first voxel, with its support."""

    def __init__(self, volume: Volume) -> None:
        self.values = volume.data.detach().cpu().double().numpy()
        if self.values.min() == self.values.max():
            raise ValueError(
                f"ultrasound volume is constant ({self.values.flat[0]:g}): there is no sector in it"
            )
        self.volume = volume
        self.spacing = np.array(volume.spacing_mm)
        self.support = largest_piece(self.values > self.values.min())
        self.channels = torch.from_numpy(np.stack([self.values, self.support], axis=-1))
        extent = max(
            (part.stop - part.start) * step
            for part, step in zip(bounding_box(self.support), self.spacing, strict=True)
        )
        self.coarse, self.fine = (
            float(max(extent / pixels, min(self.spacing) / 2)) for pixels in _PLANE_PIXELS
        )
        self.centre = (np.argwhere(self.support) * self.spacing).mean(axis=0)

    def points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """About so many points of a regular grid around the support, and which of them belong to it."""
        box = bounding_box(self.support)
        voxels = math.prod(part.stop - part.start for part in box)
        step = max(1, round((voxels / count) ** (1 / 3)))
        index = np.stack(np.meshgrid(*(np.arange(p.start, p.stop, step) for p in box), indexing="ij"), -1)
        index = index.reshape(-1, 3)
        return index * self.spacing, self.support[tuple(index.T)]

    def sweeps(self) -> list[SweptSector]:
        """Fits from planes of many directions through the middle, the most likely, all different."""
        points, inside = self.points(_COARSE_POINTS)
        normals = [
            np.array(v) / np.linalg.norm(v) for v in itertools.product((-1, 0, 1), repeat=3) if v > (0, 0, 0)
        ]
        starts = [start for normal in normals for start in self._starts(normal)]
        starts.sort(key=lambda start: start[0], reverse=True)
        fits = [fit_sweep(sweep, points, inside, softness_mm=(5.0,)) for _, sweep in starts[:_STARTS_TRIED]]
        fits.sort(key=lambda sweep: self.score(sweep, (0.0,), self.coarse), reverse=True)
        kept: list[SweptSector] = []
        for fit in fits:
            if all(_angle_deg(fit, other) > _SAME_DEG for other in kept):
                kept.append(fit)
        return [fit_sweep(sweep, points, inside, softness_mm=(2.5,)) for sweep in kept[:_SWEEPS_TRIED]]

    def score(
        self, sweep: SweptSector, shares: Sequence[float] = (-0.25, 0.0, 0.25), spacing: float | None = None
    ) -> float:
        """How well sectors explain the images in planes of the sweep, times how steady its sweep is.

        Across the fans of a rocked probe lies a wedge too; seen as a fan it needs a sweep that turns as far
        as the true fan opens.
        """
        steady = (sweep.opening_deg + _LINEAR_DEG) / (sweep.opening_deg + sweep.turn_deg + _LINEAR_DEG)
        return steady * sum(self._match(sweep, share, spacing or self.fine) for share in shares) / len(shares)

    def middle_plane(self, sweep: SweptSector) -> VolumeSector:
        """The sector found in the middle plane of a sweep, and where it lies in the world."""
        middle, axes = sweep.plane(0.0)
        plane = self._slice(middle, axes, self.fine)
        candidates = plane.matches(sweep.shape(0.0, plane.corner))
        found = accepted(next(iter(candidates), None), plane.fill())
        corner = plane.corner
        turn, (down, across) = found.shape.axis, axes
        z = math.cos(turn) * down + math.sin(turn) * across
        x = math.cos(turn) * across - math.sin(turn) * down
        apex = corner + found.shape.apex[0] * down + found.shape.apex[1] * across
        shape = SectorShape((-found.shape.inner, 0.0), 0.0, *found.shape[2:])
        sector = sector_of(shape, found, (self.fine, self.fine))
        require_plausible(sector)
        affine = self.volume.world_from_voxel
        turn_only = affine[:3, :3] / torch.from_numpy(self.spacing)
        place = [
            turn_only @ torch.from_numpy(v) for v in (apex + found.shape.inner * z, z, x, sweep.direction())
        ]
        face, z_world, x_world, direction = place
        face = face + affine[:3, 3]
        world_from_probe = pose.look_at(face, face + sector.depth_mm * z_world, lateral=x_world)
        return VolumeSector(sector, world_from_probe, direction)

    def _starts(self, normal: np.ndarray) -> list[tuple[float, SweptSector]]:
        """Scores and sweeps of the best sectors of the plane through the middle, carried along its normal."""
        axes = plane_axes(normal)
        plane = self._slice(self.centre, axes, self.coarse)
        distinct: list[Match] = []
        for match in plane.matches():
            if not any(alike(match.shape, other.shape) for other in distinct):
                distinct.append(match)
        depths = (np.argwhere(self.support)[::97] * self.spacing - self.centre) @ np.cross(*axes)
        extent = np.quantile(depths, [0.03, 0.97]).tolist()
        return [
            (match.score, SweptSector.through(match.shape, plane.corner, axes, extent))
            for match in distinct[:_PER_PLANE]
        ]

    def _match(self, sweep: SweptSector, share: float, spacing: float) -> float:
        plane = self._slice(*sweep.plane(share), spacing)
        found = plane.matches(sweep.shape(share, plane.corner))
        return found[0].score if found else 0.0

    def _slice(self, middle: np.ndarray, axes: Axes, spacing: float) -> _Plane:
        """A plane of the volume through a point; cut to the volume's grid."""
        reach = float(np.linalg.norm(np.array(self.values.shape) * self.spacing)) / 2
        ticks = np.arange(-reach, reach + spacing, spacing)
        points = middle + ticks[:, None, None] * axes[0] + ticks[:, None] * axes[1]
        index = torch.from_numpy(points / self.spacing)
        known = inside_grid(index, self.values.shape).numpy()
        box = bounding_box(known) if known.any() else (slice(0, 1), slice(0, 1))
        sampled = sample_trilinear(self.channels, index[box]).numpy()
        support = largest_piece((sampled[..., 1] > 0.5) & known[box]) & known[box]
        return _Plane(sampled[..., 0], support, known[box], points[box[0].start, box[1].start], spacing)


def _angle_deg(one: SweptSector, other: SweptSector) -> float:
    """The larger of the angles between the central planes and between the central scanlines of two sweeps."""
    (z, x), (other_z, other_x) = one.plane(0.0)[1], other.plane(0.0)[1]
    planes = min(1.0, abs(float(np.cross(z, x) @ np.cross(other_z, other_x))))
    lines = float(np.clip(z @ other_z, -1, 1))
    return math.degrees(max(math.acos(planes), math.acos(lines)))
