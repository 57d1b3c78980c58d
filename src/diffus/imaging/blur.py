"""Gaussian blurring along depth and across scanlines, with exact, positive, differentiable taps.

Direct taps rather than an FFT: a shadow 100 dB below its neighbour stays clean in float32.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

_REACH = 4.5
"""Taps reach this many sigmas out, where a Gaussian has fallen to 4e-5."""


def blur_depth(
    image: Float[Tensor, "B S N"], sigma_samples: Float[Tensor, ""], unit: str
) -> Float[Tensor, "B S N"]:
    """Blur along each scanline; nothing lies beyond the ends.

    Args:
        image: values on scanlines.
        sigma_samples: standard deviation in samples.
        unit: what the taps are scaled to: ``"peak"`` (a single value keeps its height) or ``"sum"`` (a
            uniform image keeps its height).
    """
    batch, lines, samples = image.shape
    radius = _radius(sigma_samples, samples - 1)
    taps = _taps(sigma_samples[None], radius)
    if unit == "sum":
        taps = taps / taps.sum()
    flat = image.reshape(batch * lines, 1, samples)
    return F.conv1d(flat, taps[:, None], padding=radius).reshape(batch, lines, samples)


def blur_scanlines(
    image: Float[Tensor, "B S N"], sigma_scanlines: Float[Tensor, " N"], wraps: bool
) -> Float[Tensor, "B S N"]:
    """Blur across scanlines, at each depth with its own width; a uniform image stays as it is.

    At the edges of the field of view the taps that fall outside are left out and the rest scaled up, as if
    the tissue went on there.

    Args:
        image: values on scanlines.
        sigma_scanlines: standard deviation in scanlines at each depth.
        wraps: whether the last scanline is a neighbour of the first.
    """
    lines, samples = image.shape[1:]
    radius = _radius(sigma_scanlines, (lines - 1) // 2 if wraps else lines - 1)
    if radius == 0:
        return image
    taps = _taps(sigma_scanlines, radius)
    weight = (taps / taps.sum(dim=-1, keepdim=True))[:, None]
    rows = image.transpose(1, 2)
    if wraps:
        rows = F.pad(rows, (radius, radius), mode="circular")
        return F.conv1d(rows, weight, groups=samples).transpose(1, 2)
    blurred = F.conv1d(rows, weight, padding=radius, groups=samples)
    share = F.conv1d(torch.ones_like(rows[:1]), weight, padding=radius, groups=samples)
    return (blurred / share).transpose(1, 2)


def _radius(sigma: Tensor, most: int) -> int:
    return max(0, min(math.ceil(_REACH * float(sigma.detach().max())), most))


def _taps(sigma: Float[Tensor, " N"], radius: int) -> Float[Tensor, "N taps"]:
    offset = torch.arange(-radius, radius + 1, dtype=sigma.dtype, device=sigma.device)
    return torch.exp(-0.5 * (offset / sigma.clamp_min(1e-3)[:, None]) ** 2)
