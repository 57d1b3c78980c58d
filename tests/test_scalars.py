"""Numbers that may carry a gradient."""

from __future__ import annotations

import pytest
import torch

from diffus.scalars import as_double, as_scalar, number, over_batch, plain


def test_as_scalar_takes_dtype_and_passes_the_gradient():
    image = torch.zeros(2, 3, 4, dtype=torch.float64)
    assert as_scalar(3, image).dtype == torch.float64
    value = torch.tensor(2.0, requires_grad=True)
    (as_scalar(value, image) ** 2).backward()
    assert value.grad == 4


def test_as_double_keeps_every_digit_and_the_gradient():
    assert float(as_double(0.1)) == 0.1
    value = torch.tensor(2.0, requires_grad=True)
    (as_double(value) ** 2).backward()
    assert value.grad == 4


def test_number_leaves_the_gradient_behind():
    assert number(3) == 3.0
    assert number(torch.tensor(2.5, requires_grad=True)) == 2.5


def test_one_number_serves_all_poses_and_one_each_its_own():
    image = torch.ones(2, 3, 4)
    assert torch.equal(image * over_batch(5.0, image), torch.full((2, 3, 4), 5.0))
    each = image * over_batch(torch.tensor([2.0, 3.0]), image)
    assert torch.equal(each[0], torch.full((3, 4), 2.0))
    assert torch.equal(each[1], torch.full((3, 4), 3.0))


@pytest.mark.parametrize("shape", [(3,), (2, 1), (1,)])
def test_any_other_shape_is_refused(shape):
    with pytest.raises(ValueError, match="one for each of 2 poses"):
        over_batch(torch.ones(shape), torch.ones(2, 3, 4))


def test_plain_is_fit_for_json():
    assert plain(torch.tensor(2.0, requires_grad=True)) == 2.0
    assert isinstance(plain(torch.tensor(2.0)), float)
    assert plain(True) is True
    assert plain("convex") == "convex"
