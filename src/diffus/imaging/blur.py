"""Gaussian blurring along depth and across scanlines, with exact, positive, differentiable taps.

Direct taps rather than an FFT: a shadow 100 dB below its neighbour stays clean in float32. A Gaussian is
followed for 4.5 sigmas, where it has fallen to 4e-5.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diffus.propagation import resolve_backend

REACH = 4.5
"""Sigmas that a Gaussian is followed."""
LEAST_SIGMA = 1e-3
"""Narrowest Gaussian, in steps: a single tap."""


def blur_depth(
    image: Float[Tensor, "B S N"], sigma_samples: Float[Tensor, ""], unit: str, backend: str = "auto"
) -> Float[Tensor, "B S N"]:
    """Blur along each scanline; nothing lies beyond the ends.

    Args:
        image: values on scanlines.
        sigma_samples: standard deviation in samples.
        unit: what the taps are scaled to: ``"peak"`` (a single value keeps its height), ``"sum"`` (a uniform
            image keeps its height) or ``"energy"`` (white noise keeps its power).
        backend: ``"numba"`` is the CPU kernel, all others the reference.
    """
    return blur_by_taps(image, depth_taps(sigma_samples, image.shape[-1], unit), backend)


def depth_taps(sigma_samples: Float[Tensor, ""], n_samples: int, unit: str) -> Float[Tensor, " taps"]:
    """The taps of `blur_depth` for images of some depth samples, from the middle one outwards."""
    taps = _one_side(sigma_samples[None], _radius(sigma_samples, n_samples - 1))[0]
    both_sides = torch.cat([taps.flip(0)[:-1], taps])
    if unit == "sum":
        return taps / both_sides.sum()
    return taps / both_sides.square().sum().sqrt() if unit == "energy" else taps


def blur_by_taps(
    image: Float[Tensor, "B S N"], taps: Float[Tensor, " taps"], backend: str = "auto"
) -> Float[Tensor, "B S N"]:
    """Blur along each scanline by symmetric taps, from the middle one outwards; see `blur_depth`."""
    if resolve_backend(backend, image) == "numba":
        from diffus.imaging.numba_blur import along_depth

        return along_depth(image, taps)
    batch, lines, samples = image.shape
    kernel = torch.cat([taps.flip(0)[:-1], taps])[None, None]
    flat = image.reshape(batch * lines, 1, samples)
    return F.conv1d(flat, kernel, padding=len(taps) - 1).reshape(batch, lines, samples)


def peak_area(sigma_samples: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Sum of the taps of `blur_depth` with unit ``"peak"``: how many samples in a row add up in one."""
    return _both_sides(sigma_samples[None], _radius(sigma_samples, 10_000)).sum()


def blur_scanlines(
    image: Float[Tensor, "B S N"],
    sigma_scanlines: Float[Tensor, " N"],
    wraps: bool,
    widening: Float[Tensor, " S"] | None = None,
    backend: str = "auto",
) -> Float[Tensor, "B S N"]:
    """Blur across scanlines, at each depth with its own width; a uniform image stays as it is.

    At the edges of the field of view the taps that fall outside are left out and the rest scaled up, as if
    the tissue went on there.

    Args:
        image: values on scanlines.
        sigma_scanlines: standard deviation in scanlines at each depth.
        wraps: whether the last scanline is a neighbour of the first.
        widening: factor of the width for the beam of each scanline.
        backend: ``"numba"`` is the CPU kernel, all others the reference. Gradients to the widening are those
            of the reference.
    """
    lines = image.shape[1]
    most = (lines - 1) // 2 if wraps else lines - 1
    if most == 0:
        return image
    fixed = widening is None or not widening.requires_grad
    if fixed and resolve_backend(backend, image) == "numba":
        from diffus.imaging.numba_blur import across_scanlines

        return across_scanlines(image, sigma_scanlines, wraps, widening)
    sigma = sigma_scanlines if widening is None else sigma_scanlines * widening.max()
    radius = _radius(sigma, most)
    rows = image.transpose(1, 2)
    rows = F.pad(rows, (radius, radius), mode="circular") if wraps else F.pad(rows, (radius, radius))
    inside = F.pad(torch.ones_like(image[0, :, 0]), (radius, radius), value=float(wraps))
    if widening is None:
        return _same_for_all(rows, inside, sigma_scanlines, radius).transpose(1, 2)
    width = 2 * radius + 1
    blurred = [
        _weighted(
            rows[..., line : line + width], inside[line : line + width], sigma_scanlines * wider, radius
        )
        for line, wider in enumerate(widening)
    ]
    return torch.stack(blurred, dim=1)


def blur_sheared(
    image: Float[Tensor, "B S N"],
    sigma_samples: Float[Tensor, ""],
    unit: str,
    sigma_scanlines: Float[Tensor, " N"],
    lean_samples: Float[Tensor, ""],
) -> Float[Tensor, "B S N"]:
    """Blur along depth and across scanlines whose samples of equal depth do not lie side by side.

    As `blur_depth` and then `blur_scanlines`, where the sample beside sample k on the next scanline is
    ``k - lean_samples``. Plain PyTorch on every backend.

    Args:
        image: values on scanlines.
        sigma_samples: standard deviation along depth.
        unit: what the taps along depth are scaled to, see `blur_depth`.
        sigma_scanlines: standard deviation in scanlines at each depth.
        lean_samples: how many samples the neighbour's side lies nearer to the face.
    """
    batch, lines, samples = image.shape
    radius = _radius(sigma_scanlines, lines - 1)
    beam = _both_sides(sigma_scanlines, radius)
    slip = int(radius * float(lean_samples.detach().abs())) + 1
    reach = _radius(sigma_samples, samples - 1) + slip
    offset = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    sigma = sigma_samples.clamp_min(LEAST_SIGMA)
    middle = torch.exp(-0.5 * (offset / sigma) ** 2)
    scale = {"peak": 1.0, "sum": middle.sum(), "energy": middle.square().sum().sqrt()}[unit]
    total, weights = torch.zeros_like(image), torch.zeros_like(image[0])
    for q in range(-radius, radius + 1):
        low, high = max(0, -q), min(lines, lines - q)
        # The side of (l, k) on scanline l + q is sample k - q lean.
        taps = torch.exp(-0.5 * ((offset + q * lean_samples) / sigma) ** 2) / scale
        source = image[:, low + q : high + q].reshape(-1, 1, samples)
        seen = F.conv1d(source, taps[None, None], padding=reach).reshape(batch, high - low, samples)
        weight = beam[:, q + radius]
        total = total + F.pad(seen * weight, (0, 0, low, lines - high))
        weights = weights + F.pad(weight.expand(high - low, -1), (0, 0, low, lines - high))
    return total / weights


def _same_for_all(rows: Tensor, inside: Tensor, sigma: Tensor, radius: int) -> Float[Tensor, "B N S"]:
    samples = rows.shape[1]
    taps = _both_sides(sigma, radius)[:, None]
    blurred = F.conv1d(rows, taps, groups=samples)
    return blurred / F.conv1d(inside.expand(1, samples, -1), taps, groups=samples)


def _weighted(rows: Tensor, inside: Tensor, sigma: Tensor, radius: int) -> Float[Tensor, "B N"]:
    taps = _both_sides(sigma, radius) * inside
    return (rows * taps).sum(dim=-1) / taps.sum(dim=-1)


def _radius(sigma: Tensor, most: int) -> int:
    return max(0, min(math.floor(REACH * float(sigma.detach().clamp_min(LEAST_SIGMA).max())), most))


def _one_side(sigma: Float[Tensor, " N"], radius: int) -> Float[Tensor, "N taps"]:
    """The taps from the middle outwards, up to those that each Gaussian reaches itself."""
    offset = torch.arange(radius + 1, dtype=sigma.dtype, device=sigma.device)
    sigma = sigma.clamp_min(LEAST_SIGMA)[:, None]
    return torch.exp(-0.5 * (offset / sigma) ** 2) * (offset <= REACH * sigma.detach())


def _both_sides(sigma: Float[Tensor, " N"], radius: int) -> Float[Tensor, "N taps"]:
    taps = _one_side(sigma, radius)
    return torch.cat([taps.flip(-1)[:, :-1], taps], dim=-1)
