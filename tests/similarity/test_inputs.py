"""Images and masks that every measure refuses, and in what words."""

from __future__ import annotations

import pytest
import torch
from tests.similarity.pairs import MEASURES, blob_mask, related, texture
from tests.support import as_users_run
from torch import Tensor

from diffus.similarity import LC2, Similarity, lc2
from diffus.similarity.inputs import checked_images

every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())

IMAGE = texture(2, 12, 13, seed=1)
EMPTY = torch.stack([torch.ones(12, 13), torch.zeros(12, 13)])
BAD_NUMBERS = IMAGE.clone()
BAD_NUMBERS[1, 3, 4:6] = torch.tensor([float("nan"), float("inf")])

REFUSED: dict[str, tuple[Tensor, Tensor, Tensor | None, str]] = {
    "no batch": (
        IMAGE[0],
        IMAGE[0],
        None,
        r"moving: expected shape \(B, H, W\).*image\[None\], got \(12, 13\)",
    ),
    "a line": (IMAGE[0, 0], IMAGE[0, 0], None, r"got \(13,\)"),
    "a channel too many": (
        IMAGE[None, None],
        IMAGE[None, None],
        None,
        r"\(B, D, H, W\).*got \(1, 1, 2, 12, 13\)",
    ),
    "nothing": (IMAGE[:0], IMAGE[:0], None, r"got \(0, 12, 13\)"),
    "other size": (
        IMAGE,
        IMAGE[:, 1:],
        None,
        r"fixed: expected shape \(2, 12, 13\) as moving.*got \(2, 11, 13\)",
    ),
    "other batch": (IMAGE, IMAGE[[0, 1, 0]], None, r"or a batch of 1.*got \(3, 12, 13\)"),
    "other rank": (IMAGE, IMAGE[:, None], None, r"got \(2, 1, 12, 13\)"),
    "whole numbers": (IMAGE.int(), IMAGE.int(), None, r"float32 or float64.*moving torch.int32.*use .to\(\)"),
    "half precision": (IMAGE.half(), IMAGE.half(), None, "float32 or float64.*torch.float16"),
    "two precisions": (IMAGE, IMAGE.float(), None, "moving torch.float64 on cpu, fixed torch.float32 on cpu"),
    "moving not finite": (
        BAD_NUMBERS,
        IMAGE,
        None,
        "moving: expected finite values, got 2 of 312 NaN or infinite",
    ),
    "fixed not finite": (
        IMAGE,
        BAD_NUMBERS,
        None,
        "fixed: expected finite values.*leave them out with a mask",
    ),
    "not finite in the mask": (
        IMAGE,
        BAD_NUMBERS,
        torch.ones(12, 13),
        "fixed: expected finite values, got 2",
    ),
    "mask of other size": (
        IMAGE,
        IMAGE,
        torch.ones(12, 12),
        r"mask: expected shape that broadcasts to \(2, 12, 13\)",
    ),
    "mask of other rank": (IMAGE, IMAGE, torch.ones(1, 2, 12, 13), r"mask: .*got \(1, 2, 12, 13\)"),
    "mask of more items": (IMAGE, IMAGE, torch.ones(3, 12, 13), r"mask: .*got \(3, 12, 13\)"),
    "empty mask": (IMAGE, IMAGE, EMPTY[1] > 0, r"mask: zero everywhere.*overlap \(item 0 of 1\)"),
    "empty for one item": (IMAGE, IMAGE, EMPTY, r"mask: zero everywhere.*\(item 1 of 2\)"),
    "negative weight": (IMAGE, IMAGE, EMPTY - 0.5, r"weights in \[0, 1\], got values from -0.5 to 0.5"),
    "weight above one": (IMAGE, IMAGE, 255 * EMPTY, "got values from 0 to 255"),
    "weight not a number": (IMAGE, IMAGE, EMPTY / 0 * 0, r"weights in \[0, 1\], got values from nan"),
}


@every_measure
@pytest.mark.parametrize("case", REFUSED)
def test_refused(measure: Similarity, case: str) -> None:
    moving, fixed, mask, message = REFUSED[case]
    with as_users_run(), pytest.raises(ValueError, match=message):
        measure(moving, fixed, mask)


@pytest.mark.parametrize("name", ["local_ncc", "lc2", "multi_scale"])
def test_window_larger_than_the_images(name: str) -> None:
    with pytest.raises(ValueError, match=r"window: \d is larger than the images, \(\d, 9\)"):
        MEASURES[name](*related(1, 2, 9, seed=2))


@pytest.mark.parametrize("name", ["gradient_ncc", "lc2"])
def test_mask_without_neighbours(name: str) -> None:
    mask = torch.zeros(12, 13)
    mask[::2, ::2] = 1.0
    with pytest.raises(
        ValueError, match=r"mask: holds no pixel together with its neighbours.*\(item 0 of 1\)"
    ):
        MEASURES[name](*related(1, 12, 13, seed=3), mask)


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        ((1.0,), r"spacing: expected 2 numbers.*\(1.0,\)"),
        ((), "spacing: expected 2 numbers"),
        ((1.0, 0.0), "spacing: axis 1 must be a finite number above 0, got 0"),
        ((1.0, float("nan")), "got nan"),
    ],
)
def test_refused_spacing(spacing: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LC2(spacing=spacing)(*related(1, 12, 13, seed=4))


def test_an_axis_of_one_pixel_has_no_derivative() -> None:
    with pytest.raises(ValueError, match=r"2 pixels or more along each axis, got \(1, 13\)"):
        MEASURES["gradient_ncc"](*related(1, 1, 13, seed=5))


def test_refused_regressors() -> None:
    moving, fixed = related(1, 12, 13, seed=6)
    with pytest.raises(ValueError, match="moving: expected one regressor or more"):
        lc2([], fixed)
    with as_users_run(), pytest.raises(ValueError, match=r"moving\[1\]: expected shape .*got \(1, 11, 13\)"):
        lc2([moving, moving[:, 1:]], fixed)


def test_large_values_do_not_pass_for_infinite() -> None:
    """Their sum overflows float32, and none of them does."""
    image = torch.full((1, 12, 13), 1e37)
    assert torch.isinf(image.sum())
    (checked,), _ = checked_images(None, image=image)
    assert torch.equal(checked, image)


def test_masks_as_the_renderer_makes_them() -> None:
    """Frame.mask gives (H, W) of bool for a whole batch."""
    moving, fixed = related(3, 12, 13, seed=8)
    mask = blob_mask(1, 12, 13, seed=9)[0] > 0
    for measure in MEASURES.values():
        assert measure(moving, fixed, mask).shape == (3,)
