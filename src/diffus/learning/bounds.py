"""Acoustic values kept within those of real soft tissue, whatever a network says.

A value v between its bounds is written as ``lowest (highest / lowest)^s`` with the share s in (0, 1), and s
as the logistic function of a number without bounds. Networks add to that number: nothing they can say leaves
the range, and zero changes nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

LOWEST = (1.30, 0.001, 0.00001)
"""Impedance (MRayl), attenuation (dB/cm/MHz) and backscatter: just below fat, water and water."""
HIGHEST = (1.90, 3.0, 0.08)
"""Just above skin, skin and sulcus (`diffus.tissues`), with room for what was never measured."""
_MARGIN = 1e-3
"""Share of the range at both ends that `to_unbounded` brings in, where its slope would be lost."""


def to_unbounded(channels: Float[Tensor, "*voxels 3"]) -> Float[Tensor, "*voxels 3"]:
    """The inverse of `to_bounded`; values at or beyond a bound are taken just within it.

    Args:
        channels: impedance, attenuation and backscatter, all above zero or zero.
    """
    lowest, span = _range(channels)
    share = (torch.log(channels.clamp_min(1e-12)) - lowest) / span
    return torch.logit(share.clamp(_MARGIN, 1 - _MARGIN))


def to_bounded(values: Float[Tensor, "*voxels 3"]) -> Float[Tensor, "*voxels 3"]:
    """Any numbers as impedance (MRayl), attenuation (dB/cm/MHz) and backscatter of soft tissue."""
    lowest, span = _range(values)
    return torch.exp(lowest + span * torch.sigmoid(values))


def _range(like: Tensor) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    lowest = torch.log(torch.tensor(LOWEST, dtype=like.dtype, device=like.device))
    return lowest, torch.log(torch.tensor(HIGHEST, dtype=like.dtype, device=like.device)) - lowest
