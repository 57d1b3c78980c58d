"""Mutual information against a loop over pixels and bins, and what it is blind to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from tests.similarity.pairs import blob_mask, related, texture
from torch import Tensor

from diffus.similarity import MutualInformation, mutual_information

CUBIC = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)


def window(place: float, bins: int) -> np.ndarray:
    """Share of a value, from 0 to 1, in each bin; the range spans the bins from 1 to bins - 2."""
    return np.nan_to_num(CUBIC(np.arange(bins) - (1 + place * (bins - 3))))


def by_loop(moving: Tensor, fixed: Tensor, weights: Tensor, bins: int) -> tuple[float, float]:
    """One pair of images: mutual information, and the normalised one."""
    joint = np.zeros((bins, bins))
    inside = weights > 0
    places = [
        (image - image[inside].min()) / (image[inside].max() - image[inside].min())
        for image in (moving, fixed)
    ]
    for m, f, w in zip(*(place[inside].tolist() for place in places), weights[inside].tolist(), strict=True):
        joint += w * np.outer(window(m, bins), window(f, bins))
    joint /= joint.sum()
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    of_rows, of_columns, of_joint = (
        -sum(p * math.log(p) for p in q.ravel() if p > 0) for q in (rows, columns, joint)
    )
    return of_rows + of_columns - of_joint, (of_rows + of_columns) / of_joint


@pytest.mark.parametrize("bins", [5, 8, 32])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_against_the_loop(bins: int, masked: bool) -> None:
    moving, fixed = related(2, 15, 16, seed=1)
    weights = blob_mask(2, 15, 16, seed=2) if masked else torch.ones(2, 15, 16, dtype=torch.float64)
    mask = weights if masked else None
    plain = mutual_information(moving, fixed, mask, bins=bins)
    normalised = mutual_information(moving, fixed, mask, bins=bins, normalised=True)
    for item in range(2):
        expected = by_loop(moving[item], fixed[item], weights[item], bins)
        assert float(plain[item]) == pytest.approx(expected[0], abs=1e-8)
        assert float(normalised[item]) == pytest.approx(expected[1], abs=1e-8)


def test_volumes() -> None:
    moving, fixed = related(1, 6, 7, 8, seed=3)
    expected = by_loop(moving[0], fixed[0], torch.ones(6, 7, 8, dtype=torch.float64), 12)
    assert float(mutual_information(moving, fixed, bins=12)) == pytest.approx(expected[0], abs=1e-8)


def test_gaussian_pair_has_the_textbook_value() -> None:
    """``-log(1 - rho^2) / 2`` for jointly Gaussian values, less what the windows blur."""
    generator = torch.Generator().manual_seed(4)
    one, other = torch.randn(2, 1, 600, 600, generator=generator, dtype=torch.float64)
    for rho in (0.3, 0.6, 0.9):
        mixed = rho * one + math.sqrt(1 - rho**2) * other
        score = mutual_information(one, mixed, bins=64, moving_range=(-4, 4), fixed_range=(-4, 4))
        assert float(score) == pytest.approx(-0.5 * math.log(1 - rho**2), rel=0.05)


def test_independent_images_share_nothing() -> None:
    one, other = torch.rand(2, 4, 200, 200, dtype=torch.float64)
    assert (mutual_information(one, other, bins=16).abs() < 0.01).all()
    assert (mutual_information(one, other, bins=16, normalised=True) - 1 < 0.002).all()


def test_nearly_blind_to_any_one_to_one_map() -> None:
    image = texture(1, 60, 60, seed=5)
    fixed = image + 0.3 * texture(1, 60, 60, seed=6)
    expected = float(mutual_information(image, fixed))
    for mapped in (torch.sinh(0.5 * image), torch.exp(0.3 * image), torch.atan(image), -torch.atan(image)):
        assert float(mutual_information(mapped, fixed)) == pytest.approx(expected, rel=0.15)
    assert float(mutual_information(texture(1, 60, 60, seed=7), fixed)) < 0.4 * expected


def test_maps_that_are_not_monotone() -> None:
    """Where values are few, any relabelling tells as much: what neither NCC nor a linear fit can see."""
    generator = torch.Generator().manual_seed(8)
    labels = torch.randint(0, 4, (1, 60, 60), generator=generator)
    image = labels.double()
    relabelled = torch.tensor([2.0, 0.0, 3.0, 1.0], dtype=torch.float64)[labels]
    assert float(mutual_information(image, relabelled)) == pytest.approx(
        float(mutual_information(image, image)), rel=0.03
    )


def test_a_given_range_clamps() -> None:
    moving, fixed = related(1, 20, 21, seed=9)
    given = mutual_information(moving, fixed, moving_range=(-1.0, 1.0), fixed_range=(-2.0, 2.5))
    clamped = mutual_information(
        moving.clamp(-1, 1), fixed.clamp(-2, 2.5), moving_range=(-1.0, 1.0), fixed_range=(-2.0, 2.5)
    )
    assert torch.equal(given, clamped)
    assert not torch.allclose(given, mutual_information(moving, fixed), atol=1e-3)


def test_a_single_outlier_does_not_matter_with_a_given_range() -> None:
    moving, fixed = related(1, 40, 41, seed=10)
    spoilt = moving.clone()
    spoilt[0, 0, 0] = 1e6
    measure = MutualInformation(moving_range=(-3.0, 3.0), fixed_range=(-3.0, 3.0))
    assert torch.allclose(measure(spoilt, fixed), measure(moving, fixed), atol=0.01)
    assert float(mutual_information(spoilt, fixed)) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 4}, "bins: expected 5 or more, got 4"),
        ({"moving_range": (1.0, 1.0)}, r"moving_range: expected \(lowest, highest\).*\(1.0, 1.0\)"),
        ({"fixed_range": (0.0, float("inf"))}, "fixed_range"),
        ({"fixed_range": (float("nan"), 1.0)}, "fixed_range"),
    ],
)
def test_refused_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mutual_information(*related(1, 8, 9, seed=11), **options)
