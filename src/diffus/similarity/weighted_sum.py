"""Several measures as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.similarity.measure import Images, Mask, Scores, Similarity


@dataclass(frozen=True, eq=False)
class WeightedSum:
    """The sum of K measures, each times its weight.

    Args:
        measures: what to sum; may hold a `MultiScale` or another sum.
        weights: one for each, of any sign; a tensor may carry gradients. By default each is 1 / K.

    Raises:
        ValueError: for no measure, or another number of weights than measures.
    """

    measures: Sequence[Similarity]
    weights: Float[Tensor, " K"] | None = None

    def __post_init__(self) -> None:
        count = len(self.measures)
        if count == 0:
            raise ValueError("measures: expected one or more, got none")
        if self.weights is not None and tuple(self.weights.shape) != (count,):
            raise ValueError(
                f"weights: expected shape ({count},), one for each measure, got {tuple(self.weights.shape)}"
            )

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        scores = torch.stack([measure(moving, fixed, mask) for measure in self.measures], dim=-1)
        return scores.mean(dim=-1) if self.weights is None else scores @ self.weights.to(scores)
