"""ConvolutionalModel: a small 3D network that sees texture and boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from diffus.checks import require_in_range
from diffus.learning.bounds import to_unbounded
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel

_PER_CONTRAST = 3
"""Channels that a contrast gives: intensity, steepness, and whether it is there."""


class ConvolutionalModel(TissueModel):
    """Dilated 3 x 3 x 3 convolutions that add to the untrained medium.

    They see the normalised intensities and the steepness of each contrast (zero where it is missing), whether
    it is there, and the untrained medium. The last layer begins at zero.

    Args:
        contrasts: what the model can read.
        width: channels between layers.
        dilations: of each layer; together they are how far the model sees, in voxels.
        seed: of the first weights.

    Raises:
        ValueError: for a width or dilation that is not a small positive number.
    """

    kind = "convolutional"
    learning_rate = 0.002

    def __init__(
        self, contrasts: Sequence[str], width: int = 8, dilations: Sequence[int] = (1, 2), seed: int = 0
    ) -> None:
        super().__init__(contrasts)
        require_in_range("ConvolutionalModel", 1, 256, width=width)
        if not dilations:
            raise ValueError("ConvolutionalModel: expected one dilation or more, got none")
        for dilation in dilations:
            require_in_range("ConvolutionalModel", 1, 16, dilation=dilation)
        self.width, self.dilations, self.seed = width, tuple(dilations), seed
        sizes = [_PER_CONTRAST * len(self.contrasts) + 3] + [width] * len(self.dilations)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.ModuleList(
                nn.Conv3d(before, after, 3, padding=dilation, dilation=dilation)
                for before, after, dilation in zip(sizes[:-1], sizes[1:], self.dilations, strict=True)
            )
            self.last = nn.Conv3d(width, 3, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]

    @property
    def options(self) -> dict[str, Any]:
        """Width, dilations and seed."""
        return {"width": self.width, "dilations": list(self.dilations), "seed": self.seed}

    @property
    def reach_voxels(self) -> int:
        """The sum of the dilations."""
        return sum(self.dilations)

    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """Untrained medium plus what the network says."""
        start = to_unbounded(mri.untrained)
        values = torch.cat([self._images(mri), start.movedim(-1, 0) / 4])[None]
        for layer in self.layers:
            values = F.gelu(layer(values))
        return start + self.last(values)[0].movedim(0, -1).to(start.dtype)

    def _images(self, mri: MRIFeatures) -> Float[Tensor, "M I J K"]:
        channels = []
        for name in self.contrasts:
            image, edges = mri.of(name), mri.edges_of(name)
            if image is None or edges is None:
                channels += [mri.untrained.new_zeros(mri.shape)] * _PER_CONTRAST
            else:
                channels += [image.clamp(0, 3), edges.sqrt().clamp(0, 3), torch.ones_like(image)]
        return torch.stack(channels)
