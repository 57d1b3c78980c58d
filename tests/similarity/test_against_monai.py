"""MONAI's losses as independent oracles, where MONAI is installed (``pip install --no-deps monai``)."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.similarity.pairs import related, texture

from diffus.similarity import local_ncc, mutual_information
from diffus.similarity.windows import window_sum

losses = pytest.importorskip("monai.losses", reason="MONAI is an oracle for developers")


@pytest.mark.parametrize(("space", "width"), [((24, 30), 9), ((24, 30), 5), ((10, 11, 12), 3)])
def test_squared_local_ncc(space: tuple[int, ...], width: int) -> None:
    """MONAI pads with zeros and counts them. In a frame of zeros as wide as a window both do, and all that
    differs is how many windows the mean is taken over."""
    moving, fixed = related(1, *space, seed=1)
    moving, fixed = (F.pad(image, (width,) * 2 * len(space)) for image in (moving, fixed))
    loss = losses.LocalNormalizedCrossCorrelationLoss(
        spatial_dims=len(space), kernel_size=width, reduction="sum", smooth_dr=1e-9
    )
    expected = -float(loss(moving[:, None], fixed[:, None]))
    coverage = window_sum(torch.ones_like(moving), (width,) * len(space)).sum() / width ** len(space)
    score = float(local_ncc(moving, fixed, window=width, squared=True) * coverage)
    assert score == pytest.approx(expected, rel=3e-3)


def test_mutual_information() -> None:
    """A cubic B-spline is nearly a Gaussian with a variance of a third of a bin."""
    bins = 34
    for strength in (0.2, 1.0, 5.0):
        one, other = texture(1, 80, 90, seed=2), texture(1, 80, 90, seed=3)
        moving, fixed = (
            (0.5 + 0.1 * image / image.std()).clamp(0.02, 0.98) for image in (one, other + strength * one)
        )
        ours = mutual_information(moving, fixed, bins=bins, moving_range=(0.0, 1.0), fixed_range=(0.0, 1.0))
        loss = losses.GlobalMutualInformationLoss(num_bins=bins - 2, sigma_ratio=math.sqrt(1 / 3))
        theirs = -float(loss(moving[:, None], fixed[:, None]))
        assert float(ours) == pytest.approx(theirs, rel=0.01)
