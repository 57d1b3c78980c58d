"""Normalised cross-correlation of whole images."""

from __future__ import annotations

from dataclasses import dataclass

from diffus.similarity.inputs import checked_images
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import standardised, weighted_mean


def ncc(moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
    """Pearson's correlation of the two images' values.

    Blind to gain and offset of either image; a negative gain turns its sign. An image that is constant scores
    0, with zero gradient.

    Args:
        moving: one image.
        fixed: the other.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.

    Returns:
        from -1 to 1.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite, see `diffus.similarity.inputs`.
    """
    (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
    return weighted_mean(standardised(moving, weights) * standardised(fixed, weights), weights)


@dataclass(frozen=True)
class NCC:
    """`ncc` as a measure; it has no options."""

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return ncc(moving, fixed, mask)
