"""LC2 against least squares in every window by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.similarity.pairs import blob_mask, related, texture
from tests.similarity.test_windows import boxes
from torch import Tensor

from diffus.similarity import lc2
from diffus.similarity.derivatives import LEAST_SLOPE
from diffus.similarity.windows import LEAST_VARIANCE


def standard(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    centred = image - np.average(image, weights=weights)
    return centred / np.sqrt(np.average(centred**2, weights=weights))


def by_least_squares(
    regressors: list[np.ndarray],
    fixed: np.ndarray,
    weights: np.ndarray,
    widths: tuple[int, ...],
    ridge: float,
) -> float:
    """One pair of images: in each window a ridge regression, as rows added to an ordinary one."""
    regressors, fixed = [standard(r, weights) for r in regressors], standard(fixed, weights)
    explained = total = 0.0
    for _, box in boxes(weights.shape, widths):
        here = weights[box].ravel()
        if here.sum() == 0:
            continue
        root = np.sqrt(here / here.sum())
        columns = np.stack(
            [r[box].ravel() - np.average(r[box].ravel(), weights=here) for r in regressors], axis=1
        )
        target = fixed[box].ravel() - np.average(fixed[box].ravel(), weights=here)
        rows = np.concatenate([root[:, None] * columns, np.sqrt(ridge) * np.eye(len(regressors))])
        right = np.concatenate([root * target, np.zeros(len(regressors))])
        coefficients = np.linalg.lstsq(rows, right, rcond=None)[0]
        variance = (root**2) @ target**2
        left_over = np.sum((right - rows @ coefficients) ** 2)
        explained += here.sum() * (variance - left_over)
        total += here.sum() * variance
    return explained / total


def magnitude(image: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    slopes = [slope * min(spacing) for slope in np.gradient(image, *spacing)]
    return np.sqrt(sum(slope**2 for slope in slopes) + LEAST_SLOPE**2)


@pytest.mark.parametrize(
    ("shape", "widths", "spacing"),
    [((2, 14, 13), (5, 9), (0.6, 0.2)), ((1, 6, 7, 8), (3, 5, 7), (1.0, 0.5, 2.0))],
    ids=["images", "volume"],
)
def test_against_least_squares(
    shape: tuple[int, ...], widths: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    moving, fixed = related(*shape, seed=1)
    ones = np.ones(shape[1:])
    for item, score in enumerate(lc2(moving, fixed, window=widths, spacing=spacing)):
        anatomy = standard(moving[item].numpy(), ones)
        regressors = [anatomy, magnitude(anatomy, spacing)]
        expected = by_least_squares(regressors, fixed[item].numpy(), ones, widths, LEAST_VARIANCE)
        assert float(score) == pytest.approx(expected, rel=1e-9)
        plain = by_least_squares(regressors, fixed[item].numpy(), ones, widths, 0.0)
        assert float(score) == pytest.approx(plain, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_regressors(count: int) -> None:
    shape, widths = (2, 12, 13), (7, 7)
    regressors = [texture(*shape, seed=10 + number) for number in range(count)]
    fixed = sum((number + 1) * r.square() for number, r in enumerate(regressors)) + texture(*shape, seed=20)
    weights = blob_mask(*shape, seed=21)
    for item, score in enumerate(lc2(regressors, fixed, weights, window=widths)):
        expected = by_least_squares(
            [r[item].numpy() for r in regressors],
            fixed[item].numpy(),
            weights[item].numpy(),
            widths,
            LEAST_VARIANCE,
        )
        assert float(score) == pytest.approx(expected, rel=1e-9)


def test_masked_pixels_count_with_their_neighbours() -> None:
    moving, fixed = related(1, 14, 15, seed=2)
    mask, counted = torch.zeros(2, 14, 15, dtype=torch.float64)
    mask[2:11, 3:14] = 1.0
    counted[3:10, 4:13] = 1.0
    anatomy = standard(moving[0].numpy(), mask.numpy())
    regressors = [anatomy, magnitude(anatomy, (1.0, 1.0))]
    expected = by_least_squares(regressors, fixed[0].numpy(), counted.numpy(), (5, 5), LEAST_VARIANCE)
    assert float(lc2(moving, fixed, mask, window=5)) == pytest.approx(expected, rel=1e-9)


def mixed(
    moving: Tensor, of_value: Tensor | float, of_edge: Tensor | float, offset: Tensor | float
) -> Tensor:
    edges = magnitude(standard(moving[0].numpy(), np.ones(moving.shape[1:])), (1.0, 1.0))
    return of_value * moving + of_edge * torch.from_numpy(edges) + offset


def test_blind_to_every_linear_combination() -> None:
    moving = texture(1, 40, 41, seed=3)
    for of_value, of_edge, offset in [(1, 0, 0), (-2, 0, 7), (0, 1, 0), (0.3, -4, 1), (1, 1, -100)]:
        assert float(lc2(moving, mixed(moving, of_value, of_edge, offset))) == pytest.approx(1.0, abs=2e-3)


def test_combination_may_change_slowly() -> None:
    moving = texture(1, 40, 120, seed=4)
    across = torch.linspace(-1, 1, 120, dtype=torch.float64)
    assert float(lc2(moving, mixed(moving, across, 1 - across, 5 * across))) > 0.9
    assert float(lc2(moving, texture(1, 40, 120, seed=5))) < 0.2


def test_regressors_may_be_mixed_scaled_and_repeated() -> None:
    one, other = texture(1, 20, 21, seed=6), texture(1, 20, 21, seed=7)
    fixed = one.square() + other + texture(1, 20, 21, seed=8)
    expected = lc2([one, other], fixed)
    for regressors in ([one + other, one - 0.5 * other], [1e3 * one - 4, -0.01 * other], [other, one]):
        assert torch.allclose(lc2(regressors, fixed), expected, atol=1e-3)
    # A repeated regressor makes the normal equations singular; it must add nothing.
    assert torch.allclose(lc2([one, other, one], fixed), expected, atol=1e-3)
    single = [image.float() for image in (one, other, one)]
    assert torch.allclose(lc2(single, fixed.float()).double(), expected, atol=2e-3)


def test_regressors_that_explain_nothing_more() -> None:
    one, fixed = related(1, 20, 21, seed=9)
    constant = torch.full_like(one, 0.1)
    assert torch.allclose(lc2([one, constant], fixed), lc2([one], fixed), atol=1e-12)
    assert float(lc2([constant], fixed)) == 0.0


def test_noise_in_flat_windows_is_not_fitted_and_not_counted() -> None:
    moving = texture(1, 40, 60, seed=10)
    fixed = 2 * moving + 1
    moving[..., 25:], fixed[..., 25:] = 0.0, 1.0
    clean = lc2(moving, fixed)
    noisy = lc2(moving + 1e-4 * texture(1, 40, 60, seed=11), fixed + 1e-4 * texture(1, 40, 60, seed=12))
    assert torch.allclose(noisy, clean, atol=1e-4)
