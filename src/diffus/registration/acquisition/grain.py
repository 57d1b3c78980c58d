"""Grain of a frame: how much neighbouring samples of its speckle differ, against pulse and beam.

Along scanlines it tells the absolute bandwidth, across them focus and aperture, and far apart the dynamic
range, all without the tissue: what neighbours share cancels. See `log_speckle`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.imaging.formation import sigma_steps
from diffus.imaging.point_spread import leaning, narrowing
from diffus.probe import Probe
from diffus.registration.acquisition.log_speckle import DB_PER_NEPER, cut_spectrum, log_variogram
from diffus.registration.acquisition.patches import patch_cells
from diffus.registration.acquisition.picture import Picture
from diffus.registration.acquisition.unknowns import Acquisition
from diffus.scalars import number

REACH = 4.0
"""Lags, in sigmas of the point spread, at which speckle is no longer alike (r = 3e-4)."""
_BANDS = 8
_BLOCK_MM = 4.0
_LAGS = 4
_LEAST_PAIRS = 100.0
_SPECKLED = 0.9
"""Share of the mean intensity that must be speckle for a sample to count."""
_ABOVE_BLACK_DB, _BELOW_WHITE_DB = 10.0, 7.0
"""How far from black and white the mean must be for a sample to count. Black is reckoned with, white is not:
at 7 dB it cuts 0.7 % of speckle, by little."""
_RIDGE = 0.02
_NARROWINGS = 6
"""Groups of scanlines that share a width, where it differs among scanlines."""


class Lag(NamedTuple):
    """Steps to a neighbour along a scanline and across scanlines; one of them is zero."""

    samples: int
    lines: int


class Grain:
    """Measured grain of bands of depth, and what it is to be at an acquisition.

    Args:
        lags: to which neighbours.
        measured: natural logarithm of half the mean squared difference.
        whitening: takes a band's differences to independent ones of variance one.
        spectra: of the cut logarithm (`cut_spectrum`), averaged over the samples of each depth.
        shares: of each depth among the samples of a band.
    """

    def __init__(
        self,
        lags: list[Lag],
        measured: Float64[Tensor, "bands lags"],
        whitening: Float64[Tensor, "bands lags lags"],
        spectra: Float64[Tensor, "N terms"],
        shares: Float64[Tensor, "bands N"],
    ) -> None:
        self.lags, self.measured, self.whitening = lags, measured, whitening
        self.spectra, self.shares = spectra, shares

    @classmethod
    def of(
        cls,
        levels: Float[Tensor, "F S N"],
        weights: Float[Tensor, "F S N"],
        picture: Picture,
        around: Acquisition,
    ) -> Grain | None:
        """Measure; None where too little of the frames is speckle within the display's range.

        Args:
            levels: display values, without the grey map.
            weights: what to compare.
            picture: the mean image near the truth, which is taken away.
            around: the acquisition of that image.
        """
        span = number(around.settings.dynamic_range_db)
        usable = (picture.speckled > _SPECKLED) & (picture.white_db < -_BELOW_WHITE_DB)
        weights = (weights * (usable & (picture.white_db > _ABOVE_BLACK_DB - span))).double()
        residual = (levels - picture.level).double()
        lags, blocks = lags_of(around.probe), _Blocks.of(around.probe)
        pairs = [_pair_sums(residual, weights, lag, blocks) for lag in lags]
        sums, counts = (torch.stack(each, dim=-1) for each in zip(*pairs, strict=True))
        enough = counts.sum(dim=1).amin(dim=1) > _LEAST_PAIRS
        if not bool(enough.any()):
            return None
        sums, counts = sums[enough], counts[enough]
        mean = sums.sum(dim=1) / counts.sum(dim=1)
        by_depth = weights.sum(dim=(0, 1))
        cut = -(picture.white_db + span) / DB_PER_NEPER
        spectra = _weighted_spectra(cut, weights) / by_depth.clamp_min(1e-12)[:, None]
        shares = blocks.bands[enough] * by_depth
        shares = shares / shares.sum(dim=1, keepdim=True)
        return cls(lags, mean.log(), _whitening(sums, counts, mean), spectra, shares)

    def __call__(self, acquisition: Acquisition) -> Float64[Tensor, "bands lags"]:
        """Differences of logarithms of measured and expected grain, in standard deviations."""
        r = coherence(acquisition.probe, self.lags)
        grain = log_variogram(r, self.spectra[:, None, None]).mean(dim=1)
        span = number(acquisition.settings.dynamic_range_db)
        expected = (DB_PER_NEPER / span) ** 2 * (self.shares @ grain)
        return torch.einsum("bkl,bl->bk", self.whitening, self.measured - expected.log())


def lags_of(probe: Probe) -> list[Lag]:
    """Along and across, from the nearest neighbour to where nothing is alike."""
    axial, lateral = sigma_steps(probe, torch.zeros(1, dtype=torch.float64))
    along = _spaced(float(axial), probe.n_samples // _BANDS)
    across = _spaced(float(lateral.median()), probe.n_scanlines // 4)
    return [Lag(k, 0) for k in along] + [Lag(0, k) for k in across]


def coherence(probe: Probe, lags: list[Lag]) -> Float64[Tensor, "N groups lags"]:
    """Squared modulus of the coherence of two samples a lag apart, at each depth.

    For each of equally large groups of scanlines, where the beam's width differs among scanlines.
    """
    axial, lateral = sigma_steps(probe, torch.zeros(1, dtype=torch.float64))
    narrower = narrowing(probe).sort().values
    group = torch.stack([part.mean() for part in narrower.chunk(_NARROWINGS)])
    samples, lines = torch.tensor(lags, dtype=torch.float64).unbind(1)
    lean = leaning(probe)
    along = samples if lean is None else torch.hypot(samples, lines * lean)
    across = lines * (group[:, None] / lateral[:, None, None])
    return torch.exp(-((along / axial) ** 2 + across**2) / 2)


class _Blocks(NamedTuple):
    """Which band of depth each sample lies in, and which block of scanlines each scanline."""

    bands: Float64[Tensor, "bands N"]
    blocks: Float64[Tensor, "S blocks"]

    @classmethod
    def of(cls, probe: Probe) -> _Blocks:
        lines, _ = patch_cells(_BLOCK_MM, probe)
        band = torch.arange(probe.n_samples) * _BANDS // probe.n_samples
        block = torch.arange(probe.n_scanlines) // lines
        return cls(F.one_hot(band, _BANDS).T.double(), F.one_hot(block).double())


def _pair_sums(
    residual: Float64[Tensor, "F S N"], weights: Float64[Tensor, "F S N"], lag: Lag, blocks: _Blocks
) -> tuple[Float64[Tensor, "bands blocks"], Float64[Tensor, "bands blocks"]]:
    """Sums over the pairs of each band and block: of half the squared difference, and of the weight."""
    lines, samples = residual.shape[1] - lag.lines, residual.shape[2] - lag.samples
    here = (slice(None), slice(0, lines), slice(0, samples))
    there = (slice(None), slice(lag.lines, None), slice(lag.samples, None))
    pair = weights[here] * weights[there]
    half = (residual[here] - residual[there]) ** 2 / 2 * pair
    bands, block = blocks.bands[:, :samples], blocks.blocks[:lines]
    summed = [torch.einsum("fsn,bn,sk->bfk", image, bands, block).flatten(1) for image in (half, pair)]
    return summed[0], summed[1]


def _weighted_spectra(
    cut: Float[Tensor, "F S N"], weights: Float64[Tensor, "F S N"]
) -> Float64[Tensor, "N terms"]:
    """Spectra summed over scanlines with their weights; scanline by scanline, to save memory."""
    lines = zip(cut.flatten(0, 1), weights.flatten(0, 1), strict=True)
    return torch.stack([cut_spectrum(line) * weight[:, None] for line, weight in lines]).sum(dim=0)


def _whitening(
    sums: Float64[Tensor, "bands blocks lags"],
    counts: Float64[Tensor, "bands blocks lags"],
    mean: Float64[Tensor, "bands lags"],
) -> Float64[Tensor, "bands lags lags"]:
    """Inverse root of the covariance of each band's logarithms, from the spread among its blocks.

    Relative to a band's mean, blocks of all bands are alike: their spread is pooled, scaled to a block of one
    pair. The inverse of a covariance from few blocks is too large, which the freedom left makes up for
    (Hartlap et al., Astronomy and Astrophysics 464, 2007).
    """
    size = counts.mean(dim=-1)
    relative = (sums / mean[:, None] - counts) / size.clamp_min(1e-12).sqrt()[..., None]
    relative = relative[size > 0]
    freedom = max(1, len(relative) - len(mean) - mean.shape[1] - 1)
    covariance = relative.mT @ relative / freedom
    covariance = covariance + _RIDGE * torch.diag(covariance.diagonal())
    root = torch.linalg.cholesky(torch.linalg.inv(covariance)).mT
    return root * size.sum(dim=1).sqrt()[:, None, None]


def _spaced(sigma: float, most: int) -> list[int]:
    """Up to four whole lags from 1 to where nothing is alike, at equal ratios."""
    farthest = max(2.0, REACH * sigma)
    spaced = {round(farthest ** (k / (_LAGS - 1))) for k in range(_LAGS)}
    return sorted({max(1, min(k, most)) for k in spaced})
