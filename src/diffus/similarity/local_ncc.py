"""Normalised cross-correlation in the window around each pixel."""

from __future__ import annotations

from dataclasses import dataclass

from diffus.similarity.inputs import checked_images
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import standardised, weighted_mean
from diffus.similarity.windows import LEAST_VARIANCE, LocalMeans, Window, window_widths


def local_ncc(
    moving: Images,
    fixed: Images,
    mask: Mask | None = None,
    *,
    window: Window = 9,
    squared: bool = False,
) -> Scores:
    """Mean over all windows of the correlation within each.

    Avants et al., "Symmetric diffeomorphic image registration with cross-correlation", Medical Image Analysis
    2008. Blind to gain and offset that change slowly over the image. With variances in units of the whole
    images' and e = `LEAST_VARIANCE`, a window scores ``cov(m, f) / sqrt((var(m) + e) (var(f) + e))``, so that
    one without structure counts as 0. A window weighs as much as the share of it that the mask covers;
    outside the image there is nothing.

    Args:
        moving: one image.
        fixed: the other.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.
        window: width of the box in pixels, odd; one number, or one for each axis.
        squared: square the correlations, so that a window counts alike with either sign of contrast.

    Returns:
        from -1 to 1; with ``squared`` from 0 to 1.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite; for a window that is even or
            larger than the images.
    """
    (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
    local = LocalMeans(weights, window_widths(window, fixed.shape[1:]))
    moving, fixed = standardised(moving, weights), standardised(fixed, weights)
    mean_moving, mean_fixed = local(moving), local(fixed)
    covariance = local(moving * fixed) - mean_moving * mean_fixed
    of_moving = (local(moving.square()) - mean_moving.square()).clamp_min(0) + LEAST_VARIANCE
    of_fixed = (local(fixed.square()) - mean_fixed.square()).clamp_min(0) + LEAST_VARIANCE
    if squared:
        return weighted_mean(covariance.square() / (of_moving * of_fixed), local.coverage)
    return weighted_mean(covariance * (of_moving * of_fixed).rsqrt(), local.coverage)


@dataclass(frozen=True)
class LocalNCC:
    """`local_ncc` as a measure.

    Args:
        window: width of the box in pixels, odd; one number, or one for each axis.
        squared: square the correlations, so that a window counts alike with either sign of contrast.
    """

    window: Window = 9
    squared: bool = False

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return local_ncc(moving, fixed, mask, window=self.window, squared=self.squared)
