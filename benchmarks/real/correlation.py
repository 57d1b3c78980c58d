"""How large the grain of an image is: the half-width of its autocovariance along depth and across scanlines.

Anatomy is removed with the mean over a box of 5 mm, which shortens lengths above a millimetre a little,
for all images alike.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from .scanline_image import ScanlineImage

AXES = ("axial", "lateral")
BANDS = ("near", "mid", "far")
"""Thirds of the imaged depth."""

LOCAL_MM = 5.0
"""Side of the box whose mean is removed, so that grain is measured and anatomy is not."""
LONGEST_MM = 4.0
"""Lags are followed so far."""
LEAST_VARIANCE = 1e-6
"""A quarter of a step of 8-bit grey, squared: what is flatter has no grain."""
FEWEST_SAMPLES = 400
"""A band with less of an image says nothing."""


@cache
def band_lengths_mm(image: ScanlineImage, axis: str, equalised: bool = False) -> tuple[float, ...]:
    """Correlation length in each band of depth; NaN where the band holds too little of an image.

    Args:
        image: what to measure.
        axis: axial or lateral.
        equalised: divide by the local standard deviation first, so that the grain of dim tissue counts as
            much as bright structures, which otherwise make up most of the covariance.
    """
    grain = image.grey - local_mean(image)
    if equalised:
        square = replace(image, grey=grain**2)
        grain = grain / local_mean(square).clamp_min(LEAST_VARIANCE).sqrt()
    edges = torch.linspace(0, image.grey.shape[1], len(BANDS) + 1).round().long().tolist()
    lengths = []
    for start, stop in pairwise(edges):
        values, mask = grain[:, start:stop], image.mask[:, start:stop]
        if int(mask.sum()) < FEWEST_SAMPLES:
            lengths.append(math.nan)
        elif axis == "axial":
            lengths.append(half_width(values, mask, image.step_mm))
        else:
            lengths.append(half_width(values.T, mask.T, float(image.spacing_mm[start:stop].mean())))
    return tuple(lengths)


def local_mean(image: ScanlineImage) -> Float[Tensor, "S N"]:
    """Mean over a box of `LOCAL_MM` that keeps to the mask, as many scanlines wide as at the middle depth."""
    across = float(image.spacing_mm[image.grey.shape[1] // 2])
    box = [2 * int(LOCAL_MM / 2 / step) + 1 for step in (across, image.step_mm)]
    mask = image.mask.to(image.grey)
    stacked = torch.stack([image.grey * mask, mask])[:, None]
    total, weight = F.avg_pool2d(stacked, box, stride=1, padding=[n // 2 for n in box])[:, 0]
    return total / weight.clamp_min(1e-6)


def half_width(
    values: Float[Tensor, "lines lags"], mask: Bool[Tensor, "lines lags"], step_mm: float
) -> float:
    """Lag in mm along the last axis at which the autocovariance has fallen to half, over pairs in the mask.

    Stops at `LONGEST_MM` or half of the axis, where it has not fallen so far.
    """
    kept = torch.where(mask, values - values[mask].mean(), torch.zeros_like(values))
    length = values.shape[-1]
    last = min(length // 2, math.ceil(LONGEST_MM / step_mm))
    whole = before = float((kept**2).sum() / mask.sum())
    for lag in range(1, last + 1):
        pairs = mask[:, lag:] & mask[:, : length - lag]
        covariance = float((kept[:, lag:] * kept[:, : length - lag] * pairs).sum() / pairs.sum().clamp_min(1))
        if covariance < whole / 2:
            return step_mm * (lag - 1 + (before - whole / 2) / (before - covariance))
        before = covariance
    return step_mm * last
