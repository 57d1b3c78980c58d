"""Numbers that may carry a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

Scalar = float | Tensor
"""A plain number, or a 0-d tensor where its gradient is wanted."""

Curve = tuple[float, ...] | Tensor
"""Values at equal steps, or a tensor (K,) where their gradient is wanted."""


def as_scalar(value: Scalar, like: Tensor) -> Tensor:
    """The value as a tensor of the dtype and device of ``like``; a gradient passes through."""
    if isinstance(value, Tensor):
        return value.to(dtype=like.dtype, device=like.device)
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def as_double(value: Scalar) -> Tensor:
    """The value as a float64 tensor; a gradient passes through."""
    return torch.as_tensor(value, dtype=torch.float64)


def over_batch(value: Scalar, image: Tensor) -> Tensor:
    """A setting of shape () or (B,), shaped to broadcast over an image (B, S, N).

    Raises:
        ValueError: when the setting has another shape.
    """
    tensor = as_scalar(value, image)
    if tensor.ndim == 0:
        return tensor
    if tensor.shape != image.shape[:1]:
        raise ValueError(
            f"a setting must be one number or one for each of {image.shape[0]} poses, "
            f"got shape {tuple(tensor.shape)}"
        )
    return tensor[:, None, None]


def on_curve(curve: Curve, share: Tensor) -> Tensor:
    """A curve of K values at equal steps, linear between them, at shares in [0, 1] of the way along it.

    Differentiable in both.
    """
    values = torch.as_tensor(curve).to(share)
    place = share.clamp(0, 1) * (len(values) - 1)
    low = place.detach().floor().long().clamp(max=len(values) - 2)
    return torch.lerp(values[low], values[low + 1], place - low)


def along_curve(curve: Curve, value: Tensor) -> Tensor:
    """The share of the way along a rising curve at which it takes a value: the inverse of `on_curve`."""
    values = torch.as_tensor(curve).to(value)
    last = len(values) - 1
    low = (torch.searchsorted(values.detach(), value.detach().contiguous(), right=True) - 1).clamp(
        0, last - 1
    )
    return (low + (value - values[low]) / (values[low + 1] - values[low])) / last


def number(value: Any) -> float:
    """The value as a plain float, without its gradient."""
    return float(plain(value))


def plain(value: Any) -> Any:
    """A number fit for JSON: tensors become floats, everything else is returned as it is."""
    return value.detach().cpu().tolist() if isinstance(value, Tensor) else value
