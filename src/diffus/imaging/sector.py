"""The sector of a real B-mode image: where its apex lies, how wide it opens, and from which radius to which.

Coordinates are those of the image: first down the rows, then along the columns, in mm, from the centre of the
first pixel; position = index x spacing. Without a pixel spacing a pixel counts as one mm. Directions are
angles from the first coordinate towards the second: 0 degrees looks down the image, 90 to the right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.affine import check_affine
from diffus.checks import require_in_range, require_positive, require_shape
from diffus.imaging.sector_fit import SectorShape
from diffus.imaging.sector_match import EdgeShares, Match, matches
from diffus.imaging.sector_support import bounding_box, largest_piece, support_levels
from diffus.probe import ConvexProbe, PhasedProbe

SMALLEST_IMAGE_PX = 32
SMALLEST_SUPPORT = 0.01
"""Least share of the image that must be brighter than the background."""
GOOD_QUALITY, LEAST_QUALITY = 0.85, 0.45
"""Quality at which no other level is tried for the background; quality below which there is no sector."""
ROUND = 0.95
"""Overlap with a circle from which on an image is a radial probe's."""
LEAST_OPENING_DEG, LINEAR_QUALITY = 10.0, 0.6
"""Opening of a sector below which it is a rectangle, if it explains the image to this quality."""
DEPTH_RANGE_MM, LARGEST_RADIUS_MM = (10.0, 400.0), 150.0
_PHASED_SHARE = 0.03
"""Inner radius over outer radius up to which all scanlines start from one point."""


@dataclass(frozen=True)
class Sector:
    """The field of view of a convex or phased probe in an image.

    Args:
        apex_mm: where the outer scanlines meet (row, column); mostly outside the image.
        axis_deg: direction of the central scanline, from down the rows towards along the columns, [0, 360).
        opening_deg: angle between the outer scanlines.
        inner_radius_mm: distance from the apex at which the image starts.
        outer_radius_mm: distance from the apex at which it ends; only a lower bound where ``edges.outer`` is
            NaN.
        spacing_mm: distance between pixels along rows' and columns' numbers; None where it is not known, and
            all lengths are then in pixels.
        overlap: intersection over union of the image's support and the sector, within the support's bounding
            box.
        edges: share of the visible length of each edge on which the support ends: the quality edge by edge.
    """

    apex_mm: tuple[float, float]
    axis_deg: float
    opening_deg: float
    inner_radius_mm: float
    outer_radius_mm: float
    spacing_mm: tuple[float, float] | None
    overlap: float
    edges: EdgeShares

    def __post_init__(self) -> None:
        require_positive("Sector", outer_radius_mm=self.outer_radius_mm)
        require_in_range("Sector", 0.0, self.outer_radius_mm, inner_radius_mm=self.inner_radius_mm)
        require_in_range("Sector", 0.0, 180.0, opening_deg=self.opening_deg)

    @property
    def depth_mm(self) -> float:
        """Length of a scanline."""
        return self.outer_radius_mm - (0.0 if self.is_phased else self.inner_radius_mm)

    @property
    def is_phased(self) -> bool:
        """Whether all scanlines start from one point, as near as the image can tell."""
        return self.inner_radius_mm <= _PHASED_SHARE * self.outer_radius_mm

    @property
    def apex_index(self) -> tuple[float, float]:
        """The apex as fractional row and column."""
        rows, columns = self.spacing_mm or (1.0, 1.0)
        return self.apex_mm[0] / rows, self.apex_mm[1] / columns

    def outline_mm(self, n_arc: int = 64) -> Float64[Tensor, "points 2"]:
        """Closed outline as (row, column) positions in mm: inner arc, outer arc back, and to the start."""
        half = math.radians(self.opening_deg) / 2
        angles = math.radians(self.axis_deg) + torch.linspace(-half, half, n_arc, dtype=torch.float64)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        apex = torch.tensor(self.apex_mm, dtype=torch.float64)
        inner, outer = apex + self.inner_radius_mm * directions, apex + self.outer_radius_mm * directions
        return torch.cat([inner, outer.flip(0), inner[:1]])

    def mask(self, shape: tuple[int, int]) -> Bool[Tensor, "H W"]:
        """Which pixels of an image with this spacing lie in the sector."""
        rows, columns = self.spacing_mm or (1.0, 1.0)
        index = np.stack(np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij"), -1)
        inside = self._shape().contains(index.reshape(-1, 2) * np.array([rows, columns]))
        return torch.from_numpy(inside.reshape(shape))

    def probe(self, frequency_mhz: float = 6.0, **options: Any) -> ConvexProbe | PhasedProbe:
        """The probe whose field of view this sector is: convex, or phased where the inner radius vanishes.

        Args:
            frequency_mhz: centre frequency, which the geometry does not tell.
            **options: other fields of the probe.

        Raises:
            ValueError: when the pixel spacing is not known, or the probe refuses a value.
        """
        if self.spacing_mm is None:
            raise ValueError(
                "the sector was found without a pixel spacing, so its size in mm is unknown: "
                "give spacing_mm to find_sector"
            )
        known = {
            "field_of_view_deg": self.opening_deg,
            "depth_mm": self.depth_mm,
            "frequency_mhz": frequency_mhz,
        }
        if self.is_phased:
            return PhasedProbe(**{**known, **options})
        return ConvexProbe(**{"radius_mm": self.inner_radius_mm, **known, **options})

    def world_from_probe(self, world_from_index: Float[Tensor, "4 4"]) -> Float64[Tensor, "4 4"]:
        """Pose of the probe, for an image whose place is known.

        The probe's x runs from the first side of the sector to the second; y makes the frame right-handed.

        Args:
            world_from_index: affine of (row, column, slice) indices, as `Volume.world_from_voxel`.

        Raises:
            ValueError: when the affine is not one, or its spacing is not that of the sector.
        """
        affine = check_affine(world_from_index)
        lengths = affine[:3, :2].norm(dim=0)
        spacing = torch.tensor(self.spacing_mm or (1.0, 1.0), dtype=torch.float64)
        if not torch.allclose(lengths, spacing, rtol=1e-2):
            raise ValueError(
                f"world_from_index has a spacing of {lengths.tolist()} mm along rows and columns, the sector "
                f"was found with {spacing.tolist()}: give find_sector the spacing of the affine"
            )
        down, right = affine[:3, 0] / lengths[0], affine[:3, 1] / lengths[1]
        angle = math.radians(self.axis_deg)
        z = math.cos(angle) * down + math.sin(angle) * right
        x = math.cos(angle) * right - math.sin(angle) * down
        apex = affine[:3, 3] + self.apex_mm[0] * down + self.apex_mm[1] * right
        start = 0.0 if self.is_phased else self.inner_radius_mm
        return pose.look_at(apex + start * z, apex + (start + self.depth_mm) * z, lateral=x)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; edges that are not visible are null."""
        edges = {k: None if math.isnan(v) else v for k, v in self.edges._asdict().items()}
        return asdict(self) | {"depth_mm": self.depth_mm, "edges": edges}

    def _shape(self) -> SectorShape:
        half, axis = math.radians(self.opening_deg) / 2, math.radians(self.axis_deg)
        return SectorShape(self.apex_mm, axis, half, self.inner_radius_mm, self.outer_radius_mm)


def find_sector(
    image: Float[Tensor, "H W"] | np.ndarray, spacing_mm: float | Sequence[float] | None = None
) -> Sector:
    """Find the sector of a B-mode image by its support: what is brighter than the dark background.

    Text and markers beside the sector, shadows within it, cut corners and an image that is smaller than the
    sector do no harm. Of a cine give the maximum over the frames, in which fewer shadows are left; of an
    image that shows two sectors give the part with one.

    Args:
        image: grey values, rows by columns.
        spacing_mm: side of a pixel, or distances between rows and between columns.

    Returns:
        The sector, in the image's own coordinates (see this module), with the quality of the fit.

    Raises:
        ValueError: for an image that is not 2D, holds NaN, is constant, too small or dark; for the rectangle
            of a linear probe and the circle of a radial one; when no sector explains the image; when the size
            in mm cannot be that of a probe.
    """
    values = _checked(image)
    spacing = None if spacing_mm is None else _pair(spacing_mm)
    match = _best_match(values, spacing or (1.0, 1.0))
    sector = sector_of(match.shape, match, spacing)
    if spacing is not None:
        require_plausible(sector)
    return sector


def _best_match(image: Float[np.ndarray, "H W"], spacing: tuple[float, float]) -> Match:
    """The best match over the grey levels that may bound the background.

    Raises:
        ValueError: when the image is dark, shows a rectangle, or no sector explains it.
    """
    best: Match | None = None
    fill = roundness = 0.0
    known = np.ones(image.shape, dtype=bool)
    support = np.zeros_like(known)
    for level in support_levels(image):
        previous, support = support, largest_piece(image > level)
        if support.sum() < SMALLEST_SUPPORT * support.size or np.array_equal(support, previous):
            continue
        fill = max(fill, float(support[bounding_box(support)].mean()))
        roundness = max(roundness, _roundness(support, spacing))
        match = next(iter(matches(image, support, known, spacing)), None)
        if match is not None and (best is None or match.score > best.score):
            best = match
        if match is not None and match.quality > GOOD_QUALITY:
            break
    if fill == 0:
        raise ValueError(
            f"less than {SMALLEST_SUPPORT:.0%} of the image is brighter than its background: there is no "
            "ultrasound image in it; give the frame's pixels"
        )
    if roundness > ROUND and (best is None or best.quality < GOOD_QUALITY):
        raise ValueError(
            "the image is round, as a radial probe makes it, not a sector: "
            "use RadialProbe(radius_mm=, depth_mm=)"
        )
    return accepted(best, fill)


def sector_of(shape: SectorShape, match: Match, spacing: tuple[float, float] | None) -> Sector:
    """A sector of the shape, with the quality of the match."""
    return Sector(
        apex_mm=shape.apex,
        axis_deg=math.degrees(shape.axis) % 360,
        opening_deg=2 * math.degrees(shape.half_opening),
        inner_radius_mm=shape.inner,
        outer_radius_mm=shape.outer,
        spacing_mm=spacing,
        overlap=match.overlap,
        edges=match.edges,
    )


def require_plausible(sector: Sector) -> None:
    """Refuse a size that no probe has.

    Raises:
        ValueError: when the sector is too shallow, too deep, or its face too large.
    """
    low, high = DEPTH_RANGE_MM
    if not low <= sector.depth_mm <= high or sector.inner_radius_mm > LARGEST_RADIUS_MM:
        raise ValueError(
            f"the sector would be {sector.depth_mm:.3g} mm deep with a face of "
            f"{sector.inner_radius_mm:.3g} mm radius; expected {low:g} to {high:g} mm "
            f"and at most {LARGEST_RADIUS_MM:g} mm: check spacing_mm"
        )


def accepted(match: Match | None, fill: float) -> Match:
    """The match, if it is good enough and a sector's.

    Args:
        match: the best one.
        fill: share of its bounding box that the support fills.

    Raises:
        ValueError: for a rectangle, or when the match does not explain the image.
    """
    opening = math.degrees(2 * match.shape.half_opening) if match else math.nan
    quality = match.quality if match else 0.0
    narrow = opening < LEAST_OPENING_DEG and quality >= LINEAR_QUALITY
    if narrow or (quality < LEAST_QUALITY and fill > 0.9):
        raise ValueError(
            "the image is a rectangle, as a linear probe makes it, not a sector: its width and "
            "depth are those of its bright part; use LinearProbe(width_mm=, depth_mm=)"
        )
    arcs = [share for share in (match.edges.inner, match.edges.outer) if share >= 0.5] if match else []
    if match is None or quality < LEAST_QUALITY or not arcs or opening < LEAST_OPENING_DEG:
        raise ValueError(
            f"no sector explains the image: the best one overlaps {match.overlap if match else 0:.0%} of it, "
            f"and the image ends on {match.border if match else 0:.0%} of its outline; give one image "
            "without others beside it (crop it), or the maximum over the frames of a cine"
        )
    return match


def _roundness(support: np.ndarray, spacing: tuple[float, float]) -> float:
    """Intersection over union of the support and the circle of its area about its middle."""
    points = np.moveaxis(np.indices(support.shape), 0, -1) * np.array(spacing)
    radius = math.sqrt(float(support.sum()) * spacing[0] * spacing[1] / math.pi)
    circle = np.linalg.norm(points - points[support].mean(axis=0), axis=-1) <= radius
    return float((circle & support).sum() / (circle | support).sum())


def _checked(image: Tensor | np.ndarray) -> np.ndarray:
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    require_shape("image (one frame, one channel)", values.shape, "(rows, columns)", values.ndim == 2)
    if min(values.shape) < SMALLEST_IMAGE_PX:
        raise ValueError(
            f"image of {values.shape[0]} x {values.shape[1]} pixels is too small to find a sector in: "
            f"expected at least {SMALLEST_IMAGE_PX} pixels along each side"
        )
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"image holds {bad} NaN or infinite pixels: replace them (numpy.nan_to_num)")
    if values.min() == values.max():
        raise ValueError(f"image is constant ({values.flat[0]:g}): there is no sector in it")
    return values


def _pair(spacing_mm: float | Sequence[float]) -> tuple[float, float]:
    given = (spacing_mm, spacing_mm) if isinstance(spacing_mm, int | float) else tuple(spacing_mm)
    require_shape("spacing_mm", (len(given),), "(2,): between rows, between columns", len(given) == 2)
    require_positive("find_sector", rows_spacing_mm=given[0], columns_spacing_mm=given[1])
    return float(given[0]), float(given[1])
