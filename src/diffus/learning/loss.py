"""How unlike rendered and real frames are, whatever the gain, TGC and dynamic range of the scanner.

Both losses compare levels in dB (rendered) with grey values (real), frame by frame:

* `LocalCorrelation`, one minus the local correlation at several scales: blind to gain and offset that change
  slowly over the image.
* `RayleighLikelihood`, from the statistics of fully developed speckle. The envelope e of mean intensity m
  is Rayleigh distributed (Goodman, "Statistical properties of laser speckle patterns", 1975), so that
  ``u = log(e^2 / m)`` has the density ``exp(u - exp(u))``. A scanner shows ``log e^2`` times an unknown
  factor, plus an unknown gain that changes over depth; both are put where the likelihood is highest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_in_range, require_one_of, require_positive
from diffus.similarity import LocalNCC, MultiScale, Similarity

FrameLoss = Callable[
    [Float[Tensor, "F S N"], Float[Tensor, "F S N"], Float[Tensor, "F S N"]], Float[Tensor, " F"]
]
"""Takes rendered levels in dB, real grey values and weights; gives one number a frame, lower for better."""

SCALES = MultiScale(LocalNCC(window=9), levels=(0, 1, 2))
_NEPER_PER_DB = math.log(10) / 10
"""Of intensity."""
_NEWTON_STEPS = 25
_CONTRASTS = (1e-3, 1e3)
"""Nepers of intensity in one standard deviation of the grey values, at the least and at most."""


@dataclass(frozen=True)
class LocalCorrelation:
    """One minus a similarity of each frame.

    Args:
        similarity: of rendered and real images, 1 where they are alike.
    """

    similarity: Similarity = SCALES

    def __call__(
        self,
        rendered_db: Float[Tensor, "F S N"],
        real: Float[Tensor, "F S N"],
        weights: Float[Tensor, "F S N"],
    ) -> Float[Tensor, " F"]:
        """Loss of each frame."""
        return 1 - self.similarity(rendered_db, real, weights)


@dataclass(frozen=True)
class RayleighLikelihood:
    """Mean negative log-likelihood of the grey values, speckle fully developed.

    Grey values stand for ``log e^2 = contrast grey + gain``, with one gain in each band of depth, where the
    likelihood is highest, and so is the contrast of each frame unless it is known.

    An unknown contrast is told by how much speckle varies. Where grey values are means over several cells of
    speckle, as in reconstructed volumes, they vary less, the contrast comes out too high, and differences
    between tissues that are learned from it too large by the same factor. With a known contrast the loss is
    lowest at the true mean intensity, however much speckle was averaged.

    Args:
        n_bands: bands of depth, of one gain each.
        decibel_per_grey: level of one grey value, from the scanner's dynamic range; None where unknown.

    Raises:
        ValueError: for a number that cannot be.
    """

    n_bands: int = 8
    decibel_per_grey: float | None = None

    def __post_init__(self) -> None:
        require_in_range("RayleighLikelihood", 1, 1000, n_bands=self.n_bands)
        if self.decibel_per_grey is not None:
            require_positive("RayleighLikelihood", decibel_per_grey=self.decibel_per_grey)

    def __call__(
        self,
        rendered_db: Float[Tensor, "F S N"],
        real: Float[Tensor, "F S N"],
        weights: Float[Tensor, "F S N"],
    ) -> Float[Tensor, " F"]:
        """Loss of each frame; differentiable once, the fitted numbers being at their optimum."""
        bands = _Bands.of(weights, min(self.n_bands, weights.shape[-1]))
        grey, deviation = _standardised(real, weights)
        log_mean = rendered_db * _NEPER_PER_DB
        if self.decibel_per_grey is not None:
            contrast = deviation * self.decibel_per_grey * _NEPER_PER_DB
        else:
            with torch.no_grad():
                contrast = _best_contrast(bands, grey, log_mean)
        spread = bands.log_mean_exp(contrast[:, None, None] * grey - log_mean)
        level = bands.mean(contrast[:, None, None] * grey - log_mean)
        return 1 + ((spread - level) * bands.share).sum(dim=-1) - torch.log(contrast)


LOSSES: dict[str, FrameLoss] = {"local_ncc": LocalCorrelation(), "rayleigh": RayleighLikelihood()}
"""The losses by name."""


def frame_loss(name: str, decibel_per_grey: float | None = None) -> FrameLoss:
    """A loss by name.

    Args:
        name: a key of `LOSSES`.
        decibel_per_grey: for the Rayleigh likelihood, where the scanner's dynamic range is known.

    Raises:
        ValueError: for an unknown name, listing the known.
    """
    require_one_of("loss", name, LOSSES)
    if name == "rayleigh":
        return RayleighLikelihood(decibel_per_grey=decibel_per_grey)
    return LOSSES[name]


@dataclass(frozen=True)
class _Bands:
    """Weighted statistics within bands of depth.

    Args:
        weights: (F, S, N).
        which: 1 where a sample lies in a band, (N, bands).
        share: of the weights that lie in each band, (F, bands).
    """

    weights: Float[Tensor, "F S N"]
    which: Float[Tensor, "N K"]
    share: Float[Tensor, "F K"]

    @classmethod
    def of(cls, weights: Float[Tensor, "F S N"], count: int) -> _Bands:
        samples = weights.shape[-1]
        number = torch.arange(samples, device=weights.device) * count // samples
        which = torch.nn.functional.one_hot(number, count).to(weights)
        total = (weights @ which).sum(dim=1)
        return cls(weights, which, total / total.sum(dim=1, keepdim=True).clamp_min(1e-9))

    def mean(self, values: Float[Tensor, "F S N"]) -> Float[Tensor, "F K"]:
        total = (self.weights @ self.which).sum(dim=1)
        return ((values * self.weights) @ self.which).sum(dim=1) / total.clamp_min(1e-9)

    def log_mean_exp(self, values: Float[Tensor, "F S N"]) -> Float[Tensor, "F K"]:
        counted = self.weights > 0
        top = torch.where(counted, values.detach(), -torch.inf).amax(dim=(1, 2), keepdim=True)
        top = torch.where(top.isfinite(), top, 0.0)
        mean = self.mean(torch.where(counted, torch.exp(values - top), 0.0))
        return torch.log(mean.clamp_min(1e-30)) + top[:, :, 0]


def _best_contrast(
    bands: _Bands, grey: Float[Tensor, "F S N"], log_mean: Float[Tensor, "F S N"]
) -> Float[Tensor, " F"]:
    """Where the loss, which is convex in the contrast, has slope zero: Newton's method on its logarithm."""
    low, high = _CONTRASTS
    contrast = grey.new_ones(len(grey))
    for _ in range(_NEWTON_STEPS):
        exponent = contrast[:, None, None] * grey - log_mean
        counted = bands.weights > 0
        shifted = torch.where(counted, exponent, -torch.inf)
        top = shifted.amax(dim=(1, 2), keepdim=True)
        likely = torch.where(counted, torch.exp(exponent - torch.where(top.isfinite(), top, 0.0)), 0.0)
        norm = bands.mean(likely).clamp_min(1e-30)
        first, second = bands.mean(likely * grey) / norm, bands.mean(likely * grey**2) / norm
        slope = ((first - bands.mean(grey)) * bands.share).sum(dim=-1) - 1 / contrast
        bend = ((second - first**2) * bands.share).sum(dim=-1) + 1 / contrast**2
        # In the logarithm the curvature is c^2 f'' + c f'; a step is kept to a factor of e.
        curvature = (contrast**2 * bend + contrast * slope).clamp_min(1e-6)
        step = (contrast * slope / curvature).clamp(-1, 1)
        contrast = (contrast * torch.exp(-step)).clamp(low, high)
    return contrast


def _standardised(
    real: Float[Tensor, "F S N"], weights: Float[Tensor, "F S N"]
) -> tuple[Float[Tensor, "F S N"], Float[Tensor, " F"]]:
    """Grey values of mean zero and variance one where they count, zero elsewhere; and their deviation."""
    total = weights.sum(dim=(1, 2), keepdim=True).clamp_min(1e-9)
    mean = (real * weights).sum(dim=(1, 2), keepdim=True) / total
    variance = ((real - mean).square() * weights).sum(dim=(1, 2), keepdim=True) / total
    deviation = variance.clamp_min(1e-12).sqrt()
    return torch.where(weights > 0, (real - mean) / deviation, 0.0), deviation[:, 0, 0]
