"""The CUDA kernels: values and gradients on a GPU or under Triton's interpreter, and that they compile for
one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from tests.oracles import layered as oracle
from tests.oracles.media import random_loss, random_medium, relative_error
from tests.propagation.parity import assert_parity, values_and_gradients
from torch.autograd import gradcheck

from diffus.propagation import echoes

pytest.importorskip("triton", reason="Triton is not installed: pip install 'diffus[test]'")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from diffus.propagation import _triton

for kernel, arrays in ((_triton.march, 6), (_triton.march_back, 10)):
    for number in ("fp32", "fp64"):
        names = kernel.arg_names
        signature = {n: "*" + number if i < arrays else "i32" for i, n in enumerate(names[:-1])}
        source = ASTSource(kernel, signature | {"LANES": "constexpr"}, {(len(names) - 1,): 32})
        code = triton.compile(source, GPUTarget("cuda", 80, 32), {"num_warps": 1, "num_stages": 1})
        fused = "fma.rn.f" + number[2:]
        assert fused in code.asm["ptx"], "the lifting steps are not fused"
        print(kernel.fn.__name__, number, code.asm["ptx"].count(fused), "bar.sync" in code.asm["ptx"])
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("n_lines", "n_interfaces", "n_times", "least"),
    [(1, 1, 1, None), (3, 5, 13, None), (33, 20, 20, 0.9), (2, 30, 11, 0.97), (2, 33, 33, 0.8)],
)
def test_parity(n_lines, n_interfaces, n_times, least, dtype):
    impedance = random_medium(n_interfaces, 0.5, (n_lines,), dtype).to(DEVICE)
    loss = None if least is None else random_loss(n_interfaces, least, (n_lines,), dtype).to(DEVICE)
    both = [
        values_and_gradients(impedance, loss, "full", name, n_times=n_times) for name in ("torch", "triton")
    ]
    assert_parity(*both, tolerance=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("model", ["primary", "published"])
def test_other_models_run_the_reference(model):
    impedance = random_medium(9, 0.2, (2, 2)).to(DEVICE)
    expected = echoes(impedance, model=model, backend="torch")
    assert torch.equal(echoes(impedance, model=model, backend="triton"), expected)


def test_against_finite_differences():
    impedance = random_medium(24, 0.95)
    got = echoes(impedance.to(DEVICE), backend="triton").cpu()
    assert relative_error(got, oracle.finite_differences(impedance.numpy(), 24)) < 1e-10


@pytest.mark.parametrize("least", [None, 0.6])
def test_gradients(least):
    inputs = [random_medium(3, 0.9), torch.tensor(-0.5, dtype=torch.float64)]
    if least is not None:
        inputs.append(random_loss(3, least))

    def function(impedance, face, loss=None):
        return echoes(impedance, face_reflection=face, loss=loss, n_times=5, backend="triton")

    assert gradcheck(function, [t.to(DEVICE).requires_grad_() for t in inputs])


def test_second_derivatives_are_refused():
    impedance = random_medium(4, 0.5).to(DEVICE).requires_grad_()
    total = echoes(impedance, backend="triton").sum()
    (gradient,) = torch.autograd.grad(total, impedance, create_graph=True)
    with pytest.raises(RuntimeError, match="backend='torch'"):
        torch.autograd.grad(gradient.sum(), impedance)


def test_kernels_compile_for_a_gpu(tmp_path):
    """To PTX for compute capability 8.0, which needs no GPU; no barriers: no thread waits for another."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILED]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = run.stdout.splitlines()
    assert len(lines) == 4 and all(line.endswith("False") for line in lines), run.stdout
