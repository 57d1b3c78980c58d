"""Sums of measures."""

from __future__ import annotations

import pytest
import torch
from tests.similarity.pairs import blob_mask, related
from tests.support import as_users_run

from diffus.similarity import MIND, NCC, WeightedSum, mind, ncc


def test_sum_by_hand() -> None:
    moving, fixed = related(2, 20, 21, seed=1)
    mask = blob_mask(2, 20, 21, seed=2)
    parts = ncc(moving, fixed, mask), mind(moving, fixed, mask, dilation=1)
    measures = [NCC(), MIND(dilation=1)]
    weighted = WeightedSum(measures, torch.tensor([2.0, -0.5], dtype=torch.float64))
    assert torch.allclose(weighted(moving, fixed, mask), 2 * parts[0] - 0.5 * parts[1], rtol=1e-12)
    assert torch.allclose(WeightedSum(measures)(moving, fixed, mask), (parts[0] + parts[1]) / 2, rtol=1e-12)


def test_refused() -> None:
    with pytest.raises(ValueError, match="measures: expected one or more, got none"):
        WeightedSum([])
    with as_users_run(), pytest.raises(ValueError, match=r"weights: expected shape \(1,\).*got \(3,\)"):
        WeightedSum([NCC()], torch.ones(3))
