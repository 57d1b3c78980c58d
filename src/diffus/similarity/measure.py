"""What every similarity measure looks like to those who use one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Shaped
from torch import Tensor

Images = Float[Tensor, "#B *space"]
"""Images (B, H, W) or (B, S, N), or volumes (B, D, H, W); a batch of one stands against any batch."""

Mask = Shaped[Tensor, "..."]
"""Bool, or weights in [0, 1], broadcastable to the images from the right: (H, W) serves a whole batch."""

Scores = Float[Tensor, " B"]
"""One number for each item of the batch; larger is more alike."""


@runtime_checkable
class Similarity(Protocol):
    """A measure with its options chosen."""

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Compare images of the same shape where the mask is above zero; see `diffus.similarity`."""
        ...
