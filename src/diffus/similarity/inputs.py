"""The door of every measure: images that can be compared, and weights that say where."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_shape
from diffus.similarity.measure import Mask


def checked_images(
    mask: Mask | None, **images: Tensor
) -> tuple[list[Float[Tensor, "_ *space"]], Float[Tensor, "_ *space"]]:
    """Refuse images that cannot be compared; blank what the mask leaves out.

    Args:
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.
        **images: by the names that the user knows, (B, H, W) or (B, D, H, W), float32 or float64.

    Returns:
        the images, zero where the mask is zero so that nothing there, NaN included, can reach a score or a
        gradient; and the weights, with the batch of the mask or 1.

    Raises:
        ValueError: for images of another rank, of unlike shapes, types or devices, with NaN or Inf inside the
            mask; for a mask that does not fit, has values outside [0, 1], or is zero for a whole item.
    """
    shape = _common_shape(images)
    _require_one_kind(images)
    first = next(iter(images.values()))
    if mask is None:
        weights = torch.ones((1, *shape[1:]), dtype=first.dtype, device=first.device)
        inside = list(images.values())
    else:
        weights = _as_weights(mask, shape, first)
        inside = [torch.where(weights > 0, image, 0.0) for image in images.values()]
    for name, image in zip(images, inside, strict=True):
        _require_finite(name, image)
    return inside, weights


def require_some(weights: Float[Tensor, "_ *space"], reason: str) -> None:
    """Refuse weights that are zero for a whole item of the batch.

    Args:
        weights: of each pixel.
        reason: what leaves none, and how to mend it.

    Raises:
        ValueError: with the number of the first such item.
    """
    empty = ~(weights > 0).flatten(1).any(dim=1)
    if empty.any():
        raise ValueError(f"mask: {reason} (item {int(empty.nonzero()[0])} of {len(empty)})")


def _common_shape(images: dict[str, Tensor]) -> tuple[int, ...]:
    """Shape of the comparison: the batches broadcast, the rest must agree."""
    for name, image in images.items():
        expected = "(B, H, W) or (B, D, H, W); a single image needs a batch axis, image[None]"
        require_shape(name, image.shape, expected, image.ndim in (3, 4) and image.numel() > 0)
    (first, reference), *others = images.items()
    batch = reference.shape[0]
    for name, image in others:
        expected = (
            f"{tuple(reference.shape)} as {first}, or a batch of 1; resample one image to the other's grid"
        )
        fits = image.shape[1:] == reference.shape[1:] and (
            image.shape[0] == batch or 1 in (batch, image.shape[0])
        )
        require_shape(name, image.shape, expected, fits)
        batch = max(batch, image.shape[0])
    return batch, *reference.shape[1:]


def _require_one_kind(images: dict[str, Tensor]) -> None:
    kinds = {(image.dtype, image.device) for image in images.values()}
    if len(kinds) > 1 or next(iter(kinds))[0] not in (torch.float32, torch.float64):
        given = ", ".join(f"{name} {image.dtype} on {image.device}" for name, image in images.items())
        raise ValueError(
            f"expected images of one type, float32 or float64, on one device, got {given}: use .to()"
        )


def _as_weights(mask: Mask, shape: tuple[int, ...], like: Tensor) -> Float[Tensor, "_ *space"]:
    expected = f"that broadcasts to {shape}"
    fits = mask.ndim <= len(shape) and all(
        given in (1, wanted) for given, wanted in zip(mask.shape[::-1], shape[::-1], strict=False)
    )
    require_shape("mask", mask.shape, expected, fits)
    if mask.device != like.device:
        raise ValueError(f"mask: expected on {like.device} as the images, got {mask.device}: use .to()")
    batch = shape[0] if mask.ndim == len(shape) and mask.shape[0] > 1 else 1
    weights = mask.to(like.dtype).expand(batch, *shape[1:])
    low, high = (float(bound) for bound in weights.detach().aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(f"mask: expected bool or weights in [0, 1], got values from {low:g} to {high:g}")
    require_some(weights, "zero everywhere: there is nothing to compare; check that image and mask overlap")
    return weights


def _require_finite(name: str, image: Tensor) -> None:
    # A sum is finite if all its terms are, and far cheaper than looking at each.
    if torch.isfinite(image.detach().sum()):
        return
    bad = int((~torch.isfinite(image.detach())).sum())
    if bad:
        raise ValueError(
            f"{name}: expected finite values, got {bad} of {image.numel()} NaN or infinite; "
            "mend them or leave them out with a mask"
        )
