"""A Gaussian mixture over tissue classes with partial volume between them, and its fit by EM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor

STEPS = 6
"""A pair of classes shares voxels in steps of one sixth: finer than the noise of MRI can tell."""

CHUNK = 2**17
"""Voxels evaluated at a time, which bounds the memory."""

SPREAD = (0.01, 0.1)
"""Least and largest standard deviation of a class, in units of the scale: a class that grows wider than
this is collecting voxels of others, one that shrinks below is sitting on a few voxels."""


@dataclass(frozen=True, eq=False)
class PartialVolumeMixture:
    """Classes, and pairs of classes that share voxels.

    Args:
        means: normalised intensity of each of C classes in each of D contrasts.
        covariances: spread of each class.
        pairs: which two classes share voxels.
        weights: share of all voxels that belong to each class (first) and to each pair (after).
    """

    means: Float64[Tensor, "C D"]
    covariances: Float64[Tensor, "C D D"]
    pairs: tuple[tuple[int, int], ...]
    weights: Float64[Tensor, " groups"]

    def components(
        self,
    ) -> tuple[
        Float64[Tensor, "M D"], Float64[Tensor, "M D D"], Float64[Tensor, "M C"], Float64[Tensor, " M"]
    ]:
        """Mean, covariance, class fractions and weight of each Gaussian; pure classes first."""
        identity = torch.eye(len(self.means), dtype=torch.float64)
        inner = torch.arange(1, STEPS, dtype=torch.float64)[:, None] / STEPS
        shares = [identity] + [inner * identity[a] + (1 - inner) * identity[b] for a, b in self.pairs]
        fractions = torch.cat(shares)
        pure = len(self.means)
        shared = self.weights[pure:].repeat_interleave(STEPS - 1) / (STEPS - 1)
        weights = torch.cat([self.weights[:pure], shared])
        means = fractions @ self.means
        covariances = torch.einsum("mc,cde->mde", fractions, self.covariances)
        return means, covariances, fractions, weights

    def without(self, absent: int, pairs: tuple[tuple[int, int], ...]) -> PartialVolumeMixture:
        """The mixture of a place where one class is absent and the given pairs share voxels."""
        pure = len(self.means)
        weights = torch.full((pure + len(pairs),), 1 / pure, dtype=torch.float64)
        weights[absent] = 0
        # Few voxels of a body are on its wall: as many as those of one class at most.
        weights[pure:] = 0.5 / pure
        return replace(self, pairs=pairs, weights=weights / weights.sum())

    def fractions(self, features: Float[Tensor, "n D"]) -> Float[Tensor, "n C"]:
        """Expected fraction of each class in each voxel; rows sum to 1.

        Intensities beyond the outermost means are taken for those means: what is darker than the darkest
        class is of that class, whichever Gaussian has the longer tail.
        """
        low, high = self.means.amin(dim=0).to(features), self.means.amax(dim=0).to(features)
        blocks = features.split(CHUNK)
        return torch.cat([self._posterior(block.clamp(low, high)) for block in blocks])

    def _posterior(self, features: Tensor) -> Tensor:
        shares = self.components()[2].to(features)
        return log_densities(self, features).softmax(dim=1) @ shares


SETTLED = 2e-4
"""Change of means and weights in a step below which more steps are not worth their time."""


def log_densities(mixture: PartialVolumeMixture, features: Float[Tensor, "n D"]) -> Float[Tensor, "n M"]:
    """Logarithm of each component's weighted density at each voxel, up to a constant."""
    means, covariances, _, weights = mixture.components()
    factors = torch.linalg.cholesky(covariances)
    inverse = torch.linalg.inv(factors)
    offset = weights.log() - torch.diagonal(factors, dim1=1, dim2=2).log().sum(dim=1)
    # |L^-1 (x - mu)|^2 summed over contrasts, without a tensor of voxels x components x contrasts.
    result = offset.to(features).expand(len(features), -1).clone()
    for row in range(features.shape[1]):
        projected = features @ inverse[:, row, :].T.to(features)
        projected -= (inverse[:, row, :] * means).sum(dim=1).to(features)
        result -= 0.5 * projected.square_()
    return result


def fit_mixture(
    samples: Float[Tensor, "n D"],
    means: Float64[Tensor, "C D"],
    pairs: tuple[tuple[int, int], ...],
    fixed: Mapping[int, tuple[Float64[Tensor, " D"], Float64[Tensor, "D D"]]] | None = None,
    iterations: int = 40,
) -> PartialVolumeMixture:
    """Expectation maximisation from given means.

    Only pure components move the means and covariances; the shared ones follow from them and take weight
    alone.

    Args:
        samples: normalised intensities.
        means: where the means start.
        pairs: which two classes share voxels.
        fixed: mean and covariance known from elsewhere, by class; they do not move.
        iterations: number of steps.
    """
    classes, contrasts = means.shape
    spread = torch.eye(contrasts, dtype=torch.float64) * 0.05**2
    groups = classes + len(pairs)
    weights = torch.full((groups,), 1 / groups, dtype=torch.float64)
    mixture = PartialVolumeMixture(means.double(), spread.repeat(classes, 1, 1), pairs, weights)
    mixture = _with_known(mixture, fixed or {})
    data = samples.double()
    for _ in range(iterations):
        before, mixture = mixture, _with_known(_step(mixture, data), fixed or {})
        change = max(
            float((new - old).abs().max())
            for new, old in zip((mixture.means, mixture.weights), (before.means, before.weights), strict=True)
        )
        if change < SETTLED:
            break
    return mixture


def _with_known(
    mixture: PartialVolumeMixture, known: Mapping[int, tuple[Tensor, Tensor]]
) -> PartialVolumeMixture:
    means, covariances = mixture.means.clone(), mixture.covariances.clone()
    for c, (mean, covariance) in known.items():
        means[c], covariances[c] = mean, _bounded(covariance)
    return replace(mixture, means=means, covariances=covariances)


def _step(mixture: PartialVolumeMixture, data: Float64[Tensor, "n D"]) -> PartialVolumeMixture:
    classes = len(mixture.means)
    responsibility = log_densities(mixture, data).softmax(dim=1)
    mass = responsibility.sum(dim=0)
    pure = responsibility[:, :classes]
    # A few voxels' worth of the previous state keeps an empty class from dividing by zero.
    prior = 1e-4 * len(data)
    means = (pure.T @ data + prior * mixture.means) / (mass[:classes, None] + prior)
    covariances = torch.stack(
        [_covariance(pure[:, c], data, means[c], mixture.covariances[c], prior) for c in range(classes)]
    )
    shared = [
        mass[classes:][i * (STEPS - 1) : (i + 1) * (STEPS - 1)].sum() for i in range(len(mixture.pairs))
    ]
    weights = torch.cat([mass[:classes], torch.stack(shared)]) if shared else mass[:classes]
    weights = (weights + prior) / (weights + prior).sum()
    return replace(mixture, means=means, covariances=covariances, weights=weights)


def _covariance(weight: Tensor, data: Tensor, mean: Tensor, previous: Tensor, prior: float) -> Tensor:
    centred = data - mean
    covariance = (centred.T @ (weight[:, None] * centred) + prior * previous) / (weight.sum() + prior)
    return _bounded(covariance)


def _bounded(covariance: Float64[Tensor, "D D"]) -> Float64[Tensor, "D D"]:
    values, axes = torch.linalg.eigh(covariance)
    low, high = SPREAD
    return axes @ torch.diag(values.clamp(low**2, high**2)) @ axes.T
