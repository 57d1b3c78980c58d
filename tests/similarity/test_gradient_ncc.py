"""Gradient NCC against differences and correlations by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.similarity.pairs import related, texture

from diffus.similarity import gradient_ncc
from diffus.similarity.derivatives import derivatives, gradient_magnitude


@pytest.mark.parametrize("shape", [(2, 12, 15), (2, 6, 7, 8)])
def test_against_numpy(shape: tuple[int, ...]) -> None:
    moving, fixed = related(*shape, seed=1)
    for item, score in enumerate(gradient_ncc(moving, fixed)):
        pairs = zip(np.gradient(moving[item].numpy()), np.gradient(fixed[item].numpy()), strict=True)
        expected = np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in pairs])
        assert float(score) == pytest.approx(expected, rel=1e-10)


def test_only_derivatives_within_the_mask_count() -> None:
    moving, fixed = related(1, 12, 15, seed=2)
    mask = torch.zeros(12, 15, dtype=torch.bool)
    mask[2:9, 3:12] = True
    within = np.s_[3:8, 4:11]
    pairs = zip(np.gradient(moving[0].numpy()), np.gradient(fixed[0].numpy()), strict=True)
    expected = np.mean(
        [np.corrcoef(one[within].ravel(), other[within].ravel())[0, 1] for one, other in pairs]
    )
    assert float(gradient_ncc(moving, fixed, mask)) == pytest.approx(expected, rel=1e-10)


def test_blind_to_a_ramp() -> None:
    moving, fixed = related(1, 32, 32, seed=3)
    ramp = torch.linspace(-40, 40, 32, dtype=torch.float64)
    tilted = moving + ramp + 2 * ramp[:, None]
    assert torch.allclose(gradient_ncc(tilted, fixed), gradient_ncc(moving, fixed), rtol=1e-9)


def test_a_ramp_alone_has_no_edges() -> None:
    image = texture(1, 32, 33, seed=4, dtype=torch.float32)
    ramp = 7 * torch.linspace(0, 1, 33).expand(1, 32, 33)
    assert float(gradient_ncc(ramp, image)) == 0.0


def test_derivatives_of_a_plane() -> None:
    i, j = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    plane = (3 * 0.5 * i - 4 * 0.2 * j)[None].double()
    down, across = derivatives(plane, (0.5, 0.2))
    assert torch.allclose(down, torch.full_like(down, 3)) and torch.allclose(
        across, torch.full_like(across, -4)
    )
    # Slopes per pixel of the finest axis, in whatever unit.
    assert torch.allclose(gradient_magnitude(plane, (0.5, 0.2)), torch.full_like(plane, 5 * 0.2), rtol=1e-6)
    assert torch.allclose(
        gradient_magnitude(plane, (500.0, 200.0)), torch.full_like(plane, 5 * 0.2), rtol=1e-6
    )
