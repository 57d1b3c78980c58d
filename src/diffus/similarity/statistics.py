"""Weighted mean and standard scores of whole images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

FLAT = 1000.0
"""An image whose standard deviation is below this many rounding errors of its mean is constant: in float32 a
contrast of 1e-4."""


def weighted_mean(
    values: Float[Tensor, "#B *space"], weights: Float[Tensor, "#B *space"]
) -> Float[Tensor, " _"]:
    """Mean of each item over space."""
    return (values * weights).flatten(1).sum(dim=1) / weights.flatten(1).sum(dim=1)


def standardised(
    image: Float[Tensor, "#B *space"], weights: Float[Tensor, "#B *space"]
) -> Float[Tensor, "_ *space"]:
    """Each item with mean 0 and variance 1; zero, with zero gradient, where it is constant."""
    mean = weighted_mean(image, weights)
    centred = image - over_space(mean, image)
    variance = weighted_mean(centred.square(), weights)
    rounding = FLAT * torch.finfo(image.dtype).eps * mean.detach()
    flat = variance <= rounding.square() + torch.finfo(image.dtype).tiny
    scale = torch.where(flat, 0.0, torch.where(flat, 1.0, variance).rsqrt())
    return centred * over_space(scale, image)


def over_space(per_item: Float[Tensor, " B"], image: Float[Tensor, "_ *space"]) -> Tensor:
    """Values of each item, shaped to broadcast over its pixels."""
    return per_item.reshape(-1, *[1] * (image.ndim - 1))
