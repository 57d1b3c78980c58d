"""Grey values of a volume: how they are shown, and which of them are air."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffus.volume import Volume

_SAMPLES = 200_000
_CT_BELOW = -500.0
"""A volume that reaches below this holds Hounsfield units: no MRI does."""


@dataclass(frozen=True)
class Levels:
    """How values become grey, and where air ends.

    Args:
        black: value shown black, and all below.
        white: value shown white, and all above.
        air: highest value of air.
    """

    black: float
    white: float
    air: float

    @classmethod
    def of(cls, volume: Volume) -> Levels:
        """Levels that suit a volume, from a sample of its voxels.

        CT is shown from -160 to 240 HU, the window for soft tissue, and is air below -400 HU. Of everything
        else the middle 98.5 % of what is not background is shown, and air ends at a tenth of the range, the
        rule of BET (Smith, Human Brain Mapping 17, 2002).
        """
        flat = volume.data.reshape(-1)
        values = flat[:: max(1, len(flat) // _SAMPLES)].float()
        low = float(values.min())
        if low < _CT_BELOW:
            return cls(-160.0, 240.0, -400.0)
        inside = values[values > low]
        if not len(inside):
            return cls(low, low + 1.0, low)
        dark, bright = torch.quantile(inside, torch.tensor([0.01, 0.995])).tolist()
        high = float(torch.quantile(inside, 0.98))
        return cls(min(dark, 0.0), max(bright, dark + 1e-6), low + 0.1 * (high - low))

    def grey(self, values: Float[Tensor, "V U"]) -> UInt8[np.ndarray, "V U"]:
        """Values as grey levels from 0 to 255."""
        share = ((values.float() - self.black) / (self.white - self.black)).clamp(0, 1)
        return (share * 255).round().to(torch.uint8).numpy()
