"""Image pairs, and one small instance of every measure."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from diffus.similarity import (
    LC2,
    MIND,
    NCC,
    GradientNCC,
    LocalNCC,
    MultiScale,
    MutualInformation,
    Similarity,
    WeightedSum,
)

MEASURES: dict[str, Similarity] = {
    "ncc": NCC(),
    "local_ncc": LocalNCC(window=5),
    "local_ncc_squared": LocalNCC(window=(3, 5), squared=True),
    "gradient_ncc": GradientNCC(),
    "mutual_information": MutualInformation(bins=8),
    "normalised_mutual_information": MutualInformation(bins=8, normalised=True),
    "lc2": LC2(window=5, spacing=(0.5, 0.2)),
    "mind": MIND(dilation=1),
    "multi_scale": MultiScale(LocalNCC(window=3), levels=(0, 1)),
    "weighted_sum": WeightedSum([NCC(), MIND(dilation=1)], torch.tensor([0.3, 0.7], dtype=torch.float64)),
}
"""Windows small enough for images of 8 x 9 pixels."""

SPATIAL: dict[str, Similarity] = {
    **MEASURES,
    "local_ncc_squared": LocalNCC(window=(3, 5, 3), squared=True),
    "lc2": LC2(window=5, spacing=(0.5, 0.2, 1.0)),
}
"""The same for volumes of 6 x 7 x 8 voxels."""


def texture(*shape: int, seed: int, sigma: float = 1.0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Smooth noise of unit variance, a batch of independent images."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, (0, *[sigma] * (len(shape) - 1)))
    return torch.from_numpy(smooth / smooth.std()).to(dtype)


def related(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Two images that have something in common."""
    moving, other = texture(*shape, seed=seed, dtype=dtype), texture(*shape, seed=seed + 1000, dtype=dtype)
    return moving, 0.8 * moving + 0.3 * moving.square() + 0.5 * other


def blob_mask(*shape: int, seed: int) -> Tensor:
    """Soft weights: about a third zero, the rest from 0.5 to 1, a solid block among it."""
    field = texture(*shape, seed=seed, sigma=2.0)
    weights = torch.where(field > -0.4, 0.75 + 0.25 * torch.tanh(field), 0.0)
    middle = tuple(slice(size // 2 - 3, size // 2 + 3) for size in shape[1:])
    weights[(slice(None), *middle)] = 1.0
    return weights
