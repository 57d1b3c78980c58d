"""`_numba_blur` behind PyTorch, differentiable once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.kernels import run_shared
from diffus.propagation.once import differentiable_once


def along_depth(image: Float[Tensor, "B S N"], taps: Float[Tensor, " taps"]) -> Float[Tensor, "B S N"]:
    """Blur along depth by symmetric taps, the middle one first."""
    return _AlongDepth.apply(image, taps)


def across_scanlines(
    image: Float[Tensor, "B S N"],
    sigma: Float[Tensor, " N"],
    wraps: bool,
    widening: Float[Tensor, " S"] | None,
) -> Float[Tensor, "B S N"]:
    """Blur across scanlines; see `blur.blur_scanlines`."""
    wider = sigma.new_ones(1) if widening is None else widening.detach().to(sigma)
    return _AcrossScanlines.apply(image, sigma, wider, wraps)


class _AlongDepth(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, taps: Tensor) -> Tensor:
        image, taps = image.contiguous(), taps.contiguous()
        ctx.save_for_backward(image, taps)
        return _blurred(image, taps)

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        from diffus.imaging._numba_blur import depth_taps_adjoint

        image, taps = ctx.saved_tensors
        bar = bar.contiguous()
        image_bar = _blurred(bar, taps) if ctx.needs_input_grad[0] else None  # symmetric: its own adjoint
        if not ctx.needs_input_grad[1]:
            return image_bar, None
        flat, flat_bar = image.flatten(0, 1), bar.flatten(0, 1)
        by_line = taps.new_zeros(len(flat), len(taps))
        run_shared(depth_taps_adjoint, len(flat), flat, flat_bar, by_line)
        return image_bar, by_line.sum(dim=0)


def _blurred(image: Tensor, taps: Tensor) -> Tensor:
    from diffus.imaging._numba_blur import along_depth as kernel

    flat = image.flatten(0, 1)
    out = torch.empty_like(flat)
    run_shared(kernel, len(flat), flat, taps, out)
    return out.reshape(image.shape)


class _AcrossScanlines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, sigma: Tensor, widening: Tensor, wraps: bool) -> Tensor:
        from diffus.imaging._numba_blur import across_scanlines as kernel

        image, sigma = image.contiguous(), sigma.contiguous()
        n_lines = image.shape[1]
        ctx.how = (wraps, (n_lines - 1) // 2 if wraps else n_lines - 1)
        out = torch.empty_like(image)
        run_shared(kernel, _blocks(image), image, sigma, widening, *ctx.how, out)
        ctx.save_for_backward(image, sigma, widening, out)
        return out

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        from diffus.imaging._numba_blur import across_scanlines_adjoint, scanline_widths_adjoint

        image, sigma, widening, out = ctx.saved_tensors
        bar = bar.contiguous()
        image_bar = sigma_bar = None
        if ctx.needs_input_grad[0]:
            image_bar = torch.empty_like(bar)
            run_shared(across_scanlines_adjoint, _blocks(bar), sigma, widening, *ctx.how, bar, image_bar)
        if ctx.needs_input_grad[1]:
            sigma_bar = torch.zeros_like(sigma)
            run_shared(
                scanline_widths_adjoint, _blocks(bar), image, sigma, widening, *ctx.how, out, bar, sigma_bar
            )
        return image_bar, sigma_bar, None, None


def _blocks(image: Tensor) -> int:
    from diffus.imaging._numba_blur import BLOCK

    return -(-image.shape[-1] // BLOCK)
