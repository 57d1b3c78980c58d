"""Gradients that can be taken once: asking for the second derivative is refused with a way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def differentiable_once(backward: Callable[..., tuple[Tensor | None, ...]]) -> Callable[..., Any]:
    """Wrap the backward of an autograd function whose gradients come from kernels.

    As torch's ``once_differentiable``, but the error names the backend that can.
    """

    def wrapped(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        with torch.no_grad():
            gradients = backward(ctx, *bars)
        if not torch.is_grad_enabled():
            return gradients
        anchors = [t for t in (*bars, *ctx.saved_tensors) if t is not None and t.requires_grad]
        return tuple(None if g is None else _Refused.apply(g, *anchors) for g in gradients)

    return wrapped


class _Refused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *anchors: Tensor) -> Tensor:
        ctx.n_inputs = 1 + len(anchors)
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *_bars: Tensor) -> Any:
        raise RuntimeError(
            "the fast kernels of diffus give first derivatives only: "
            "for second derivatives use backend='torch'"
        )
