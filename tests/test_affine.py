"""World-from-voxel matrices: what is refused, and what is read off them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support import placed

from diffus.affine import SHEAR_TOLERANCE, check_affine, orientation_of, spacing_of


def test_accepts_arrays_lists_and_single_precision_and_returns_double():
    affine = placed()
    for given in (affine.numpy(), affine.tolist(), affine.float(), affine.requires_grad_()):
        checked = check_affine(given)
        assert checked.dtype == torch.float64
        assert not checked.requires_grad
        assert torch.allclose(checked, affine.detach(), atol=1e-5)


def test_the_result_shares_no_memory_with_the_argument():
    affine = placed()
    checked = check_affine(affine)
    affine[0, 3] += 1
    assert checked[0, 3] != affine[0, 3]


def _changed(row, column, value):
    affine = placed()
    affine[row, column] = value
    return affine


def _sheared(cosine):
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 1] = torch.tensor([cosine, np.sqrt(1 - cosine**2), 0.0])
    return affine


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (torch.eye(3), r"expected shape \(4, 4\), got \(3, 3\)"),
        (torch.eye(4).expand(2, 4, 4), r"got \(2, 4, 4\)"),
        (_changed(0, 0, float("nan")), "NaN or Inf"),
        (_changed(1, 3, float("inf")), "NaN or Inf"),
        (_changed(3, 0, 0.5), "last row"),
        (
            torch.zeros(4, 4).index_fill_(0, torch.tensor(3), 0) + torch.diag(torch.tensor([0.0, 0, 0, 1])),
            "singular",
        ),
        (torch.diag(torch.tensor([1.0, 0.0, 1.0, 1.0])), "singular"),
        (torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "singular"),
        (_sheared(2 * SHEAR_TOLERANCE), "sheared"),
        (_sheared(0.5), "cosine of 0.5"),
    ],
)
def test_refuses_what_does_not_place_voxels(affine, words):
    with pytest.raises(ValueError, match=words):
        check_affine(affine)


def test_forgives_shear_that_is_rounding():
    check_affine(_sheared(0.5 * SHEAR_TOLERANCE))


@pytest.mark.parametrize("left_handed", [False, True])
def test_spacing_is_the_distance_between_centres(left_handed):
    assert spacing_of(placed(left_handed=left_handed)) == pytest.approx((0.7, 0.8, 1.9), rel=1e-7)


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], "RAS"),
        ([(-1, 0, 0), (0, -1, 0), (0, 0, 1)], "LPS"),
        ([(0, 1, 0), (0, 0, -1), (-1, 0, 0)], "AIL"),
        ([(-0.9, 0.3, 0), (0.3, 0.9, 0), (0, 0, 2)], "LAS"),
    ],
)
def test_orientation_names_where_each_index_grows_to(columns, code):
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.tensor(columns, dtype=torch.float64).T
    assert orientation_of(affine) == code
