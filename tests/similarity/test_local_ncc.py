"""Local NCC against a loop over windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.similarity.pairs import blob_mask, related, texture
from tests.similarity.test_windows import boxes
from torch import Tensor

from diffus.similarity import LocalNCC, local_ncc
from diffus.similarity.windows import LEAST_VARIANCE


def by_loop(moving: Tensor, fixed: Tensor, weights: Tensor, widths: tuple[int, ...], squared: bool) -> float:
    """One pair of images: the definition, window by window."""
    images = [image - np.average(image, weights=weights) for image in (moving.numpy(), fixed.numpy())]
    images = [image / np.sqrt(np.average(image**2, weights=weights)) for image in images]
    total = coverage = 0.0
    for _, box in boxes(tuple(weights.shape), widths):
        here = weights.numpy()[box].ravel()
        if here.sum() == 0:
            continue
        (a, ab), (_, b) = np.cov(*(image[box].ravel() for image in images), aweights=here, ddof=0)
        score = ab / np.sqrt((a + LEAST_VARIANCE) * (b + LEAST_VARIANCE))
        total += here.sum() * (score**2 if squared else score)
        coverage += here.sum()
    return total / coverage


@pytest.mark.parametrize("squared", [False, True], ids=["signed", "squared"])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize(("shape", "widths"), [((2, 14, 11), (5, 9)), ((1, 6, 7, 8), (3, 5, 7))])
def test_against_the_loop(
    shape: tuple[int, ...], widths: tuple[int, ...], masked: bool, squared: bool
) -> None:
    moving, fixed = related(*shape, seed=1)
    weights = blob_mask(*shape, seed=2) if masked else torch.ones(shape, dtype=torch.float64)
    scores = local_ncc(moving, fixed, weights if masked else None, window=widths, squared=squared)
    for item, score in enumerate(scores):
        expected = by_loop(moving[item], fixed[item], weights[item], widths, squared)
        assert float(score) == pytest.approx(expected, rel=1e-10)


def test_one_width_serves_all_axes() -> None:
    moving, fixed = related(1, 14, 15, seed=3)
    assert torch.equal(LocalNCC(window=5)(moving, fixed), local_ncc(moving, fixed, window=(5, 5)))


def test_a_window_over_all_is_global() -> None:
    """The middle window of an odd image sees all of it; the others hang over the border and weigh less."""
    moving, fixed = related(1, 9, 9, seed=4)
    mask = torch.zeros(9, 9)
    mask[4, 4] = 1.0
    assert float(local_ncc(moving, fixed, mask, window=9)) == 0.0  # one pixel has no contrast
    assert float(local_ncc(moving, moving, window=9)) == pytest.approx(1.0, abs=1e-3)


def test_contrast_that_turns_over_the_image() -> None:
    image = texture(1, 40, 40, seed=5)
    turned = image.clone()
    turned[..., 20:] *= -1
    assert abs(float(local_ncc(turned, image))) < 0.15
    assert float(local_ncc(turned, image, squared=True)) > 0.8
