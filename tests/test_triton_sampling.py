"""Sampling by the CUDA kernels, on a GPU or under Triton's interpreter: against an independent interpolation,
the reference and the CPU's kernel, inside the grid and beyond it; and that they compile for a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from tests.scenes import IDENTITY, PROBES, TILTED, medium_of, moved, textured
from torch import Tensor
from torch.autograd import gradcheck

from diffus import Medium, RenderSettings, numba_sampling, pose, render
from diffus.scanline_sampling import sample_scanline_medium

pytest.importorskip("triton", reason="Triton is not installed: pip install 'diffus[test]'")

from diffus import triton_sampling

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

OUTWARDS = pose.exp(torch.tensor([5.0, 35.0, -10.0, 12.0, -16.0, 3.0], dtype=torch.float64))
"""Part of the fan leaves the grid, along every axis."""

NAMES = ("grid", "origins", "directions", "across", "depths", "offsets")

COMPILED = """
import re
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from diffus import _triton_sampling as kernels
from diffus.triton_sampling import _ONE_WARP, _WIDE

counts = {"si", "sj", "sk", "n_lines", "n_nodes"}
for kernel in (kernels.sample_forward, kernels.sample_position_adjoint, kernels.sample_grid_adjoint):
    form = _ONE_WARP if kernel is kernels.sample_position_adjoint else _WIDE
    for number in ("fp32", "fp64"):
        real = {"grid", "values", "bars", "grid_bar"}
        signature, constants = {}, {}
        for place, name in enumerate(kernel.arg_names):
            signature[name] = "i32" if name in counts else "*" + number if name in real else "*fp64"
            if name in ("BLOCK", "WANTS_NODES"):
                signature[name] = "constexpr"
                constants[(place,)] = form["BLOCK"] if name == "BLOCK" else True
        source = ASTSource(kernel, signature, constants)
        ptx = triton.compile(source, GPUTarget("cuda", 80, 32), {"num_warps": form["num_warps"]}).asm["ptx"]
        added = len(re.findall(r"red[.]global[.\\w]*[.]add[.]f" + number[2:], ptx))
        mixed = len(re.findall(r"(?:mul|fma[.]rn)[.]f" + number[2:], ptx))
        print(kernel.fn.__name__, added, mixed > 20, ptx.count("fma.rn.f64") >= 6, "bar.sync" in ptx)
"""


def on_device(medium: Medium) -> Medium:
    return Medium.from_channels(medium.channels.to(DEVICE), medium.world_from_voxel)


def sampled(medium: Medium, probe, poses, backend: str) -> tuple[Tensor, Tensor, Tensor]:
    values = sample_scanline_medium(medium, probe, poses, backend)
    return values.impedance, values.attenuation, values.backscatter


def lines_in_and_out(
    n_nodes: int, shape: tuple[int, int, int] = (5, 6, 4), n_poses: int = 2, n_lines: int = 3
) -> list[Tensor]:
    """A random grid, and scanlines that cross it and leave it, in the order of `NAMES`."""
    generator = torch.Generator().manual_seed(3)

    def random(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=torch.float64)

    across = random(n_poses, 3) - 0.5
    directions = random(n_poses, n_lines, 3) + 0.2
    origins = 4 * random(n_poses, n_lines, 3) - 2
    depths = torch.linspace(0.0, 7.0, n_nodes, dtype=torch.float64)
    return [random(*shape, 3), origins, directions, across, depths, random(2, n_nodes) - 0.5]


def values_and_gradients(
    module: Any, tensors: list[Tensor], dtype: torch.dtype, device: str
) -> dict[str, Tensor]:
    leaves = [tensors[0].to(dtype), *tensors[1:]]
    leaves = [t.to(device).detach().requires_grad_() for t in leaves]
    values = (
        module.sample_lines(*leaves)
        if module is triton_sampling
        else torch.stack(module.sample_maps(*leaves)[:3])
    )
    weights = torch.arange(values.numel(), dtype=torch.float64).cos().reshape(values.shape).to(values)
    gradients = torch.autograd.grad((values * weights).sum(), leaves)
    return {"values": values.detach().cpu()} | {
        name: g.cpu() for name, g in zip(NAMES, gradients, strict=True)
    }


@pytest.mark.parametrize("n_nodes", [1, 128, 129])
def test_against_scipy(n_nodes: int) -> None:
    """Linear interpolation by SciPy, and the fade written out, at positions formed by NumPy."""
    tensors = lines_in_and_out(n_nodes)
    grid, origins, directions, across, depths, offsets = (t.numpy() for t in tensors)
    got = triton_sampling.sample_lines(*(t.to(DEVICE) for t in tensors)).cpu().numpy()
    position = (
        origins[:, None, :, None]
        + directions[:, None, :, None] * depths[:, None]
        + across[:, None, None, None] * offsets[None, :, None, :, None]
    )
    last = np.array(grid.shape[:3]) - 1
    beyond = np.maximum(np.maximum(-position, position - last), 0)
    assert n_nodes == 1 or ((beyond > 1).any() and ((beyond > 0) & (beyond < 1)).any())
    for channel in range(3):
        expected = map_coordinates(
            grid[..., channel], np.moveaxis(position, -1, 0), order=1, mode="nearest", prefilter=False
        )
        if channel == 2:
            expected = expected * np.clip(1 - beyond, 0, None).prod(axis=-1)
        np.testing.assert_allclose(got[channel], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, torch.float64) for name in PROBES] + [("convex", torch.float32)]
)
def test_values_agree_with_the_reference(name: str, dtype: torch.dtype) -> None:
    probe = PROBES[name].with_options(n_scanlines=4, n_elevation=3)
    poses = torch.stack([IDENTITY, OUTWARDS])
    medium = on_device(textured(dtype))
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    both = (sampled(medium, probe, poses, backend) for backend in ("triton", "torch"))
    for fast, slow in zip(*both, strict=True):
        assert fast.shape == slow.shape
        assert (fast - slow).abs().max() <= tolerance


def reference_gradients(backend: str) -> dict[str, Tensor]:
    base = on_device(textured())
    probe = PROBES["convex"].with_options(n_scanlines=3, n_elevation=2)
    leaves = {
        "maps": base.channels.clone().requires_grad_(),
        "tangent": torch.zeros(2, 6, dtype=torch.float64, requires_grad=True),
        "depth": torch.tensor(48.0, dtype=torch.float64, requires_grad=True),
        "elevation focus": torch.tensor(30.0, dtype=torch.float64, requires_grad=True),
    }
    medium = Medium.from_channels(leaves["maps"], base.world_from_voxel)
    probe = probe.with_options(depth_mm=leaves["depth"], elevation_focus_mm=leaves["elevation focus"])
    poses = pose.perturb(torch.stack([IDENTITY, OUTWARDS]), leaves["tangent"])
    generator = torch.Generator().manual_seed(0)
    score = torch.zeros((), dtype=torch.float64, device=DEVICE)
    for values, scale in zip(sampled(medium, probe, poses, backend), (1.0, 1.0, 100.0), strict=True):
        weights = torch.rand(values.shape, generator=generator, dtype=torch.float64).to(DEVICE)
        score = score + scale * (values * weights).sum()
    return dict(zip(leaves, torch.autograd.grad(score, list(leaves.values())), strict=True))


def test_gradients_agree_with_the_reference() -> None:
    fast, slow = reference_gradients("triton"), reference_gradients("torch")
    for name, expected in slow.items():
        assert expected.abs().max() > 0, name
        assert (fast[name] - expected).abs().max() <= 1e-9 * expected.abs().max(), name


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)], ids=str)
def test_agrees_with_the_kernel_of_the_cpu(dtype: torch.dtype, tolerance: float) -> None:
    """In all that it gives: also to across and offsets, over more than one block, in both types."""
    tensors = lines_in_and_out(130, n_lines=2)
    expected = values_and_gradients(numba_sampling, tensors, dtype, "cpu")
    got = values_and_gradients(triton_sampling, tensors, dtype, DEVICE)
    for name, slow in expected.items():
        assert got[name].dtype == slow.dtype
        assert (got[name] - slow).abs().max() <= tolerance * slow.abs().max(), name


@pytest.mark.parametrize("wanted", NAMES)
def test_one_gradient_at_a_time(wanted: str) -> None:
    """Kernels are left out where nothing wants them; what is left is the same, and float64 throughout."""
    tensors = [t.to(DEVICE) for t in lines_in_and_out(5, n_poses=1, n_lines=1)]
    together = values_and_gradients(triton_sampling, tensors, torch.float64, DEVICE)[wanted]
    which = NAMES.index(wanted)
    tensors[which].requires_grad_()
    values = triton_sampling.sample_lines(*tensors)
    weights = torch.arange(values.numel(), dtype=torch.float64).cos().reshape(values.shape).to(DEVICE)
    (alone,) = torch.autograd.grad((values * weights).sum(), tensors[which])
    assert float(together.abs().max()) > 0
    assert torch.allclose(alone.cpu(), together, rtol=1e-12, atol=1e-13)


def test_gradients_against_finite_differences() -> None:
    tensors = lines_in_and_out(4, shape=(3, 2, 3), n_poses=1, n_lines=2)
    leaves = [t.to(DEVICE).requires_grad_() for t in tensors]
    # The sum over all programs is added in another order each time on a GPU.
    function: Any = triton_sampling.sample_lines
    assert gradcheck(function, leaves, fast_mode=True, nondet_tol=1e-12)


def test_many_nodes_of_one_voxel_add_up_exactly() -> None:
    """Shares of the eight corners add up to one; all nodes of all programs meet in one cell."""
    grid = torch.zeros(4, 4, 4, 3, device=DEVICE, requires_grad=True)
    n_lines, n_nodes = 5, 300
    centre = torch.full((1, n_lines, 3), 1.5, dtype=torch.float64, device=DEVICE)
    still = torch.zeros(1, n_lines, 3, dtype=torch.float64, device=DEVICE)
    depths = torch.arange(n_nodes, dtype=torch.float64, device=DEVICE)
    values = triton_sampling.sample_lines(grid, centre, still, still[:, 0], depths, depths[None])
    (gradient,) = torch.autograd.grad(values.sum(), grid)
    expected = torch.zeros(4, 4, 4, 3)
    expected[1:3, 1:3, 1:3] = n_lines * n_nodes / 8
    assert torch.equal(gradient.cpu(), expected)


def test_far_beyond_the_grid_the_border_goes_on() -> None:
    grid = torch.arange(2 * 3 * 4 * 3, dtype=torch.float64).reshape(2, 3, 4, 3).to(DEVICE).requires_grad_()
    ends = torch.tensor([[[1e12] * 3, [-1e12] * 3]], dtype=torch.float64)
    origins = ends.to(DEVICE).requires_grad_()
    one = torch.ones(1, dtype=torch.float64, device=DEVICE)
    still = torch.zeros(1, 2, 3, dtype=torch.float64, device=DEVICE)
    values = triton_sampling.sample_lines(grid, origins, still, still[:, 0], one, one[None])
    corners = torch.stack([grid[-1, -1, -1], grid[0, 0, 0]])
    assert torch.equal(values[:2, 0, 0, :, 0].T, corners[:, :2])
    assert torch.equal(values[2], torch.zeros_like(values[2]))
    (gradient,) = torch.autograd.grad(values.sum(), origins)
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_a_grid_of_one_voxel_along_an_axis() -> None:
    flat = medium_of(lambda x, y, z: (0 * z + 1.6, 0 * z, 0 * z + 0.01))
    thin = on_device(Medium.from_channels(flat.channels[:, :1].contiguous(), flat.world_from_voxel))
    at = pose.exp(torch.tensor([0.0, 0, 0, 0, -20.0, 0], dtype=torch.float64))
    fast, slow = (sampled(thin, PROBES["linear"], at[None], backend)[2] for backend in ("triton", "torch"))
    assert torch.allclose(fast, slow, atol=1e-12) and float(fast.max()) > 0


def test_second_derivatives_are_refused_with_a_way_out() -> None:
    tensors = [t.to(DEVICE).requires_grad_() for t in lines_in_and_out(5)]
    total = triton_sampling.sample_lines(*tensors).square().sum()
    (first,) = torch.autograd.grad(total, tensors[1], create_graph=True)
    with pytest.raises(RuntimeError, match="backend='torch'"):
        torch.autograd.grad(first.sum(), tensors[1])


def test_the_renderer_samples_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    probe = PROBES["phased"].with_options(n_scanlines=4, n_samples=32)
    medium = on_device(moved(textured(), TILTED))
    slow = render(medium, probe, TILTED, RenderSettings(backend="torch")).envelope
    calls = []
    kernel = triton_sampling.sample_lines

    def counted(*tensors: Tensor) -> Tensor:
        calls.append(len(tensors))
        return kernel(*tensors)

    monkeypatch.setattr(triton_sampling, "sample_lines", counted)
    fast = render(medium, probe, TILTED, RenderSettings(backend="triton")).envelope
    assert calls == [6]
    assert (fast - slow).abs().max() <= 1e-10 * slow.max()


def test_kernels_compile_for_a_gpu(tmp_path) -> None:
    """To PTX for compute capability 8.0, which needs no GPU.

    Additions to the grid return nothing, positions are formed in float64, and no thread waits for another.
    """
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]
    added = {"sample_forward": 0, "sample_position_adjoint": 0, "sample_grid_adjoint": 24}
    lines = [f"{name} {count} True True False" for name, count in added.items() for _ in range(2)]
    assert run.stdout.splitlines() == lines
