"""Which backend computes what: chosen by device and dtype, or refused with the reason."""

from __future__ import annotations

import importlib.util
import os

import torch
from torch import Tensor

from diffus.checks import require_one_of

BACKENDS = ("auto", "torch", "numba", "triton")
"""How to compute: the best for the tensor at hand, the reference, the CPU kernels, the CUDA kernels."""

_KERNEL_DTYPES = {"numba": (torch.float32, torch.float64), "triton": (torch.float32, torch.float64)}


def resolve_backend(backend: str, impedance: Tensor) -> str:
    """The backend that will run: ``"torch"``, ``"numba"`` or ``"triton"``.

    Raises:
        ValueError: for an unknown backend, or one that cannot serve this tensor, with the reason.
    """
    require_one_of("backend", backend, BACKENDS)
    if backend == "auto":
        best = "numba" if impedance.device.type == "cpu" else "triton"
        return "torch" if why_not(best, impedance) else best
    reason = why_not(backend, impedance)
    if reason:
        raise ValueError(
            f"backend {backend!r} cannot serve this call: {reason}; use backend='torch' or 'auto'"
        )
    return backend


def why_not(backend: str, values: Tensor, what: str = "impedance") -> str | None:
    """Why a backend cannot serve a tensor (what it is, for the message), or None where it can."""
    if backend == "torch":
        return None
    if values.dtype not in _KERNEL_DTYPES[backend]:
        return f"it computes in float32 and float64, and the {what} is {str(values.dtype)[6:]}"
    device = values.device.type
    if backend == "numba":
        return None if device == "cpu" else f"it runs on the CPU, and the {what} is on {device}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if device != "cuda" and not (device == "cpu" and interpreting()):
        return f"it runs on CUDA, and the {what} is on {device}"
    return None


def interpreting() -> bool:
    """Whether Triton's interpreter stands in for a GPU (environment variable TRITON_INTERPRET=1)."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")
