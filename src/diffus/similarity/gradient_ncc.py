"""Normalised cross-correlation of the images' derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffus.similarity.derivatives import derivatives
from diffus.similarity.inputs import checked_images, require_some
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import standardised, weighted_mean
from diffus.similarity.windows import eroded


def gradient_ncc(moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
    """Mean over the axes of the correlation of the derivatives along each.

    "Gradient correlation" of Penney et al., "A comparison of similarity measures for use in 2-D-3-D medical
    image registration", IEEE TMI 1998. Blind to gain and offset, and to shading that changes slowly: edges
    count. A derivative counts where its neighbours lie in the mask, with the least of their weights.

    Args:
        moving: one image.
        fixed: the other.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.

    Returns:
        from -1 to 1.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite; for a mask without a single pixel
            whose neighbours it holds as well.
    """
    (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
    # Constant images are told from faint ones before differencing, which leaves only their rounding errors.
    moving, fixed = standardised(moving, weights), standardised(fixed, weights)
    weights = eroded(weights, 1)
    require_some(
        weights, "holds no pixel together with its neighbours, which derivatives need; take a larger one"
    )
    along_axes = [
        weighted_mean(standardised(one, weights) * standardised(other, weights), weights)
        for one, other in zip(derivatives(moving), derivatives(fixed), strict=True)
    ]
    return torch.stack(along_axes).mean(dim=0)


@dataclass(frozen=True)
class GradientNCC:
    """`gradient_ncc` as a measure; it has no options."""

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return gradient_ncc(moving, fixed, mask)
