"""A Gaussian pyramid that does not look outside the mask."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Binomial taps, close to a Gaussian with a standard deviation of one pixel."""


def halved(image: Float[Tensor, "_ *space"], weights: Float[Tensor, "_ *space"]) -> Float[Tensor, "B *half"]:
    """The next level of the pyramid: blurred and every second pixel kept, from the first.

    Burt and Adelson, "The Laplacian pyramid as a compact image code", IEEE Trans. Communications 1983; as
    weighted means, so that pixels of weight zero and the image's border leave no trace.

    Args:
        image: of this level.
        weights: of its pixels; those of the next level are `halved_weights` of them.

    Returns:
        images of ``(n + 1) // 2`` pixels along each axis; zero where nothing counts.
    """
    count = halved_weights(weights)
    return _blurred(image * weights) / torch.where(count > 0, count, 1.0)


def halved_weights(weights: Float[Tensor, "B *space"]) -> Float[Tensor, "B *half"]:
    """Weights of the next level: the share of the taps that the mask covers, in [0, 1]."""
    return _blurred(weights)


def _blurred(values: Tensor) -> Tensor:
    for axis in range(1, values.ndim):
        margin = [0, 0] * (values.ndim - 1 - axis) + [2, 2]
        padded = F.pad(values, margin)
        kept = torch.arange(0, values.shape[axis], 2, device=values.device)
        taken = [tap * padded.index_select(axis, kept + place) for place, tap in enumerate(TAPS)]
        values = torch.stack(taken).sum(dim=0)
    return values
