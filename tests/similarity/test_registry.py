"""Measures by name."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.similarity.pairs import blob_mask, related

import diffus.similarity
from diffus.similarity import LC2, SIMILARITIES, similarity


@pytest.mark.parametrize("name", SIMILARITIES)
def test_by_name_as_by_function(name: str) -> None:
    moving, fixed = related(1, 20, 21, seed=1)
    mask = torch.ones(20, 21)
    measure = similarity(name)
    function = getattr(diffus.similarity, name)
    assert torch.equal(measure(moving, fixed, mask), function(moving, fixed, mask))
    assert isinstance(measure, diffus.similarity.Similarity)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(measure, "window", 3)  # noqa: B010


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("local_ncc", {"window": 5, "squared": True}),
        ("lc2", {"window": (3, 7), "spacing": (0.3, 0.1)}),
        ("mind", {"patch": 5, "dilation": 1}),
        (
            "mutual_information",
            {"bins": 9, "normalised": True, "moving_range": (-2.0, 2.0), "fixed_range": (-1.0, 1.5)},
        ),
    ],
)
def test_options_reach_the_function(name: str, options: dict) -> None:
    moving, fixed = related(1, 20, 21, seed=2)
    mask = blob_mask(1, 20, 21, seed=3) > 0
    expected = getattr(diffus.similarity, name)(moving, fixed, mask, **options)
    assert torch.equal(similarity(name, **options)(moving, fixed, mask), expected)
    assert not torch.allclose(similarity(name)(moving, fixed, mask), expected, atol=1e-6)


def test_equal_options_are_equal_measures() -> None:
    assert similarity("lc2", window=7) == LC2(window=7) != LC2()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("LC3", {}, "unknown similarity 'LC3': expected one of 'ncc', 'local_ncc'.*'lc2'"),
        (
            "lc2",
            {"widow": 7},
            "unknown option of similarity 'lc2' 'widow': expected one of 'window', 'spacing'",
        ),
        ("ncc", {"window": 7}, "similarity 'ncc' has no options, got 'window'"),
    ],
)
def test_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        similarity(name, **options)
