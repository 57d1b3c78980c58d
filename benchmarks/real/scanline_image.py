"""An image on scanlines, real or rendered, as the metrics see it: the same grid in mm for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAIN_BANG_MM = 4.0
"""Depth left out below the face, where real images show the ringing of the transducer itself."""


@dataclass(frozen=True, eq=False)
class ScanlineImage:
    """Grey values along scanlines.

    Args:
        grey: (S, N) in [0, 1], scanlines with growing x, samples with growing depth.
        mask: (S, N), where the sector has an image.
        step_mm: depth of a sample.
        spacing_mm: (N,), distance between neighbouring scanlines at each depth.
    """

    grey: Float[Tensor, "S N"]
    mask: Bool[Tensor, "S N"]
    step_mm: float
    spacing_mm: Float[Tensor, " N"]

    @property
    def area(self) -> Float[Tensor, "S N"]:
        """Share of the imaged area that each sample stands for; they add up to 1."""
        weights = self.mask * self.spacing_mm.to(self.grey)
        return weights / weights.sum().clamp_min(1e-12)

    def mean(self) -> float:
        """Mean grey over the imaged area."""
        return float((self.grey * self.area).sum())

    def std(self) -> float:
        """Standard deviation of the grey over the imaged area."""
        return float((((self.grey - self.mean()) ** 2) * self.area).sum().sqrt())


def pooled(images: Sequence[ScanlineImage]) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Grey values of all images and their weights: every image counts alike, and every mm^2 within it."""
    grey = torch.cat([image.grey[image.mask] for image in images])
    weights = torch.cat([image.area[image.mask] / len(images) for image in images])
    return grey, weights
