"""Spatial derivatives of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_positive

LEAST_SLOPE = 1e-3
"""Slope below which the magnitude of a gradient is rounded off, so that it has derivatives at zero."""


def derivatives(
    image: Float[Tensor, "B *space"], spacing: Sequence[float] | None = None
) -> list[Float[Tensor, "B *space"]]:
    """Central differences along each axis of space; one-sided at the borders.

    Args:
        image: two pixels or more along each axis.
        spacing: of the pixels along each axis; 1 by default.

    Raises:
        ValueError: for an axis of one pixel, or a spacing that does not fit or is not above zero.
    """
    axes = tuple(range(1, image.ndim))
    if min(image.shape[1:]) < 2:
        raise ValueError(f"derivatives need 2 pixels or more along each axis, got {tuple(image.shape[1:])}")
    steps = (1.0,) * len(axes) if spacing is None else tuple(spacing)
    if len(steps) != len(axes):
        raise ValueError(f"spacing: expected {len(axes)} numbers, one for each axis, got {spacing}")
    require_positive("spacing", **{f"axis {axis}": step for axis, step in enumerate(steps)})
    return list(torch.gradient(image, spacing=steps, dim=axes))


def gradient_magnitude(
    image: Float[Tensor, "B *space"], spacing: Sequence[float] | None = None
) -> Float[Tensor, "B *space"]:
    """Length of the gradient, ``sqrt(|grad|^2 + LEAST_SLOPE^2)``, smooth everywhere.

    Args:
        image: of unit contrast, against which the rounding off is small.
        spacing: of the pixels along each axis, in any unit: slopes are per pixel of the finest axis.

    Raises:
        ValueError: as `derivatives`.
    """
    slopes = derivatives(image, spacing)
    finest = 1.0 if spacing is None else min(spacing)
    squares = torch.stack([(slope * finest).square() for slope in slopes]).sum(dim=0)
    return (squares + LEAST_SLOPE**2).sqrt()
