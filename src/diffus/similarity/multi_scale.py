"""One measure at several levels of a Gaussian pyramid: wide capture and a sharp optimum together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.similarity.inputs import checked_images
from diffus.similarity.measure import Images, Mask, Scores, Similarity
from diffus.similarity.pyramid import halved, halved_weights


@dataclass(frozen=True, eq=False)
class MultiScale:
    """The sum of a measure over levels of a pyramid, each times its weight.

    Level 0 is the images as given, and each further level has half the pixels along each axis, so that
    windows and patches span twice the millimetres. Start a registration with the coarse levels alone,
    ``levels=(2, 3)``, and end it with ``(0,)``.

    Args:
        measure: what to evaluate at each level.
        levels: which ones.
        weights: one for each, of any sign; a tensor may carry gradients. By default all alike, with sum 1.

    Raises:
        ValueError: for no level, or a negative one, or another number of weights than levels; when called,
            for images of which a level is too small for the measure.
    """

    measure: Similarity
    levels: Sequence[int] = (0, 1, 2)
    weights: Float[Tensor, " L"] | None = None

    def __post_init__(self) -> None:
        count = len(self.levels)
        if count == 0 or min(self.levels) < 0:
            raise ValueError(f"levels: expected one or more numbers from 0 on, got {tuple(self.levels)}")
        if self.weights is not None and tuple(self.weights.shape) != (count,):
            raise ValueError(
                f"weights: expected shape ({count},), one for each level, got {tuple(self.weights.shape)}"
            )

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
        by_level = {}
        for level in range(max(self.levels) + 1):
            if level:
                moving, fixed, weights = (
                    halved(moving, weights),
                    halved(fixed, weights),
                    halved_weights(weights),
                )
            if level in self.levels:
                by_level[level] = self._at(level, moving, fixed, weights)
        scores = torch.stack([by_level[level] for level in self.levels], dim=-1)
        return scores.mean(dim=-1) if self.weights is None else scores @ self.weights.to(scores)

    def _at(self, level: int, moving: Images, fixed: Images, weights: Tensor) -> Scores:
        try:
            return self.measure(moving, fixed, weights)
        except ValueError as error:
            size = " x ".join(map(str, fixed.shape[1:]))
            raise ValueError(f"at level {level} of the pyramid ({size}): {error}") from error
