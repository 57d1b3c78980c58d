"""Parity between backends in values and gradients, shapes and memory layouts, and what is chosen."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch
from tests.oracles.media import random_loss, random_medium
from tests.propagation.parity import assert_parity, values_and_gradients

from diffus.propagation import echoes, numba_backend, resolve_backend

TISSUES = torch.tensor([1.568, 1.616, 1.515, 5.369, 0.0004, 7.8, 1.473])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("model", ["primary", "full", "published"])
@pytest.mark.parametrize("least", [None, 0.98])
@pytest.mark.parametrize(
    ("n_lines", "n_interfaces", "n_times"), [(1, 1, 1), (16, 64, 64), (37, 101, 90), (3, 30, 77)]
)
def test_parity_in_tissue(n_lines, n_interfaces, n_times, least, model, dtype):
    impedance = random_medium(n_interfaces, 0.1, (n_lines,), dtype)
    loss = None if least is None else random_loss(n_interfaces, least, (n_lines,), dtype)
    both = [
        values_and_gradients(impedance, loss, model, backend, n_times=n_times)
        for backend in ("torch", "numba")
    ]
    assert_parity(*both, tolerance=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("least", [None, 0.9, 0.6])
def test_parity_between_air_bone_and_metal(least):
    """Runs of three layers of any tissue; 0.9 needs checkpoints, 0.6 the reference's gradient."""
    impedance = TISSUES[torch.randint(len(TISSUES), (21, 50))].repeat_interleave(3, dim=1)
    loss = None if least is None else random_loss(149, least, (21,), torch.float32)
    both = [values_and_gradients(impedance, loss, "full", backend) for backend in ("torch", "numba")]
    assert_parity(*both, tolerance=1e-5)


def test_strong_loss_against_double_precision():
    """The way back through lossy layers amplifies rounding: the checkpoints must keep it in bounds."""
    impedance = random_medium(400, 0.5, (16,))
    loss = random_loss(400, 0.9, (16,))
    exact = values_and_gradients(impedance, loss, "full", "torch")
    single = values_and_gradients(impedance.float(), loss.float(), "full", "numba")
    assert_parity(exact, [t.double() for t in single], tolerance=1e-5)


@pytest.mark.parametrize("shape", [(7,), (1, 7), (3, 2, 5, 7), (0, 7), (2, 0, 7)])
@pytest.mark.parametrize("model", ["primary", "full", "published"])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_leading_dimensions_and_empty_batches(shape, model, backend):
    impedance = (torch.rand(shape) + 1).requires_grad_()
    received = echoes(impedance, model=model, backend=backend, n_times=4, loss=0.9)
    assert received.shape == (*shape[:-1], 4) and received.dtype == impedance.dtype
    received.sum().backward()
    assert impedance.grad is not None and impedance.grad.shape == shape


@pytest.mark.parametrize("model", ["primary", "full", "published"])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_memory_layout_does_not_matter(model, backend):
    whole = random_medium(23, 0.5, (40,), torch.float32)
    views = [
        whole.T.contiguous().T,
        whole.repeat_interleave(2, dim=1)[:, ::2],
        torch.stack([whole, whole])[1],
    ]
    expected = values_and_gradients(whole, None, model, backend)
    for view in views:
        assert_parity(expected, values_and_gradients(view, None, model, backend), tolerance=1e-7)
    one_line = whole[:1].expand(40, -1)
    assert torch.equal(
        echoes(one_line, model=model, backend=backend)[39], echoes(whole, model=model, backend=backend)[0]
    )


def test_every_line_is_its_own():
    """A scanline's echoes do not depend on its neighbours in the block, whatever those are."""
    impedance = random_medium(33, 0.9, (19,))
    together = echoes(impedance, backend="numba")
    for line in (0, 7, 8, 18):
        torch.testing.assert_close(together[line], echoes(impedance[line], backend="numba"), rtol=0, atol=0)


def test_threads_share_the_work_without_changing_it(monkeypatch):
    impedance = random_medium(70, 0.5, (70,), torch.float32)
    alone = values_and_gradients(impedance, None, "full", "numba")
    monkeypatch.setattr(numba_backend, "_WORTH_THREADS", 0)
    shared = values_and_gradients(impedance, None, "full", "numba")
    assert_parity(alone, shared, tolerance=0)


def test_calls_from_several_threads_at_once(monkeypatch):
    monkeypatch.setattr(numba_backend, "_WORTH_THREADS", 0)
    media = [random_medium(50, 0.5, (40,), torch.float32, seed=seed) for seed in range(6)]
    expected = [echoes(medium, backend="numba") for medium in media]
    got = [torch.empty(0)] * len(media)

    def work(index):
        for _ in range(5):
            got[index] = echoes(media[index], backend="numba")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(media))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


FORKED = """
import os, sys, torch
from diffus.propagation import echoes, numba_backend
numba_backend._WORTH_THREADS = 0  # always use threads of our own
impedance = 1 + torch.rand(40, 51, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
expected = echoes(impedance, backend="numba")
child = os.fork()
if child == 0:
    same = torch.equal(echoes(impedance, backend="numba"), expected)
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_can_render():
    """As the workers of a data loader do, after the parent has used its threads; in a process of its own."""
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)


def test_auto_takes_the_kernels_where_they_serve():
    assert resolve_backend("auto", torch.ones(3)) == "numba"
    assert resolve_backend("auto", torch.ones(3, dtype=torch.float64)) == "numba"
    assert resolve_backend("auto", torch.ones(3, dtype=torch.bfloat16)) == "torch"
    assert resolve_backend("auto", torch.ones(3, device="meta")) == "torch"
    assert resolve_backend("torch", torch.ones(3)) == "torch"


def test_half_precision_runs_on_the_reference():
    impedance = random_medium(12, 0.1, (3,), torch.float32)
    half = echoes(impedance.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), echoes(impedance), rtol=0, atol=0.02)
