"""What a pose is judged by: rendered against fixed frames, scanline by scanline, in units of their noise.

Both images are log-compressed, so that gain, TGC, attenuation and shadows add to them, slowly along each
scanline. A slow trend along each scanline is taken away, what is left is blurred, and its contrast is made
alike everywhere by its standard deviation in a window around; what both images then have in common is their
structure. The residual is the difference of the two, each of norm one: its square is ``2 - 2 r`` with the
correlation coefficient r. Local standardisation makes it a local correlation (Avants et al., Medical Image
Analysis 2008) that Gauss-Newton can be used on; taking gain and trend out in closed form for each pose is
variable projection (Golub and Pereyra, Inverse Problems 2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.stages import Stage
from diffus.render import render
from diffus.scalars import number
from diffus.settings import RenderSettings

LEAST_SEEN = 0.1
"""Share of the sector that must lie in the volume; a pose with less is not rendered and scores nothing."""
RIDGE = 0.1
"""Variance, in units of the image's, below which a window is no longer standardised to one."""
UNRELATED = 2.0
"""Energy of images that have nothing in common."""
LEAST_ENERGY = 1e-6
"""Below it, energy is rounding."""
_FLOOR = 1e-9


@dataclass(frozen=True)
class Compared:
    """Residuals of B poses over all cells C of all frames.

    Args:
        residual: difference of both standardised images, each of norm one.
        seen: share of the sectors that lies in the volume.
    """

    residual: Float[Tensor, "B C"]
    seen: Float[Tensor, " B"]

    @property
    def energy(self) -> Float[Tensor, " B"]:
        """``2 - 2 r``; that of unrelated images where the volume is hardly seen."""
        energy = (self.residual.double() ** 2).sum(dim=1)
        return torch.where(self.seen >= LEAST_SEEN, energy, UNRELATED)

    @property
    def cost(self) -> Float[Tensor, " B"]:
        """See `cost_of`."""
        return cost_of(self.energy, self.seen)


def cost_of(energy: Float[Tensor, " B"], seen: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """What poses that see different parts of the volume are ranked by; the less the better.

    Times the number of independent differences it is twice the logarithm of the likelihood of images that
    have nothing in common, over that of these: a cell that a pose does not see speaks neither for it nor
    against it. A narrow rim of the volume resembles much by chance; by energy alone it would win.

    Args:
        energy: ``2 - 2 r`` over what is seen.
        seen: share of the sectors that it is.
    """
    return seen * torch.log(energy.clamp_min(LEAST_ENERGY) / UNRELATED)


class Objective:
    """Fixed frames of one probe, and the medium to render them from.

    Args:
        fixed: display values in [0, 1] on the probe's scanlines, F frames.
        weights: what to compare, in [0, 1].
        medium: what is rendered.
        probe: of the fixed frames.
        sweep_from_probe: pose of each frame in the sweep; the identity for one frame.
        settings: how the frames are rendered.
        stage: how they are looked at.
    """

    def __init__(
        self,
        fixed: Float[Tensor, "F S N"],
        weights: Float[Tensor, "F S N"],
        medium: Medium,
        probe: Probe,
        sweep_from_probe: Float64[Tensor, "F 4 4"],
        settings: RenderSettings,
        stage: Stage,
    ) -> None:
        self.stage, self.medium, self.settings = stage, medium, settings
        self.probe = stage.coarsened(probe)
        self.sweep_from_probe = sweep_from_probe
        self.rendered = 0
        coarse, fine = _Grid.of(self.probe), _Grid.of(probe)
        level = _without_trend(fixed, weights, fine.along(fine, stage.trend_mm))
        self._trend = coarse.along(coarse, stage.trend_mm)
        self._across, self._along = coarse.across(coarse, stage.blur_mm), coarse.along(coarse, stage.blur_mm)
        self._wide = coarse.across(coarse, stage.window_mm), coarse.along(coarse, stage.window_mm)
        self._grid = coarse
        to_coarse = coarse.across(fine, stage.blur_mm), coarse.along(fine, stage.blur_mm)
        covered = _spread(weights, *to_coarse)
        self._fixed = _spread(level * weights, *to_coarse) / covered.clamp_min(_FLOOR)
        self._weights = covered * coarse.areas
        self._whole = float(self._weights.sum())
        self._standard: Tensor | None = None
        self._points = coarse.points.to(medium.impedance.dtype)
        by_line = self._points.unflatten(0, self._fixed.shape[1:])
        self._ends = torch.cat([by_line[:, 0], by_line[:, -1]])

    def independent(self, lengths_mm: tuple[float, float] | None = None) -> float:
        """Independent numbers in the images: their area over that of a blurred speckle, ``4 pi sigma^2``.

        Args:
            lengths_mm: sigma across and along the scanlines, from `correlation_mm`; by default the blur's.
        """
        across, along = lengths_mm or (self.stage.blur_mm, self.stage.blur_mm)
        return max(4.0, self._whole / (4 * math.pi * across * along))

    @torch.no_grad()
    def __call__(self, world_from_sweep: Float64[Tensor, "B 4 4"]) -> Compared:
        """Render all frames at each pose of the sweep and compare."""
        count, frames = len(world_from_sweep), len(self.sweep_from_probe)
        poses = (world_from_sweep[:, None] @ self.sweep_from_probe).flatten(0, 1)
        inside = self._inside(poses)
        covered = inside if bool((inside == 1).all()) else _spread(inside, self._across, self._along)
        moving = self._rendered(poses, inside, covered)
        weights = covered.unflatten(0, (count, frames)) * self._weights
        seen = weights.sum(dim=(1, 2, 3)) / self._whole
        fixed = self._standard_fixed(weights, whole=covered is inside)
        residual = self._standardised(moving.unflatten(0, (count, frames)), weights) - fixed
        return Compared(residual.flatten(1), seen)

    def robust_weights(self, residual: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
        """Weights that fall with the residual energy around (Geman and McClure 1987)."""
        images = residual.unflatten(1, self._fixed.shape)
        around = _spread(images**2, self._across, self._along)
        mean = around.mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)
        return (1 / (1 + around / (self.stage.tolerance * mean))).flatten(1)

    def correlation_mm(self, values: Float[Tensor, " C"]) -> tuple[float, float]:
        """How far values over the cells resemble their neighbours, across and along the scanlines.

        As the sigma that white noise is blurred with: blurred once more with s, its variance falls by q, and
        ``sigma = s q / sqrt(1 - q^2)``.
        """
        images = values.unflatten(0, self._fixed.shape)
        once_more = 2 * self.stage.blur_mm
        matrix_across, matrix_along = (
            self._grid.across(self._grid, once_more),
            self._grid.along(self._grid, once_more),
        )
        energy = (images**2).sum().clamp_min(_FLOOR)
        lengths = []
        for blurred in (matrix_across @ images, images @ matrix_along.mT):
            share = min(float((blurred**2).sum() / energy), 0.998)
            lengths.append(max(self.stage.blur_mm, once_more * share / math.sqrt(1 - share**2)))
        return lengths[0], lengths[1]

    def blocks(self, side_mm: float) -> Int64[Tensor, " C"]:
        """Number of the block of the sector that each cell lies in, the same in all frames.

        Args:
            side_mm: of a block, in the middle of the depth; there are at least two each way.
        """
        frames, lines, samples = self._fixed.shape
        across = max(2, round(self._grid.pitch_mm * lines / side_mm))
        along = max(2, round(self._grid.depth_mm / side_mm))
        line = torch.arange(lines) * across // lines
        depth = torch.arange(samples) * along // samples
        return (line[:, None] * along + depth).expand(frames, -1, -1).flatten()

    def standard_fixed(self) -> Float[Tensor, " C"]:
        """The standardised fixed frames."""
        return self._standardised(self._fixed[None], self._weights[None]).flatten()

    def _rendered(
        self, poses: Float64[Tensor, "n 4 4"], inside: Float[Tensor, "n S N"], covered: Float[Tensor, "n S N"]
    ) -> Float[Tensor, "n S N"]:
        visible = inside.mean(dim=(1, 2)) >= LEAST_SEEN / 2
        moving = torch.zeros_like(inside)
        if bool(visible.any()):
            self.rendered += int(visible.sum())
            shown = render(self.medium, self.probe, poses[visible], self.settings).scanlines
            kept = inside[visible]
            level = _without_trend(shown, kept, self._trend) * kept
            moving[visible] = _spread(level, self._across, self._along) / covered[visible].clamp_min(_FLOOR)
        return moving

    def _inside(self, poses: Float64[Tensor, "n 4 4"]) -> Float[Tensor, "n S N"]:
        """Which cells lie in the volume, one or zero."""
        voxel_from_probe = (self.medium.voxel_from_world @ poses).to(self._points)
        inside = self._points.new_ones(len(poses), *self._fixed.shape[1:])
        # A volume is convex: where both ends of all scanlines lie in it, so does what is between.
        partly = ~self._within(self._ends, voxel_from_probe).all(dim=1)
        if bool(partly.any()):
            cells = self._within(self._points, voxel_from_probe[partly])
            inside[partly] = cells.to(inside).unflatten(1, self._fixed.shape[1:])
        return inside

    def _within(
        self, points: Float[Tensor, "P 3"], voxel_from_probe: Float[Tensor, "n 4 4"]
    ) -> Bool[Tensor, "n P"]:
        last = points.new_tensor(self.medium.shape) - 1
        index = points @ voxel_from_probe[:, :3, :3].mT + voxel_from_probe[:, None, :3, 3]
        return ((index >= 0) & (index <= last)).all(dim=-1)

    def _standard_fixed(self, weights: Float[Tensor, "B F S N"], whole: bool) -> Float[Tensor, "#B F S N"]:
        if not whole:
            return self._standardised(self._fixed[None], weights)
        if self._standard is None:
            self._standard = self._standardised(self._fixed[None], weights[:1])
        return self._standard

    def _standardised(
        self, images: Float[Tensor, "#B F S N"], weights: Float[Tensor, "B F S N"]
    ) -> Float[Tensor, "B F S N"]:
        power = images**2 * weights
        local = _spread(power, *self._wide) / _spread(weights, *self._wide).clamp_min(_FLOOR)
        total = power.sum(dim=(2, 3), keepdim=True) / weights.sum(dim=(2, 3), keepdim=True).clamp_min(_FLOOR)
        alike = images * ((local + RIDGE * total + 1e-12).rsqrt() * weights.sqrt())
        return alike / alike.flatten(1).norm(dim=1).clamp_min(_FLOOR)[:, None, None, None]


@dataclass(frozen=True)
class _Grid:
    """The cells of a sector: how far apart, and Gaussian weights among those of two sectors."""

    lines: Float[Tensor, " S"]
    depths: Float[Tensor, " N"]
    pitch_mm: float
    step_mm: float
    depth_mm: float
    areas: Float[Tensor, "S N"]
    points: Float64[Tensor, "cells 3"]

    @classmethod
    def of(cls, probe: Probe) -> _Grid:
        depths = probe.sample_depths_mm().detach()
        spacing = probe.lateral_spacing_mm(depths).detach()
        step = number(probe.sample_spacing_mm)
        points = probe.sample_points_mm().detach()
        lines = torch.linspace(0, 1, probe.n_scanlines)
        areas = (spacing * step).float().expand(probe.n_scanlines, -1)
        middle = float(spacing[len(spacing) // 2])
        return cls(lines, depths.float(), middle, step, number(probe.depth_mm), areas, points.flatten(0, 1))

    def across(self, other: _Grid, sigma_mm: float) -> Float[Tensor, "S T"]:
        """Weights of another sector's scanlines for each of these, rows with sum one."""
        width = max(sigma_mm, 0.35 * self.pitch_mm) / (self.pitch_mm * max(len(self.lines) - 1, 1))
        return _rows(self.lines, other.lines, width)

    def along(self, other: _Grid, sigma_mm: float) -> Float[Tensor, "N M"]:
        """Weights of another sector's samples for each of these, rows with sum one."""
        return _rows(self.depths, other.depths, max(sigma_mm, 0.35 * self.step_mm))


def _rows(at: Tensor, among: Tensor, sigma: float) -> Float[Tensor, "n m"]:
    weights = torch.exp(-0.5 * ((at[:, None] - among) / sigma) ** 2)
    return weights / weights.sum(dim=1, keepdim=True).clamp_min(_FLOOR)


def _spread(
    images: Float[Tensor, "*B S N"], across: Float[Tensor, "T S"], along: Float[Tensor, "M N"]
) -> Float[Tensor, "*B T M"]:
    return across @ (images @ along.mT)


def _without_trend(
    images: Float[Tensor, "B S N"], weights: Float[Tensor, "B S N"], trend: Float[Tensor, "N N"]
) -> Float[Tensor, "B S N"]:
    """What a scanline shows above or below its own slow trend."""
    slow = (images * weights) @ trend.mT / (weights @ trend.mT).clamp_min(_FLOOR)
    return images - slow
