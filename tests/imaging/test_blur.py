"""Blurring against the sum written out, and what it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffus.imaging.blur import blur_depth, blur_scanlines, blur_sheared


def image(batch: int = 2, lines: int = 7, samples: int = 11) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(batch, lines, samples, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("unit", ["peak", "sum"])
@pytest.mark.parametrize("sigma", [0.3, 0.9, 2.5])
def test_depth_is_the_sum_written_out(unit: str, sigma: float) -> None:
    given = image().numpy()
    offsets = np.arange(-30, 31)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum() if unit == "sum" else 1.0
    expected = np.zeros_like(given)
    for k in range(given.shape[-1]):
        for j in range(given.shape[-1]):
            expected[..., k] += taps[30 + k - j] * given[..., j]
    blurred = blur_depth(image(), torch.tensor(sigma, dtype=torch.float64), unit)
    assert blurred.numpy() == pytest.approx(expected, abs=2e-4)  # taps end at 4.5 sigmas


@pytest.mark.parametrize("wraps", [False, True])
def test_scanlines_is_the_sum_written_out(wraps: bool) -> None:
    given = image().numpy()
    sigma = np.linspace(0.2, 0.65, given.shape[-1])
    expected = np.zeros_like(given)
    lines = given.shape[1]
    for n, width in enumerate(sigma):
        for s in range(lines):
            distance = np.abs(np.arange(lines) - s)
            if wraps:
                distance = np.minimum(distance, lines - distance)
            weight = np.exp(-0.5 * (distance / width) ** 2)
            expected[:, s, n] = given[:, :, n] @ (weight / weight.sum())
    blurred = blur_scanlines(image(), torch.from_numpy(sigma), wraps)
    assert blurred.numpy() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("wraps", [False, True])
def test_a_uniform_image_stays_as_it_is(wraps: bool) -> None:
    uniform = torch.full((1, 9, 5), 0.37, dtype=torch.float64)
    sigma = torch.linspace(0.1, 30.0, 5, dtype=torch.float64)
    assert torch.allclose(blur_scanlines(uniform, sigma, wraps), uniform, rtol=1e-12)


def test_a_ring_turns_with_its_image() -> None:
    sigma = torch.full((11,), 0.7, dtype=torch.float64)
    turned = blur_scanlines(image().roll(3, dims=1), sigma, wraps=True)
    assert torch.allclose(turned, blur_scanlines(image(), sigma, wraps=True).roll(3, dims=1), atol=1e-12)


def test_a_deep_shadow_stays_clean_in_single_precision() -> None:
    bright = torch.full((1, 64, 1), 1e-12)
    bright[:, 0] = 1.0
    blurred = blur_scanlines(bright, torch.tensor([1.0]), wraps=False)
    assert torch.allclose(blurred[0, 10:], torch.full_like(blurred[0, 10:], 1e-12), rtol=1e-5)


def test_one_scanline_and_one_sample() -> None:
    single = torch.ones(1, 1, 1)
    assert torch.equal(blur_scanlines(single, torch.tensor([5.0]), wraps=False), single)
    assert torch.equal(blur_depth(single, torch.tensor(5.0), "sum"), single)


SIGMA = torch.linspace(0.2, 1.9, 11, dtype=torch.float64)
WIDENING = torch.linspace(1.0, 1.6, 7, dtype=torch.float64)


@pytest.mark.parametrize("widening", [None, WIDENING], ids=["alike", "widening"])
@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_the_kernel_is_the_reference(
    widening: torch.Tensor | None, wraps: bool, dtype: torch.dtype, within: float
) -> None:
    given, weight = image().to(dtype), image(batch=2).flip(1).to(dtype)
    found = []
    for backend in ("torch", "numba"):
        x, sigma = given.clone().requires_grad_(), SIGMA.clone().to(dtype).requires_grad_()
        across = blur_scanlines(x, sigma, wraps, None if widening is None else widening.to(dtype), backend)
        axial = torch.tensor(0.9, dtype=dtype, requires_grad=True)
        along = sum(blur_depth(x, axial, unit, backend) for unit in ("peak", "sum", "energy"))
        ((across + along) * weight).sum().backward()
        found.append((across, along, x.grad, sigma.grad, axial.grad))
    for one, other in zip(*found, strict=True):
        assert one is not None and other is not None
        assert torch.allclose(one, other, rtol=10 * within, atol=10 * within)


@pytest.mark.parametrize("wraps", [False, True])
def test_gradients_of_both_blurs(wraps: bool) -> None:
    x, sigma = image(1, 6, 8).requires_grad_(), SIGMA[:8].clone().requires_grad_()
    for backend in ("torch", "numba"):
        assert torch.autograd.gradcheck(
            lambda x, s, b=backend: blur_scanlines(x, s, wraps, WIDENING[:6], b), (x, sigma)
        )
        axial = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, s, b=backend: blur_depth(x, s, "energy", b), (x, axial))


def test_white_noise_keeps_its_power() -> None:
    noise = torch.randn(1, 40, 4000, dtype=torch.float64)
    blurred = blur_depth(noise, torch.tensor(2.2, dtype=torch.float64), "energy")
    assert float(blurred[..., 20:-20].var()) == pytest.approx(1.0, abs=0.03)


def test_widening_widens_one_scanline_alone() -> None:
    sigma = torch.full((11,), 0.8, dtype=torch.float64)
    widening = torch.ones(7, dtype=torch.float64)
    widening[3] = 2.0
    widened = blur_scanlines(image(), sigma, False, widening)
    plain, wide = blur_scanlines(image(), sigma, False), blur_scanlines(image(), 2 * sigma, False)
    assert torch.allclose(widened[:, 3], wide[:, 3], atol=1e-13)
    others = [0, 1, 2, 4, 5, 6]
    assert torch.allclose(widened[:, others], plain[:, others], atol=1e-13)


def test_without_lean_the_sheared_blur_is_the_two_one_after_the_other() -> None:
    axial, nothing = torch.tensor(0.9, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    sheared = blur_sheared(image(), axial, "sum", SIGMA, nothing)
    # Taps along depth end elsewhere, at 4e-5 of their middle.
    assert torch.allclose(sheared, blur_scanlines(blur_depth(image(), axial, "sum"), SIGMA, False), atol=1e-4)


def test_a_point_leans() -> None:
    point = torch.zeros(1, 21, 81, dtype=torch.float64)
    point[0, 10, 40] = 1.0
    sigma = torch.full((81,), 3.0, dtype=torch.float64)
    blurred = blur_sheared(
        point, torch.tensor(2.0, dtype=torch.float64), "peak", sigma, torch.tensor(2.5).double()
    )
    places = torch.arange(81, dtype=torch.float64)
    for line in (6, 8, 10, 13):
        centroid = float((blurred[0, line] * places).sum() / blurred[0, line].sum())
        assert centroid == pytest.approx(40 - 2.5 * (line - 10), abs=1e-3)


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("widening", [None, torch.linspace(1.0, 1.3, 33)], ids=["alike", "widening"])
def test_the_kernel_keeps_nothing_of_the_depths_before(wraps: bool, widening: torch.Tensor | None) -> None:
    # Blocks of depths, the first with a wide beam and the next with a narrow one, and an odd end.
    sigma = torch.cat([torch.full((40,), 3.0), torch.full((61,), 0.4)]).double()
    given = image(2, 33, 101)
    wider = None if widening is None else widening.double()
    bar = image(2, 33, 101).flip(2)
    found = []
    for backend in ("torch", "numba"):
        x = given.clone().requires_grad_()
        blurred = blur_scanlines(x, sigma, wraps, wider, backend)
        found += [(blurred.detach(), *torch.autograd.grad(blurred, x, bar))]
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13)
