"""LC2: linear correlation of a linear combination, the measure made for ultrasound against MRI."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.similarity.derivatives import gradient_magnitude
from diffus.similarity.inputs import checked_images, require_some
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import standardised
from diffus.similarity.windows import LEAST_VARIANCE, LocalMeans, Window, eroded, window_widths


def lc2(
    moving: Images | Sequence[Images],
    fixed: Images,
    mask: Mask | None = None,
    *,
    window: Window = 9,
    spacing: Sequence[float] | None = None,
) -> Scores:
    """Share of the fixed image's local variance that a linear combination of the regressors explains.

    Wein et al., "Global registration of ultrasound to MRI using the LC2 metric for enabling neurosurgical
    guidance", MICCAI 2013; Fuerst et al., Medical Image Analysis 2014. In the window around each pixel
    ``fixed = a M + b |grad M| + c`` is fitted by least squares, and the window weighs as much as its variance
    and the share of it that the mask covers. So the score is the sum of all explained variances over the sum
    of all variances. A ridge of `LEAST_VARIANCE` times each regressor's global variance keeps windows without
    structure from being fitted to noise.

    Blind to gain and offset of either image, with either sign, and to contrasts that change from window to
    window. It is not symmetric: ``fixed`` is the ultrasound.

    Args:
        moving: the MRI, whose gradient is formed here (a pixel then counts where its neighbours lie in the
            mask); or a sequence of K regressors, used as they stand.
        fixed: the ultrasound.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.
        window: width of the box in pixels, odd; one number, or one for each axis. It should hold many more
            pixels than there are regressors.
        spacing: of the pixels along each axis, in any unit, for the gradient of the MRI; equal by default.

    Returns:
        from 0 to 1; 0 for a fixed image that is constant.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite; for a window that is even or
            larger than the images; for no regressor.
    """
    if isinstance(moving, Tensor):
        (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
        anatomy = standardised(moving, weights)
        weights = eroded(weights, 1)
        require_some(
            weights, "holds no pixel together with its neighbours, which a gradient needs; take a larger one"
        )
        regressors = [anatomy, gradient_magnitude(anatomy, spacing)]
    else:
        if not moving:
            raise ValueError("moving: expected one regressor or more, got an empty sequence")
        named = {f"moving[{number}]": regressor for number, regressor in enumerate(moving)}
        (fixed, *regressors), weights = checked_images(mask, fixed=fixed, **named)
    local = LocalMeans(weights, window_widths(window, fixed.shape[1:]))
    columns = [standardised(regressor, weights) for regressor in regressors]
    return _explained_share(columns, standardised(fixed, weights), local)


@dataclass(frozen=True)
class LC2:
    """`lc2` as a measure.

    Args:
        window: width of the box in pixels, odd; one number, or one for each axis.
        spacing: of the pixels along each axis, in any unit, for the gradient of the MRI; equal by default.
    """

    window: Window = 9
    spacing: Sequence[float] | None = None

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return lc2(moving, fixed, mask, window=self.window, spacing=self.spacing)


def _explained_share(
    columns: list[Float[Tensor, "_ *space"]], fixed: Float[Tensor, "_ *space"], local: LocalMeans
) -> Scores:
    means = [local(column) for column in columns]
    mean = local(fixed)
    gram = {
        (row, column): local(columns[row] * columns[column]) - means[row] * means[column]
        for row, column in itertools.combinations_with_replacement(range(len(columns)), 2)
    }
    cross = [local(column * fixed) - at * mean for column, at in zip(columns, means, strict=True)]
    explained = _quadratic_form(gram, cross) * local.coverage
    total = ((local(fixed.square()) - mean.square()).clamp_min(0) * local.coverage).flatten(1).sum(dim=1)
    constant = total <= 0
    return torch.where(constant, 0.0, explained.flatten(1).sum(dim=1) / torch.where(constant, 1.0, total))


def _quadratic_form(gram: dict[tuple[int, int], Tensor], cross: list[Tensor]) -> Tensor:
    """``cross^T (gram + ridge)^-1 cross`` by Gaussian elimination, for all pixels at once.

    With the ridge each pivot is LEAST_VARIANCE at least, in exact arithmetic; rounding must not take that
    away.
    """
    gram, cross = dict(gram), list(cross)
    size = len(cross)
    terms = []
    for step in range(size):
        pivot = (gram[step, step] + LEAST_VARIANCE).clamp_min(LEAST_VARIANCE)
        terms.append(cross[step].square() / pivot)
        for row in range(step + 1, size):
            factor = gram[step, row] / pivot
            cross[row] = cross[row] - factor * cross[step]
            for column in range(row, size):
                gram[row, column] = gram[row, column] - factor * gram[step, column]
    return torch.stack(terms).sum(dim=0)
