"""The mixture with partial volume, on samples drawn from it."""

from __future__ import annotations

import pytest
import torch

from diffus.segmentation.gaussians import PartialVolumeMixture, fit_mixture

PAIRS = ((0, 1), (1, 2))
MEANS = torch.tensor([[0.2], [0.6], [0.95]], dtype=torch.float64)


def drawn(noise: float, count: int = 20_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractions (n, 3) and intensities (n, 1): half pure voxels, half mixed evenly."""
    pure = torch.eye(3)[torch.randint(0, 3, (count,))]
    share = torch.rand(count, 1)
    pair = torch.tensor(PAIRS)[torch.randint(0, 2, (count,))]
    mixed = share * torch.eye(3)[pair[:, 0]] + (1 - share) * torch.eye(3)[pair[:, 1]]
    fractions = torch.cat([pure, mixed])
    return fractions, fractions @ MEANS.float() + noise * torch.randn(2 * count, 1)


def test_means_spreads_and_weights_are_recovered() -> None:
    _, samples = drawn(0.04)
    start = MEANS + torch.tensor([[0.05], [-0.05], [-0.05]])
    fitted = fit_mixture(samples, start, PAIRS)
    assert torch.allclose(fitted.means, MEANS, atol=0.015)
    assert torch.allclose(fitted.covariances.flatten().sqrt(), torch.tensor(0.04).double(), atol=0.01)
    assert fitted.weights[:3].sum().item() == pytest.approx(0.5, abs=0.1)


def test_fractions_are_recovered_and_mixed_voxels_make_no_class_of_their_own() -> None:
    fractions, samples = drawn(0.04)
    found = fit_mixture(samples, MEANS, PAIRS).fractions(samples)
    assert torch.allclose(found.sum(dim=1), torch.tensor(1.0), atol=1e-5)
    assert (found - fractions).abs().mean().item() < 0.06


def test_a_line_of_intensities_changes_fractions_steadily_and_its_ends_are_pure() -> None:
    fitted = fit_mixture(drawn(0.04)[1], MEANS, PAIRS)
    line = fitted.fractions(torch.linspace(-1, 3, 401)[:, None])
    assert bool((line[:, 0].diff() <= 1e-6).all()) and bool((line[:, 2].diff() >= -1e-6).all())
    assert line[0, 0] > 0.9 and line[-1, 2] > 0.9


def test_known_classes_do_not_move() -> None:
    known = (torch.tensor([0.3]).double(), torch.tensor([[0.0009]]).double())
    fitted = fit_mixture(drawn(0.04)[1], MEANS, PAIRS, {0: known})
    assert fitted.means[0].item() == pytest.approx(0.3)
    assert fitted.covariances[0].item() == pytest.approx(0.0009)


def test_two_contrasts_tell_what_one_cannot() -> None:
    means = torch.tensor([[0.2, 0.1], [0.55, 0.8], [0.9, 0.65]], dtype=torch.float64)
    share = torch.rand(4000, 1)
    identity = torch.eye(3)
    mixed = share * identity[0] + (1 - share) * identity[2]
    pure = identity[torch.randint(0, 3, (8000,))]
    fractions = torch.cat([pure, mixed])
    samples = fractions @ means.float() + 0.03 * torch.randn(12_000, 2)
    found = fit_mixture(samples, means, (*PAIRS, (0, 2))).fractions(samples)
    assert (found - fractions).abs().mean().item() < 0.05
    assert found[8000:, 1].mean().item() < 0.1


def test_a_place_without_a_class_shows_none_of_it() -> None:
    fitted = PartialVolumeMixture(
        MEANS, torch.full((3, 1, 1), 0.03**2).double(), PAIRS, torch.full((5,), 0.2).double()
    )
    wall = fitted.without(1, ((0, 2),)).fractions(torch.tensor([[0.575], [0.2], [0.95]]))
    assert wall[:, 1].abs().max().item() == 0
    assert torch.allclose(wall[:, 0], torch.tensor([0.5, 1.0, 0.0]), atol=0.05)
