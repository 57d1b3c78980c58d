"""The door of every registration: frames, probe, initial pose and mask that belong together."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_shape
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.target import Target
from diffus.scanline_sampling import sample_scanline_medium
from diffus.settings import RenderSettings

_LEAST_CONTRAST = 1e-3
"""Standard deviation of display values below which an image counts as constant: a quarter of a grey level."""


def checked_target(
    frame: Frame | Tensor,
    medium: Medium,
    probe: Probe | None,
    initial: Any,
    mask: Tensor | None,
    settings: RenderSettings | None,
    every_frame: bool = True,
) -> tuple[Target, Float64[Tensor, "F 4 4"]]:
    """Refuse what cannot be registered; the target with every frame at the identity, and the initial poses.

    Args:
        frame: see `register`, as all that follow.
        medium: what is rendered.
        probe: of the frames.
        initial: poses to look around.
        mask: what to compare.
        settings: how to render.
        every_frame: whether each initial pose must see the medium, or one of them is enough.

    Raises:
        ValueError: see `register`.
    """
    chosen = probe or (frame.probe if isinstance(frame, Frame) else None)
    if chosen is None:
        raise ValueError("register: a plain tensor carries no probe: give probe=")
    images = frame.scanlines if isinstance(frame, Frame) else torch.as_tensor(frame)
    images = (images[None] if images.ndim == 2 else images).detach()
    expected = f"(F, {chosen.n_scanlines}, {chosen.n_samples}), scanlines and samples of the probe"
    fits = images.ndim == 3 and tuple(images.shape[1:]) == (chosen.n_scanlines, chosen.n_samples)
    require_shape("frame", images.shape, expected, fits)
    weights = _weights(mask, images)
    images = torch.where(weights > 0, images.float(), 0.0)
    _check_values(images, weights)
    if initial is None and not isinstance(frame, Frame):
        raise ValueError("register: a plain tensor carries no pose: give initial=, a pose to look around")
    given = frame.world_from_probe if initial is None else initial  # pyright: ignore
    starts = pose.as_batch(given).detach().cpu()
    _require_view(medium, chosen, starts, every_frame)
    shown = (settings or RenderSettings()).with_options(speckle="expected")
    images = images.to(medium.impedance)
    places = torch.eye(4, dtype=torch.float64).expand(len(images), 4, 4)
    return Target(images, weights.to(images), medium, chosen, places, shown), starts


def _weights(mask: Tensor | None, images: Tensor) -> Tensor:
    if mask is None:
        return torch.ones(images.shape)
    weights = torch.as_tensor(mask).float()
    fits = weights.ndim in (2, 3) and tuple(weights.shape[-2:]) == tuple(images.shape[-2:])
    require_shape("mask", weights.shape, f"{tuple(images.shape[-2:])}, that of the images", fits)
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise ValueError("mask: expected bool or weights in [0, 1]")
    if not bool((weights > 0).any()):
        raise ValueError("mask is empty: it leaves nothing to compare")
    return weights.expand(images.shape)


def _check_values(images: Tensor, weights: Tensor) -> None:
    if not bool(torch.isfinite(images).all()):
        bad = images.numel() - int(torch.isfinite(images).sum())
        raise ValueError(f"frame holds {bad} NaN or infinite values: replace them, or mask them out")
    low, high = (float(v) for v in images.aminmax())
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(f"frame: expected display values in [0, 1], got {low:g} to {high:g}: scale them")
    for number, (image, weight) in enumerate(zip(images, weights, strict=True)):
        contrast = float(image[weight > 0].std()) if int((weight > 0).sum()) > 1 else 0.0
        if contrast < _LEAST_CONTRAST:
            raise ValueError(
                f"frame {number} is constant (standard deviation {contrast:.2g}): there is nothing to compare"
            )


def _require_view(medium: Medium, probe: Probe, starts: Float64[Tensor, "F 4 4"], every_frame: bool) -> None:
    """Refuse initial poses whose fans, each or all of them, miss the medium, as `render` does."""
    sparse = probe.with_options(n_scanlines=min(9, probe.n_scanlines), n_samples=min(16, probe.n_samples))
    refused = None
    for together in (starts,) if every_frame else starts.split(1):
        try:
            with torch.no_grad():
                sample_scanline_medium(medium, sparse, together)
            return
        except ValueError as error:
            refused = error
    raise ValueError(f"register, at the initial pose: {refused}") from refused
