"""What one scatterer looks like on the scanlines: a Gaussian pulse along depth, Gaussian beams across."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from diffus.imaging.beam import axial_sigma_mm, elevation_sigma_mm, lateral_sigma_mm
from diffus.keeping import kept
from diffus.probe import Probe
from diffus.scalars import as_double

REACH = 4.5 / math.sqrt(2)
"""Sigmas of the amplitude followed along depth and scanlines; as far as the expected image's power."""
ELEVATION_REACH = 2.5
"""The same across the slice, where only a loss of 0.04 % of the power is seen, which is made up for."""


def plane_bounds(n_planes: int) -> Float64[Tensor, " bounds"]:
    """Where the share of each elevation plane of the slice ends, in sigmas of its amplitude profile.

    Each share holds as much of the power profile exp(-t^2) as the weight that Gauss-Hermite quadrature gives
    to its plane, so that scatterers have on average the power of the quadrature.
    """
    _, weights = np.polynomial.hermite.hermgauss(n_planes)
    below = torch.from_numpy(weights / weights.sum()).cumsum(0)[:-1]
    return torch.erfinv(2 * below - 1)


class PointSpread(NamedTuple):
    """Two-way amplitude profile of a probe, float64, with gradients to the probe's fields.

    Widths are interpolated linearly between the middles of depth cells.

    Args:
        per_line: 1 / lateral sigma in scanlines, at each depth.
        per_elevation_mm: 1 / elevation sigma in mm.
        volume_mm3: integral of the squared profile over space.
        narrowing: factor of ``per_line`` for each scanline, (1,) where all share it; the integral is by as
            much larger.
        per_sample: 1 / axial sigma in samples.
        step_mm: depth of a sample.
        turns_per_mm: turns of the carrier for each mm of depth, both ways, 2 f0 / c.
        n_scanlines: how many there are.
        wraps: whether the last scanline is a neighbour of the first.
        lean_samples: how many samples nearer to the face the side of a sample lies on the next scanline;
            None for none.
    """

    per_line: Float64[Tensor, " N"]
    per_elevation_mm: Float64[Tensor, " N"]
    volume_mm3: Float64[Tensor, " N"]
    narrowing: Float64[Tensor, " lines"]
    per_sample: Float64[Tensor, ""]
    step_mm: Float64[Tensor, ""]
    turns_per_mm: Float64[Tensor, ""]
    n_scanlines: int
    wraps: bool
    lean_samples: Float64[Tensor, ""] | None

    @classmethod
    def of(cls, probe: Probe, device: torch.device | None = None) -> PointSpread:
        """The profile of a probe."""
        depths = probe.sample_depths_mm().to(device)
        axial, lateral = axial_sigma_mm(probe, depths), lateral_sigma_mm(probe, depths)
        elevation = elevation_sigma_mm(probe, depths)
        step = as_double(probe.sample_spacing_mm).to(device)
        seen = math.erf(ELEVATION_REACH) * math.erf(REACH) ** 2
        return cls(
            probe.lateral_spacing_mm(depths) / lateral,
            1 / elevation,
            math.pi**1.5 * seen * axial * lateral * elevation,
            narrowing(probe).to(device),
            step / axial,
            step,
            as_double(2 / probe.wavelength_mm).to(device),
            probe.n_scanlines,
            probe.wraps,
            leaning(probe, device),
        )

    def detach(self) -> PointSpread:
        """The same without gradients."""
        values = {k: v.detach() for k, v in self._asdict().items() if isinstance(v, Tensor)}
        return self._replace(**values)

    @property
    def requires_grad(self) -> bool:
        """Whether a field of the probe wants its gradient."""
        return any(isinstance(value, Tensor) and value.requires_grad for value in self)

    def at(
        self, table: Float64[Tensor, " N"], sample: Float64[Tensor, "*points"]
    ) -> Float64[Tensor, "*points"]:
        """A table at fractional samples; beyond its ends as at them."""
        place = sample.clamp(0, len(table) - 1)
        low = place.detach().floor().long().clamp(max=max(len(table) - 2, 0))
        return torch.lerp(table[low], table[(low + 1).clamp(max=len(table) - 1)], place - low)

    def narrowing_at(self, line: Float64[Tensor, "*points"]) -> Float64[Tensor, "*points"]:
        """The narrowing at fractional scanlines."""
        if len(self.narrowing) == 1:
            return self.narrowing[0].expand_as(line)
        place = line.clamp(0, len(self.narrowing) - 1)
        low = place.detach().floor().long().clamp(max=len(self.narrowing) - 2)
        return torch.lerp(self.narrowing[low], self.narrowing[low + 1], place - low)

    def lines_reached(self, per_line: Float64[Tensor, "*points"]) -> Float64[Tensor, "*points"]:
        """How many scanlines to either side a scatterer is seen; round a circle, none from both sides."""
        most = (self.n_scanlines - 1) // 2 if self.wraps else self.n_scanlines
        return (REACH / per_line.detach()).clamp(max=most)

    def sees(
        self, line: Float64[Tensor, "*points"], depth_mm: Float64[Tensor, "*points"]
    ) -> Bool[Tensor, "*points"]:
        """Whether points of the plane are within the image or so near its sides that they reach into it."""
        n_samples = len(self.per_line)
        sample = depth_mm / self.step_mm.detach() - 0.5
        inside = (sample >= -0.5) & (sample <= n_samples - 0.5)
        if self.wraps:
            return inside
        reach = self.lines_reached(self.narrowing_at(line).detach() * self.at(self.per_line.detach(), sample))
        return inside & (line >= -reach) & (line <= self.n_scanlines - 1 + reach)

    def elevation_reach_mm(self) -> Float64[Tensor, " N"]:
        """How far from the image plane scatterers are seen, at each depth."""
        return ELEVATION_REACH / self.per_elevation_mm.detach()

    def lateral_reach_mm(self, probe: Probe) -> float:
        """How far beside its scanline a scatterer is seen, the most over the depths."""
        spacing = probe.lateral_spacing_mm(probe.sample_depths_mm().to(self.per_line))
        return float((REACH * spacing / self.per_line).detach().max() / self.narrowing.detach().min())


@kept
def leaning(probe: Probe, device: torch.device | None = None) -> Float64[Tensor, ""] | None:
    """How many samples nearer to the face the side of a sample lies on the next scanline; None for none."""
    if probe.shear is None:
        return None
    apart = probe.lateral_spacing_mm(torch.zeros(1, dtype=torch.float64))[0]
    return (apart * probe.shear / as_double(probe.sample_spacing_mm)).to(device)


@kept
def narrowing(probe: Probe) -> Float64[Tensor, " lines"]:
    """Beam of the widest aperture over that of each scanline, at most 1; (1,) where all share one width."""
    cosines = probe.face_cosines()
    return torch.ones_like(cosines[:1]) if bool((cosines == cosines[0]).all()) else cosines / cosines.max()
