"""Means over the box around each pixel, counting pixels by weight; the cost hardly grows with the box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Window = int | Sequence[int]
"""Width of a box in pixels, odd: one for all axes, or one for each."""

LEAST_VARIANCE = 1e-4
"""Variance, in units of the whole image's, below which a window holds no structure: a contrast of 1 % of its
standard deviation, about half a grey level of an 8-bit image, well above the rounding errors of float32."""


class LocalMeans:
    """Weighted means over the window around each pixel.

    Args:
        weights: of each pixel.
        widths: of the window along each axis.

    Attributes:
        coverage: share of each window that the weights cover, which is its own weight among the windows.
    """

    def __init__(self, weights: Float[Tensor, "_ *space"], widths: tuple[int, ...]):
        count = window_sum(weights, widths)
        self.coverage = count / math.prod(widths)
        self._weights = weights
        self._widths = widths
        self._count = torch.where(count > 0, count, 1.0)

    def __call__(self, values: Float[Tensor, "_ *space"]) -> Float[Tensor, "_ *space"]:
        """Mean around each pixel; zero where nothing counts."""
        return window_sum(values * self._weights, self._widths) / self._count


def window_widths(window: Window, space: Sequence[int]) -> tuple[int, ...]:
    """Width of the window along each axis.

    Args:
        window: as the user gave it.
        space: size of the images along each axis.

    Raises:
        ValueError: when it has another number of axes, is even, holds one pixel only, or is larger than the
            images.
    """
    widths = (window,) * len(space) if isinstance(window, int) else tuple(window)
    if len(widths) != len(space):
        raise ValueError(f"window: expected one width or {len(space)}, one for each axis, got {window}")
    if any(width < 1 or width % 2 == 0 for width in widths) or max(widths) == 1:
        raise ValueError(f"window: expected odd widths, 3 or more along at least one axis, got {window}")
    if any(width > size for width, size in zip(widths, space, strict=True)):
        raise ValueError(f"window: {window} is larger than the images, {tuple(space)}: take a smaller one")
    return widths


def window_sum(values: Float[Tensor, "B *space"], widths: tuple[int, ...]) -> Float[Tensor, "B *space"]:
    """Sum over the box around each pixel; nothing lies beyond the image."""
    return _WindowSum.apply(values, widths)  # pyright: ignore[reportReturnType]


def eroded(weights: Float[Tensor, "B *space"], radius: int) -> Float[Tensor, "B *space"]:
    """Least weight within a radius along each axis: where a derivative or a patch sees the mask alone.

    The image's own border takes nothing away.
    """
    width = 2 * radius + 1
    lowered = -weights
    for axis in range(1, weights.ndim):
        lines = lowered.movedim(axis, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        lowered = F.max_pool1d(flat, width, stride=1, padding=radius).reshape(lines.shape).movedim(-1, axis)
    return -lowered


class _WindowSum(torch.autograd.Function):
    """A symmetric box is its own adjoint: the gradient costs no more than the value and keeps no history."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, widths: tuple[int, ...]) -> Tensor:
        for axis, width in enumerate(widths, start=values.ndim - len(widths)):
            values = _run_sum(values, axis, width)
        return values

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, ...]], output: Tensor) -> None:
        ctx.widths = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return window_sum(grads[0], ctx.widths), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return window_sum(tangents[0], ctx.widths)


def _run_sum(values: Tensor, axis: int, width: int) -> Tensor:
    """Sum of ``width`` neighbours along one axis, out of runs of 1, 2, 4, 8, ... neighbours.

    Unlike differences of a cumulative sum this loses no digits: far values never enter.
    """
    if width == 1:
        return values
    size = values.shape[axis]
    margin = [0, 0] * (values.ndim - 1 - axis) + [width // 2, width // 2]
    runs, length, start = F.pad(values, margin), 1, 0
    total = torch.zeros_like(values)
    while True:
        if width & length:
            total = total + runs.narrow(axis, start, size)
            start += length
        if 2 * length > width:
            return total
        shorter = runs.shape[axis] - length
        runs = runs.narrow(axis, 0, shorter) + runs.narrow(axis, length, shorter)
        length *= 2
