"""Which of several fitted sectors explains an image best, and how much of it each of its edges explains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from jaxtyping import Bool, Float

from diffus.imaging.sector_fit import SectorShape, fit_area, fit_border
from diffus.imaging.sector_starts import sector_starts
from diffus.imaging.sector_support import border_points, bounding_box

_GRID = 80
"""Most points along a side of the grid of the area fit."""
_AREA_FITS, _BORDER_FITS = 3, 10
_REACH_PX = 2.5
"""How far inside and outside an edge the image must be bright and dark for the edge to be there."""
_LEAST_SEEN_PX = 8
_ALIKE_AXIS_DEG, _ALIKE_OPENING_DEG = 10.0, 20.0
_BORDER_POINTS = 800
_GRAIN_POINTS = 10_000


class EdgeShares(NamedTuple):
    """Share of the visible length of each edge on which the image ends; NaN for an edge that is not visible.

    Args:
        inner: of the arc of the transducer's face.
        outer: of the arc at the largest depth.
        first: of the side at ``axis - opening / 2``.
        second: of the side at ``axis + opening / 2``.
    """

    inner: float
    outer: float
    first: float
    second: float


class Match(NamedTuple):
    """A fitted sector and how well it fits.

    Args:
        shape: the sector.
        overlap: intersection over union of the support and the sector, within the support's bounding box.
        edges: what each edge explains.
        border: share of the whole visible outline on which the support ends.
        grain: share of the image's squared gradient that points along the scanlines; 1/2 without texture.
    """

    shape: SectorShape
    overlap: float
    edges: EdgeShares
    border: float
    grain: float

    @property
    def quality(self) -> float:
        """How well the sector explains the support, in [0, 1]."""
        return self.overlap * self.border

    @property
    def score(self) -> float:
        """What the best of several fits is chosen by.

        Wedges of other places can follow a cut or shadowed support nearly as well; but speckle and echoes are
        finer along the scanlines than across them, so the gradient tells where the scanlines run.
        """
        return self.quality * self.grain


def matches(
    image: Float[np.ndarray, "H W"],
    support: Bool[np.ndarray, "H W"],
    known: Bool[np.ndarray, "H W"],
    spacing: Sequence[float],
    near: SectorShape | None = None,
) -> list[Match]:
    """Sectors that may explain an image, the best first; none where its border holds no two straight lines.

    Args:
        image: grey values.
        support: where it shows echoes.
        known: pixels that the image has; those of a plane that leaves its volume are not.
        spacing: distance between pixels along the first and second index.
        near: the sector expected; others must look its way and open about as wide.
    """
    scene = _Scene(image, support, known, spacing)
    if len(scene.border) < 2 * _LEAST_SEEN_PX:
        return []
    starts = [
        SectorShape.of(start) for start in sector_starts(scene.support_points, scene.border, scene.pitch)
    ]
    starts.sort(key=scene.overlap, reverse=True)
    starts = starts if near is None else [near, *(start for start in starts if alike(start, near))]
    settled = [fit_area(scene.grid, scene.inside, start, scene.grid_pitch) for start in starts[:_AREA_FITS]]
    border = scene.border[:: math.ceil(len(scene.border) / _BORDER_POINTS)]
    found = [
        scene.match(fit_border(border, shape, scene.pitch)) for shape in (*settled, *starts[:_BORDER_FITS])
    ]
    found = found if near is None else [match for match in found if alike(match.shape, near)]
    return sorted(found, key=lambda match: match.score, reverse=True)


def alike(one: SectorShape, other: SectorShape) -> bool:
    """Whether two sectors look the same way and open about as wide."""
    turned = math.remainder(one.axis - other.axis, 2 * math.pi)
    wider = 2 * (one.half_opening - other.half_opening)
    return abs(turned) < math.radians(_ALIKE_AXIS_DEG) and abs(wider) < math.radians(_ALIKE_OPENING_DEG)


class _Scene:
    """An image with what fitting needs of it: a grid of points, the border, gradients, and look-ups."""

    def __init__(
        self,
        image: Float[np.ndarray, "H W"],
        support: Bool[np.ndarray, "H W"],
        known: Bool[np.ndarray, "H W"],
        spacing: Sequence[float],
    ) -> None:
        self.support, self.known, self.spacing = support, known, np.asarray(spacing, dtype=float)
        self.pitch = float(self.spacing.max())
        self.box = bounding_box(support)
        self.border = border_points(support, known, spacing)
        step = max(1, math.ceil(max(part.stop - part.start for part in self.box) / _GRID))
        self.grid_pitch = step * self.pitch
        index = np.stack(
            np.meshgrid(*(np.arange(p.start, p.stop, step) for p in self.box), indexing="ij"), -1
        )
        index = index.reshape(-1, 2)
        index = index[known[tuple(index.T)]]
        self.grid, self.inside = index * self.spacing, support[tuple(index.T)]
        self.support_points = self.grid[self.inside]
        self.gradient_points, self.gradients = _gradients(image, support, self.spacing)

    def overlap(self, shape: SectorShape) -> float:
        covered = shape.contains(self.grid)
        return float((covered & self.inside).sum() / max((covered | self.inside).sum(), 1))

    def match(self, shape: SectorShape) -> Match:
        seen = [self._seen(*edge) for edge in shape.edges(self.pitch)]
        shares = [float(part.mean()) if len(part) >= _LEAST_SEEN_PX else math.nan for part in seen]
        length = sum(len(part) for part in seen)
        border = sum(int(part.sum()) for part in seen) / length if length >= 4 * _LEAST_SEEN_PX else 0.0
        return Match(shape, self.overlap(shape), EdgeShares(*shares), border, self._grain(shape))

    def _grain(self, shape: SectorShape) -> float:
        away = self.gradient_points - np.array(shape.apex)
        away /= np.linalg.norm(away, axis=1, keepdims=True) + 1e-12
        along = float(((self.gradients * away).sum(axis=1) ** 2).sum())
        total = float((self.gradients**2).sum())
        return (along + 1e-9) / (total + 2e-9)

    def _seen(self, points: np.ndarray, outwards: np.ndarray) -> np.ndarray:
        """For each point of an edge that can be judged, whether the support ends there."""
        reach = _REACH_PX * self.pitch
        within, within_known = self._look(points - reach * outwards)
        without, without_known = self._look(points + reach * outwards)
        low = np.array([part.start for part in self.box]) + _REACH_PX
        high = np.array([part.stop - 1 for part in self.box]) - _REACH_PX
        index = points / self.spacing
        judged = within_known & without_known & ((index >= low) & (index <= high)).all(axis=1)
        return (within & ~without)[judged]

    def _look(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether points lie in the support, and whether that is known."""
        index = np.rint(points / self.spacing).astype(int)
        on_image = ((index >= 0) & (index < self.support.shape)).all(axis=1)
        rows, columns = np.clip(index, 0, np.array(self.support.shape) - 1).T
        return self.support[rows, columns] & on_image, self.known[rows, columns] & on_image


def _gradients(image: np.ndarray, support: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points well inside the support, and the gradient of the log of the grey values there."""
    padded = sitk.ConstantPad(sitk.GetImageFromArray(support.astype(np.uint8)), [4, 4], [4, 4], 0)
    inner = sitk.GetArrayFromImage(sitk.Crop(sitk.BinaryErode(padded, [3, 3]), [4, 4], [4, 4])) > 0
    index = np.argwhere(inner)
    index = index[:: max(1, len(index) // _GRAIN_POINTS)]
    span = max(float(np.ptp(image)), 1e-12)
    slopes = np.gradient(np.log1p((image - image.min()) * (255 / span)), *spacing)
    return index * spacing, np.stack([slope[tuple(index.T)] for slope in slopes], axis=1)
