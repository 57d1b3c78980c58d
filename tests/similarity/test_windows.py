"""Box sums, local means and erosion against loops."""

from __future__ import annotations

import itertools

import pytest
import torch
from tests.similarity.pairs import blob_mask, texture
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from diffus.similarity.windows import LocalMeans, eroded, window_sum, window_widths


def boxes(space: tuple[int, ...], widths: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Each pixel and its window, cut off at the image's border."""
    return [
        (
            at,
            tuple(
                slice(max(0, a - width // 2), a + width // 2 + 1) for a, width in zip(at, widths, strict=True)
            ),
        )
        for at in itertools.product(*map(range, space))
    ]


@pytest.mark.parametrize("widths", [(1, 3), (3, 1), (5, 7), (7, 5), (9, 11), (11, 13)])
def test_sum_in_images(widths: tuple[int, int]) -> None:
    values = texture(2, 11, 13, seed=1)
    expected = torch.zeros_like(values)
    for at, box in boxes((11, 13), widths):
        expected[(slice(None), *at)] = values[(slice(None), *box)].sum(dim=(1, 2))
    assert torch.allclose(window_sum(values, widths), expected, atol=1e-12)


def test_sum_in_volumes() -> None:
    values = texture(2, 5, 6, 7, seed=2)
    expected = torch.zeros_like(values)
    for at, box in boxes((5, 6, 7), (3, 5, 7)):
        expected[(slice(None), *at)] = values[(slice(None), *box)].sum(dim=(1, 2, 3))
    assert torch.allclose(window_sum(values, (3, 5, 7)), expected, atol=1e-12)


@pytest.mark.parametrize("width", range(1, 40, 2))
def test_every_width(width: int) -> None:
    impulse = torch.zeros(1, 1, 81)
    impulse[0, 0, 40] = 1.0
    row = window_sum(impulse, (1, width))[0, 0]
    assert row.nonzero().flatten().tolist() == list(range(40 - width // 2, 41 + width // 2))
    assert row.sum() == width


def test_far_values_leave_no_trace() -> None:
    """A cumulative sum in float32 would lose the small values after the large one."""
    values = torch.full((1, 3, 200), 1e-3)
    values[0, :, 0] = 1e6
    assert torch.allclose(window_sum(values, (3, 3))[0, 1, 10:-1], torch.tensor(9e-3), rtol=1e-6)


def test_gradients_of_the_sum() -> None:
    values = texture(2, 5, 6, seed=3).requires_grad_()
    assert gradcheck(lambda v: window_sum(v, (3, 5)), values, check_forward_ad=True)
    assert gradgradcheck(lambda v: window_sum(v, (3, 5)).square(), values)


def test_sum_under_vmap() -> None:
    values = texture(3, 2, 6, 7, seed=4)
    mapped = torch.vmap(lambda v: window_sum(v, (3, 5)))(values)
    assert torch.allclose(mapped, torch.stack([window_sum(v, (3, 5)) for v in values]))


def test_means_count_pixels_by_weight() -> None:
    values, weights = texture(2, 9, 10, seed=5), blob_mask(2, 9, 10, seed=6)
    weights[0, :5, :5] = 0
    local = LocalMeans(weights, (3, 5))
    means = local(values)
    for at, box in boxes((9, 10), (3, 5)):
        here, around = (slice(None), *at), (slice(None), *box)
        count = weights[around].sum(dim=(1, 2))
        total = (values * weights)[around].sum(dim=(1, 2))
        assert torch.allclose(local.coverage[here], count / 15, atol=1e-12)
        assert torch.allclose(means[here], torch.where(count > 0, total / count, 0.0), atol=1e-12)
    assert local.coverage[0, 0, 0] == 0


@pytest.mark.parametrize("shape", [(2, 9, 10), (1, 6, 7, 8)])
def test_erosion_takes_the_least_weight_around(shape: tuple[int, ...]) -> None:
    weights = blob_mask(*shape, seed=7)
    result = eroded(weights, 1)
    for at, box in boxes(shape[1:], (3,) * (len(shape) - 1)):
        axes = tuple(range(1, len(shape)))
        assert torch.equal(result[(slice(None), *at)], weights[(slice(None), *box)].amin(dim=axes))


def test_widths_of_a_window() -> None:
    assert window_widths(5, (7, 9)) == (5, 5)
    assert window_widths([1, 9], (7, 9)) == (1, 9)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (4, "odd widths.*got 4"),
        (1, "3 or more along at least one axis"),
        (-3, "odd widths"),
        ((3, 3, 3), r"one width or 2.*\(3, 3, 3\)"),
        (9, r"9 is larger than the images, \(7, 9\): take a smaller one"),
    ],
)
def test_refused_windows(window: int | tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window_widths(window, (7, 9))


def test_window_sum_on_odd_layouts() -> None:
    values: Tensor = texture(2, 9, 8, seed=8).transpose(1, 2)
    assert torch.allclose(window_sum(values, (3, 5)), window_sum(values.contiguous(), (3, 5)))
