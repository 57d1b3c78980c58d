"""VoxelModel: curves over MRI intensity, and boundaries that scatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffus.checks import require_in_range, require_positive
from diffus.learning.bounds import to_unbounded
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel

STRONGEST_EDGE = 0.06
"""Upper bound of the edge backscatter, per unit of gradient (1 / mm)."""
FIRST_EDGE = 0.0005
"""Where training begins: about a hundredth of the power of brain at a steep boundary."""

SHRINKAGE = 0.1
"""Of the penalty: mean square of the curves against that of their second differences."""


class VoxelModel(TissueModel):
    """Each voxel on its own: a curve over intensity for each contrast and channel, added up.

    Curves are linear between knots at equal steps of normalised intensity. A contrast that a case lacks adds
    a number of its own instead, one a channel. Boundaries scatter: a boundary between tissues carries pia,
    vessels or dura that no voxel resolves, and its power is taken as ``(k |gradient|)^2``, with one k a
    contrast, added to that of the untrained medium.

    Args:
        contrasts: what the model can read.
        n_knots: of each curve.
        highest: normalised intensity of the last knot; what is brighter counts as this.

    Raises:
        ValueError: for too few knots or a highest intensity that is not above zero.
    """

    kind = "voxel"
    learning_rate = 0.02

    def __init__(self, contrasts: Sequence[str], n_knots: int = 9, highest: float = 1.5) -> None:
        super().__init__(contrasts)
        require_in_range("VoxelModel", 2, 1000, n_knots=n_knots)
        require_positive("VoxelModel", highest=highest)
        self.n_knots, self.highest = n_knots, highest
        count = len(self.contrasts)
        self.curves = nn.Parameter(torch.zeros(count, n_knots, 3))
        self.missing = nn.Parameter(torch.zeros(count, 3))
        first = torch.tensor(FIRST_EDGE / STRONGEST_EDGE)
        self.edge = nn.Parameter(torch.logit(first).repeat(count))

    @property
    def options(self) -> dict[str, Any]:
        """Knots and the intensity of the last."""
        return {"n_knots": self.n_knots, "highest": self.highest}

    @property
    def edge_backscatter(self) -> Float[Tensor, " C"]:
        """Backscatter of a boundary over the length of the gradient of each contrast, mm."""
        return STRONGEST_EDGE * torch.sigmoid(self.edge)

    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """Untrained medium with its boundaries, plus the curves."""
        # Half precision would round impedance to the size of the steps between tissues.
        with torch.autocast(mri.untrained.device.type, enabled=False):
            values = to_unbounded(self._with_boundaries(mri))
            for number, name in enumerate(self.contrasts):
                image = mri.of(name)
                if image is None:
                    values = values + self.missing[number]
                else:
                    values = values + self.basis(image) @ self.curves[number]
        return values

    def basis(self, intensity: Float[Tensor, "*voxels"]) -> Float[Tensor, "*voxels K"]:
        """How much each knot counts at an intensity; the weights of a voxel add up to one."""
        place = (intensity / self.highest).clamp(0, 1) * (self.n_knots - 1)
        knots = torch.arange(self.n_knots, dtype=intensity.dtype, device=intensity.device)
        return (1 - (place[..., None] - knots).abs()).clamp_min(0)

    def penalty(self) -> Float[Tensor, ""]:
        """Mean squared second difference along the curves, and a little of their own mean square."""
        bend = self.curves.diff(n=2, dim=1).square().mean() if self.n_knots > 2 else self.curves.new_zeros(())
        return bend + SHRINKAGE * (self.curves.square().mean() + self.missing.square().mean())

    def _with_boundaries(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        impedance, attenuation, backscatter = mri.untrained.unbind(dim=-1)
        power = backscatter**2
        for strength, name in zip(self.edge_backscatter, self.contrasts, strict=True):
            edges = mri.edges_of(name)
            if edges is not None:
                power = power + strength**2 * edges
        return torch.stack([impedance, attenuation, power.clamp_min(1e-24).sqrt()], dim=-1)
