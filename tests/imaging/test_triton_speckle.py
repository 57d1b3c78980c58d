"""Sampled speckle by the CUDA kernels, on a GPU or under Triton's interpreter: by hand, against the
reference, the same bits in any order, with gradients; and that they compile for a GPU."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tests.imaging.speckle_scenes import OBLIQUE, SMALL
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from diffus import Probe
from diffus.imaging import speckle_reference
from diffus.imaging.point_spread import PointSpread
from diffus.imaging.scatterers import ScattererRows

pytest.importorskip("triton", reason="Triton is not installed: pip install 'diffus[test]'")

from diffus.imaging import triton_speckle

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

COMPILED = """
import re
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from diffus.imaging import _triton_speckle as kernels
from diffus.imaging.triton_speckle import _FORM

counts = {"n_scatterers": "i32", "n_lines": "i32", "n_samples": "i32"}
for kernel in (kernels.deposit, kernels.gather):
    for number in ("fp32", "fp64"):
        known = counts | dict.fromkeys(("echoes", "bar", "echoes_bar"), "*" + number) | {"sums": "*i64"}
        constants = {"WRAPS": True} | {name: _FORM[name] for name in ("SCATTERERS", "SAMPLES")}
        signature = {n: "constexpr" if n in constants else known.get(n, "*fp64") for n in kernel.arg_names}
        places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
        source, target = ASTSource(kernel, signature, places), GPUTarget("cuda", 80, 32)
        ptx = triton.compile(source, target, {"num_warps": _FORM["num_warps"]}).asm["ptx"]
        added = len(re.findall("red[.]global[.]gpu[.]relaxed[.]add[.]u64", ptx))
        print(kernel.fn.__name__, added > 0, "bar.sync" in ptx, "atom." in ptx)
"""


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter takes its time for each program: it gets few and large ones."""
    if DEVICE == "cpu":
        monkeypatch.setattr(triton_speckle, "_FORM", {"SCATTERERS": 256, "SAMPLES": 16})
    yield


def textured(probe: Probe, n_planes: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Power that varies over the image and from plane to plane, with a deep shadow."""
    e = torch.arange(n_planes, dtype=torch.float64)[:, None, None]
    s = torch.arange(probe.n_scanlines, dtype=torch.float64)[:, None]
    k = torch.arange(probe.n_samples, dtype=torch.float64)
    power = 1 + 0.8 * torch.sin(1.1 * s + e) * torch.cos(0.4 * k - 0.7 * e)
    power[..., probe.n_samples // 2 :] *= 1e-12
    return power.to(DEVICE, dtype)


def scattered(module: Any, power: Tensor, probe: Probe, density: float = 1.0, seed: int = 3) -> Tensor:
    spread = PointSpread.of(probe, power.device)
    probe_from_world = torch.linalg.inv(OBLIQUE[0].to(power.device))
    rows = ScattererRows.of(probe, spread.detach(), probe_from_world, density ** (-1 / 3))
    probe_from_cell = probe_from_world.clone()
    probe_from_cell[:3, :3] *= density ** (-1 / 3)
    strength = probe_from_cell.new_tensor(1 / math.sqrt(density))
    return module.scatter(power, probe, spread, probe_from_cell, rows, strength, seed)


@pytest.mark.parametrize(
    ("kind", "dtype", "tolerance"),
    [(kind, torch.float64, 1e-12) for kind in SMALL] + [("convex", torch.float32, 1e-5)],
)
def test_agrees_with_the_reference(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    probe = SMALL[kind]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(probe.n_scanlines, probe.n_samples, 2, generator=generator, dtype=dtype).to(DEVICE)
    results = []
    for module in (speckle_reference, triton_speckle):
        power = textured(probe, 1 if kind == "linear" else 3, dtype).requires_grad_()
        field = scattered(module, power, probe)
        (gradient,) = torch.autograd.grad((field * weight).sum(), power)
        results.append((field.detach(), gradient))
    for slow, fast in zip(*results, strict=True):
        assert fast.shape == slow.shape and fast.dtype == dtype
        assert float(slow.abs().max()) > 0
        assert (fast - slow).abs().max() < tolerance * slow.abs().max()


def test_a_deep_shadow_is_not_lost_beside_the_light() -> None:
    """Echoes a million times weaker, which the whole numbers still resolve."""
    probe = SMALL["convex"]
    slow, fast = (
        scattered(m, textured(probe, 2), probe)[:, -12:] for m in (speckle_reference, triton_speckle)
    )
    assert 0 < float(slow.abs().max()) < 1e-4
    assert (fast - slow).abs().max() < 1e-8 * slow.abs().max()


def random_echoes(
    n_lines: int, n_samples: int, n_scatterers: int, wraps: bool
) -> tuple[Tensor, triton_speckle._Reached]:
    """Scatterers in the image and beyond its sides, in single precision."""
    generator = torch.Generator().manual_seed(8)

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    line = (n_lines + 4) * random(n_scatterers) - 2
    per_line = 0.6 + 2 * random(n_scatterers)
    sample = (n_samples + 4) * random(n_scatterers) - 2
    per_sample = torch.tensor(0.21, dtype=torch.float64)
    most = (n_lines - 1) // 2 if wraps else n_lines
    most = (n_lines - 1) // 2 if wraps else n_lines
    places = (line, per_line, (3 / per_line).clamp(max=most), sample, per_sample, 3 / per_sample)
    fields: Any = (*(t.to(DEVICE) for t in places), (n_lines, n_samples), wraps)
    reached = triton_speckle._Reached(*fields)
    return (random(n_scatterers, 2) - 0.5).float().to(DEVICE), reached


def permuted(echoes: Tensor, reached: triton_speckle._Reached, order: Tensor) -> Any:
    names = ("line", "per_line", "lines_reached", "sample")
    return echoes[order], reached._replace(**{name: getattr(reached, name)[order] for name in names})


def by_hand(echoes: Tensor, reached: triton_speckle._Reached) -> np.ndarray:
    n_lines, n_samples = reached.shape
    image = np.zeros((n_lines, n_samples), complex)
    columns = (t.tolist() for t in (reached.line, reached.per_line, reached.lines_reached, reached.sample))
    long, most = float(reached.per_sample), float(reached.samples_reached)
    for (real, imaginary), line, wide, across, sample in zip(echoes.tolist(), *columns, strict=True):
        for tap in range(-n_lines, 2 * n_lines):
            for k in range(n_samples):
                if abs(tap - line) > across or abs(k - sample) > most:
                    continue
                if not reached.wraps and not 0 <= tap < n_lines:
                    continue
                exponent = ((tap - line) * wide) ** 2 + ((k - sample) * long) ** 2
                image[tap % n_lines, k] += complex(real, imaginary) * math.exp(-exponent / 2)
    return image


@pytest.mark.parametrize("wraps", [False, True])
def test_by_hand(wraps: bool) -> None:
    echoes, reached = random_echoes(7, 40, 11, wraps)
    expected = by_hand(echoes, reached)
    given = torch.view_as_complex(triton_speckle._Deposit.apply(echoes, reached)).cpu().numpy()
    assert np.abs(given - expected).max() < 1e-6 * np.abs(expected).max()


def test_the_same_bits_in_any_order() -> None:
    echoes, reached = random_echoes(6, 30, 200, wraps=False)
    image = triton_speckle._Deposit.apply(echoes, reached)
    for seed in range(3):
        order = torch.randperm(200, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
        assert torch.equal(triton_speckle._Deposit.apply(*permuted(echoes, reached, order)), image)


def test_rows_in_several_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = SMALL["linear"]
    whole = scattered(triton_speckle, textured(probe, 2), probe)
    monkeypatch.setattr(triton_speckle, "_ROWS_AT_ONCE", 60)
    shared = scattered(triton_speckle, textured(probe, 2), probe)
    assert (shared - whole).abs().max() < 1e-13 * whole.abs().max()


def test_gradients_of_the_intensity() -> None:
    probe = SMALL["radial"].with_options(n_scanlines=4, n_samples=7, depth_mm=2.4)
    power = (1 + textured(probe, 2)).requires_grad_()

    def intensity(power: Tensor) -> Tensor:
        return scattered(triton_speckle, power, probe, density=1.0).square().sum(dim=-1)

    assert gradcheck(intensity, (power,), atol=1e-7, rtol=1e-5, fast_mode=True)
    assert gradgradcheck(intensity, (power,), atol=1e-7, rtol=1e-5, fast_mode=True)


def test_no_gradient_to_the_probe() -> None:
    frequency = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    probe = SMALL["linear"].with_options(frequency_mhz=frequency)
    assert not scattered(triton_speckle, textured(probe, 1), probe).requires_grad


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_power_that_is_no_number_is_seen_in_the_image(bad: float) -> None:
    probe = SMALL["linear"]
    power = textured(probe, 1)
    power[:, 5] = bad
    assert torch.isnan(scattered(triton_speckle, power, probe)).any()


def test_where_no_scatterer_is_seen_the_image_is_black() -> None:
    probe = SMALL["linear"]
    image = scattered(triton_speckle, textured(probe, 1), probe, density=1e-12)
    assert torch.equal(image, torch.zeros_like(image))


def test_kernels_compile_for_a_gpu(tmp_path) -> None:
    """To PTX for compute capability 8.0, which needs no GPU.

    Additions are of whole numbers and return nothing, and no thread waits for another.
    """
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.splitlines() == [
        *["deposit True False False"] * 2,
        *["gather False False False"] * 2,
    ]
