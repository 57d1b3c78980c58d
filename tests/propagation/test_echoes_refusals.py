"""Bad input to `echoes` is refused at the door, with what was given and what would do."""

from __future__ import annotations

import math

import pytest
import torch
from tests.support import as_users_run

from diffus.propagation import echo, echoes

GOOD = torch.tensor([[1.5, 1.6, 1.7], [1.5, 1.6, 1.7]])


def spoiled(value):
    impedance = GOOD.clone()
    impedance[1, 2] = value
    return impedance


TABLE = {
    "zero": ({"impedance": spoiled(0.0)}, r"above 0 everywhere, got 1 of 6 .*\(the first is 0\)"),
    "negative": ({"impedance": spoiled(-2.0)}, "the first is -2"),
    "nan": ({"impedance": spoiled(math.nan)}, "finite.*the first is nan"),
    "infinite": ({"impedance": spoiled(math.inf)}, "finite.*the first is inf"),
    "one sample": ({"impedance": torch.ones(4, 1)}, r"at least two samples, got \(4, 1\)"),
    "no samples": ({"impedance": torch.ones(0)}, "at least two samples"),
    "a number": ({"impedance": torch.tensor(1.0)}, r"got \(\)"),
    "integers": ({"impedance": torch.ones(3, dtype=torch.int64)}, "floating point, got torch.int64"),
    "face 1": ({"face_reflection": 1.0}, r"inside \(-1, 1\), got 1"),
    "face -1.5": ({"face_reflection": torch.tensor(-1.5)}, "got -1.5"),
    "face nan": ({"face_reflection": math.nan}, "got nan"),
    "face vector": ({"face_reflection": torch.zeros(2)}, r"one number.*got \(2,\)"),
    "loss 0": ({"loss": 0.0}, r"\(0, 1\], got values from 0 to 0"),
    "loss gains": ({"loss": torch.tensor([0.5, 1.01])}, "from 0.5 to 1.01"),
    "loss nan": ({"loss": math.nan}, "nan"),
    "loss shape": ({"loss": torch.ones(3)}, r"broadcasts to \(2, 2\), got \(3,\)"),
    "loss text": ({"loss": "strong"}, "number or a tensor, got str"),
    "no times": ({"n_times": 0}, "at least 1, got 0"),
    "half a time": ({"n_times": 2.5}, "whole number.*2.5"),
    "model": ({"model": "exact"}, "unknown model 'exact': expected one of 'primary', 'full', 'published'"),
    "backend": (
        {"backend": "cuda"},
        "unknown backend 'cuda': expected one of 'auto', 'torch', 'numba', 'triton'",
    ),
    "numba dtype": (
        {"impedance": GOOD.bfloat16(), "backend": "numba"},
        "numba.*is bfloat16; use backend='torch'",
    ),
    "numba device": ({"impedance": GOOD.to("meta"), "backend": "numba"}, "runs on the CPU.*on meta"),
}


@pytest.mark.parametrize(("changes", "message"), TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("model", ["primary", "full", "published"])
def test_refused_before_any_work(changes, message, model, monkeypatch):
    def no_work(*_arguments):
        raise AssertionError("work was done before the input was refused")

    for name in ("primary_echoes", "full_echoes", "published_echoes"):
        monkeypatch.setattr(echo.layered, name, no_work)
    arguments = {"impedance": GOOD, "model": model, "backend": "torch", **changes}
    with as_users_run(), pytest.raises(ValueError, match=message):
        echoes(arguments.pop("impedance"), **arguments)


def test_triton_without_a_gpu_names_the_reason(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match=r"triton.*(runs on CUDA|not installed)"):
        echoes(GOOD, backend="triton")
