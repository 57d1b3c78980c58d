"""How like real frames rendered ones are, by the measures that a tissue model is judged with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffus.learning.loss import SCALES
from diffus.similarity import LC2, MIND, NCC, Similarity
from diffus.similarity.statistics import standardised

SIMILARITIES: dict[str, Similarity] = {"ncc": NCC(), "local_ncc": SCALES, "lc2": LC2(window=9)}
"""Higher for better. Local NCC is that of the training's loss: windows of 9 samples, at three scales."""
_MIND = MIND()


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """What one frame scored; all measures are blind to the gain and dynamic range of the scanner.

    Args:
        ncc: correlation, from -1 to 1.
        local_ncc: mean correlation within windows, at three scales, from -1 to 1.
        lc2: share of the real frame's local variance that the rendered one and its gradient explain, 0 to 1.
        mind_distance: mean squared difference of the MIND-SSC descriptors, 0 where both are alike.
        histogram_distance: see `histogram_distance`, in standard deviations.
    """

    ncc: float
    local_ncc: float
    lc2: float
    mind_distance: float
    histogram_distance: float


MEASURES = tuple(entry.name for entry in fields(FrameScores))
"""Names of the measures, in the order of tables."""


def score_frames(
    rendered_db: Float[Tensor, "F S N"], real: Float[Tensor, "F S N"], weights: Float[Tensor, "F S N"]
) -> tuple[FrameScores, ...]:
    """Score frames one by one.

    Args:
        rendered_db: rendered levels in dB.
        real: grey values of the ultrasound at the same samples.
        weights: 1 where a sample counts, else 0.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, and a frame in which no sample
            counts together with its neighbours.
    """
    found = {name: measure(rendered_db, real, weights) for name, measure in SIMILARITIES.items()}
    found["mind_distance"] = 1 - _MIND(rendered_db, real, weights)
    found["histogram_distance"] = histogram_distance(rendered_db, real, weights)
    rows = torch.stack([found[name] for name in MEASURES], dim=1).tolist()
    return tuple(FrameScores(**dict(zip(MEASURES, row, strict=True))) for row in rows)


def mean_scores(scores: Sequence[FrameScores]) -> FrameScores:
    """Mean of each measure; all count alike.

    Raises:
        ValueError: for no scores.
    """
    if not scores:
        raise ValueError("there are no scores to take the mean of")
    return FrameScores(
        **{name: float(np.mean([getattr(score, name) for score in scores])) for name in MEASURES}
    )


def histogram_distance(
    rendered_db: Float[Tensor, "F S N"], real: Float[Tensor, "F S N"], weights: Float[Tensor, "F S N"]
) -> Float[Tensor, " F"]:
    """Wasserstein distance of the values of both frames, each with mean 0 and variance 1 where it counts.

    In one dimension it is ``int |F^-1(u) - G^-1(u)| du`` with the quantile functions of both (Vallender,
    Theory of Probability and its Applications 18, 1974): the mean distance of sorted values. Rendered
    frames are expected ones and real frames have speckle, so that it is not 0 even for the true medium.

    Args:
        rendered_db: rendered levels in dB.
        real: grey values.
        weights: samples with any weight above 0 count, all alike.

    Returns:
        distance of each frame in standard deviations, 0 or more.
    """
    distances = []
    for images in zip(rendered_db, real, weights > 0, strict=True):
        counted = images[2]
        ordered = [_unit(image[counted]).sort().values for image in images[:2]]
        distances.append((ordered[0] - ordered[1]).abs().mean())
    return torch.stack(distances)


def _unit(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return standardised(values[None], torch.ones_like(values)[None])[0]
