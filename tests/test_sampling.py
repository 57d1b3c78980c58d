"""Trilinear sampling, against SciPy and by gradcheck."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch.autograd import gradcheck, gradgradcheck

from diffus.sampling import inside_grid, sample_trilinear

SHAPES = [(4, 5, 6, 2), (1, 5, 6, 1), (4, 1, 1, 3), (2, 2, 2, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_scipy_inside_and_outside(shape):
    grid = torch.randn(shape, dtype=torch.float64)
    index = torch.rand(7, 11, 3, dtype=torch.float64) * torch.tensor([n + 3.0 for n in shape[:3]]) - 2
    found = sample_trilinear(grid, index)
    where = np.moveaxis(index.numpy(), -1, 0)
    for channel in range(shape[3]):
        expected = map_coordinates(grid[..., channel].numpy(), where, order=1, mode="nearest")
        np.testing.assert_allclose(found[..., channel].numpy(), expected, rtol=0, atol=1e-12)


def test_gives_the_voxels_themselves_at_their_centres():
    grid = torch.randn(3, 4, 5, 2)
    index = torch.cartesian_prod(*(torch.arange(n) for n in (3, 4, 5))).float()
    assert torch.equal(sample_trilinear(grid, index).reshape(3, 4, 5, 2), grid)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_integers_and_booleans_are_interpolated_as_numbers(dtype):
    grid = torch.tensor([0, 1], dtype=dtype).reshape(2, 1, 1, 1)
    found = sample_trilinear(grid, torch.tensor([[0.25, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    assert found[:, 0].tolist() == [0.25, 1.0]


def test_takes_a_grid_in_any_memory_order():
    grid = torch.randn(5, 4, 3, 2).permute(2, 1, 0, 3)
    index = torch.rand(9, 3) * torch.tensor([2.0, 3.0, 4.0])
    assert torch.equal(sample_trilinear(grid, index), sample_trilinear(grid.contiguous(), index))


def _between_knots(shape, n=6):
    whole = torch.stack([torch.randint(0, max(size - 1, 1), (n,)) for size in shape], dim=-1)
    return (whole + 0.2 + 0.6 * torch.rand(n, 3)).double()


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradients_to_grid_and_index(check):
    grid = torch.randn(3, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    index = _between_knots((3, 4, 3)).requires_grad_()
    assert check(sample_trilinear, (grid, index))


def test_outside_the_gradient_to_the_index_is_zero_along_the_clamped_axis_only():
    grid = torch.randn(3, 3, 3, 1, dtype=torch.float64)
    index = torch.tensor([[-1.5, 0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    sample_trilinear(grid, index).sum().backward()
    assert index.grad is not None
    assert index.grad[0, 0] == 0
    assert (index.grad[0, 1:] != 0).all()


def test_inside_means_between_the_outermost_centres():
    index = torch.tensor(
        [[0, 0, 0], [2, 3, 4], [2.01, 3, 4], [0, -0.01, 0], [1, 1, 4.01], [0, 0, float("nan")]],
        dtype=torch.float64,
    )
    assert inside_grid(index, (3, 4, 5)).tolist() == [True, True, False, False, False, False]
