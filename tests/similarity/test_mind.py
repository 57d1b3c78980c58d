"""MIND-SSC against a loop over pixels, and what it is blind to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from tests.similarity.pairs import blob_mask, related, texture
from torch import Tensor

from diffus.similarity import MIND, mind, mind_descriptor
from diffus.similarity.windows import LEAST_VARIANCE


def by_loop(image: np.ndarray, patch: int, dilation: int) -> np.ndarray:
    """Descriptor of one image of unit variance, from the definition."""
    rank, reach = image.ndim, patch // 2
    neighbours = [
        sign * dilation * np.eye(rank, dtype=int)[axis]
        for axis, sign in itertools.product(range(rank), (-1, 1))
    ]
    pairs = [(a, b) for a, b in itertools.combinations(neighbours, 2) if not np.array_equal(a, -b)]
    last = np.array(image.shape) - 1

    def value(at: np.ndarray) -> float:
        return float(image[tuple(np.clip(at, 0, last))])

    result = np.zeros((len(pairs), *image.shape))
    for centre in itertools.product(*map(range, image.shape)):
        around = [np.add(centre, step) for step in itertools.product(range(-reach, reach + 1), repeat=rank)]
        around = [at for at in around if (at >= 0).all() and (at <= last).all()]
        distance = np.array(
            [np.mean([(value(at + a) - value(at + b)) ** 2 for at in around]) for a, b in pairs]
        )
        result[(slice(None), *centre)] = np.exp(
            (distance.min() - distance) / (distance.mean() + LEAST_VARIANCE)
        )
    return result


def standard(image: Tensor, weights: Tensor) -> Tensor:
    mean = (image * weights).sum() / weights.sum()
    return (image - mean) / (((image - mean).square() * weights).sum() / weights.sum()).sqrt()


def matched(ours: np.ndarray, expected: np.ndarray) -> bool:
    """Alike up to the order of the pairs."""
    order = [int(np.argmin([np.abs(one - other).max() for other in expected])) for one in ours]
    return sorted(order) == list(range(len(expected))) and np.allclose(ours, expected[order], atol=1e-10)


@pytest.mark.parametrize(
    ("space", "patch", "dilation", "pairs"), [((11, 12), 3, 2, 4), ((11, 12), 5, 1, 4), ((5, 6, 5), 3, 1, 12)]
)
def test_descriptor(space: tuple[int, ...], patch: int, dilation: int, pairs: int) -> None:
    image = texture(2, *space, seed=1)
    descriptor = mind_descriptor(image, patch=patch, dilation=dilation)
    assert descriptor.shape == (2, pairs, *space)
    assert torch.equal(descriptor.amax(dim=1), torch.ones(2, *space, dtype=torch.float64))
    for item in range(2):
        expected = by_loop(standard(image[item], torch.ones(space)).numpy(), patch, dilation)
        assert matched(descriptor[item].numpy(), expected)


def test_score() -> None:
    moving, fixed = related(2, 11, 12, seed=2)
    for item, score in enumerate(mind(moving, fixed)):
        ones = torch.ones(11, 12)
        ours, theirs = (by_loop(standard(image[item], ones).numpy(), 3, 2) for image in (moving, fixed))
        assert float(score) == pytest.approx(1 - np.mean((ours - theirs) ** 2), rel=1e-9)


def test_masked_score() -> None:
    """A pixel weighs as the least weight within dilation + patch // 2, here 2."""
    moving, fixed = related(1, 14, 13, seed=3)
    weights = blob_mask(1, 14, 13, seed=4)[0]
    weights[:9, 2:10] = weights[:9, 2:10].clamp_min(0.5)
    ours, theirs = (by_loop(standard(image[0], weights).numpy(), 3, 1) for image in (moving, fixed))
    total = count = 0.0
    for i, j in itertools.product(range(14), range(13)):
        least = float(weights[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].min())
        total += least * np.mean((ours[:, i, j] - theirs[:, i, j]) ** 2)
        count += least
    assert 0 < count < 0.7 * float(weights.sum())
    assert float(mind(moving, fixed, weights, dilation=1)) == pytest.approx(1 - total / count, rel=1e-9)


def test_blind_to_contrast_that_differs_from_region_to_region() -> None:
    image = texture(1, 40, 60, seed=5)
    changed = image.clone()
    changed[..., :30] = 3 - 2 * image[..., :30]
    changed[..., 30:] = 0.2 * image[..., 30:] + 11
    seam = (torch.arange(60) - 29.5).abs() > 5
    assert float(mind(changed, image, seam.expand(40, 60))) > 0.999
    assert float(mind(changed, image)) > float(mind(texture(1, 40, 60, seed=6), image)) + 0.05


def test_flat_images_are_all_self_similar() -> None:
    flat = torch.full((1, 12, 12), 0.1)
    assert torch.equal(mind_descriptor(flat), torch.ones(1, 4, 12, 12))
    assert float(mind(flat, 3 * flat)) == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 4}, "odd patch.*got patch 4"),
        ({"dilation": 0}, "dilation of 1 or more"),
        ({"patch": 9}, r"needs 13 pixels along each axis, the images are \(12, 13\)"),
    ],
)
def test_refused_options(options: dict, message: str) -> None:
    images = related(1, 12, 13, seed=7)
    with pytest.raises(ValueError, match=message):
        mind(*images, **options)
    with pytest.raises(ValueError, match=message):
        mind_descriptor(images[0], **options)


def test_a_mask_too_thin_for_a_patch() -> None:
    mask = torch.zeros(12, 13, dtype=torch.bool)
    mask[5:8] = True
    with pytest.raises(ValueError, match="no patch together with its neighbours"):
        MIND()(*related(1, 12, 13, seed=8), mask)
