"""TissueModel: from the features of an MRI to a medium, with weights that can be learned.

A model adds to the untrained medium, in numbers without bounds (`diffus.learning.bounds`), and what it says
outside the brain does not count. As built it adds nothing: the first render is that of `Medium.from_mri`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffus.checks import require_one_of
from diffus.learning.bounds import to_bounded
from diffus.learning.features import MRIFeatures
from diffus.medium import Medium, slabs
from diffus.segmentation.contrasts import CONTRASTS


class TissueModel(nn.Module, ABC):
    """What every tissue model has.

    Args:
        contrasts: what the model can read, in the order of its weights; one or more of t1, cet1, t2, flair.

    Raises:
        ValueError: for no contrast, an unknown one or one twice.
    """

    kind: ClassVar[str]
    """Name of the model in cards and on the command line."""
    learning_rate: ClassVar[float]
    """Of Adam, with which the model learns well."""

    def __init__(self, contrasts: Sequence[str]) -> None:
        super().__init__()
        names = tuple(contrasts)
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a tissue model needs one or more contrasts, all different: got {names}")
        for name in names:
            require_one_of("contrast", name, CONTRASTS)
        self.contrasts = names

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the constructor beside the contrasts, as plain values: with the weights, the model."""
        return {}

    @property
    def reach_voxels(self) -> int:
        """How far away voxels can change what the model says of a voxel."""
        return 0

    @abstractmethod
    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """Impedance, attenuation and backscatter as `to_bounded` takes them."""

    def penalty(self) -> Float[Tensor, ""]:
        """How far the weights are from saying nothing: small where the data ask for nothing else."""
        return next(self.parameters()).new_zeros(())

    def forward(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """Channels of a medium: the model's inside the brain, the untrained ones outside.

        Raises:
            ValueError: when the model cannot read the contrasts.
        """
        self.require_contrasts(mri.contrasts)
        learned = to_bounded(self.unbounded(mri).to(mri.untrained.dtype))
        return torch.where(mri.inside[..., None], learned, mri.untrained)

    def require_contrasts(self, names: Sequence[str]) -> None:
        """Refuse contrasts that the model was not made for.

        Raises:
            ValueError: when there is none, or one that the model does not know.
        """
        unknown = [name for name in names if name not in self.contrasts]
        if unknown or not names:
            raise ValueError(
                f"this {self.kind} model reads {' and '.join(self.contrasts)}, got "
                f"{' and '.join(names) or 'nothing'}: give only what it was trained for, or train another"
            )

    def medium(self, mri: MRIFeatures) -> Medium:
        """The medium, with gradients to the weights."""
        return Medium.from_channels(self(mri), mri.world_from_voxel)


def apply_model(model: TissueModel, mri: MRIFeatures) -> Medium:
    """The medium without gradients, a few planes at a time, so that a head needs little memory."""
    channels = torch.empty_like(mri.untrained)
    reach = model.reach_voxels
    with torch.no_grad():
        for slab in slabs(mri.shape):
            low, high = max(0, slab.start - reach), min(mri.shape[0], slab.stop + reach)
            part = model(mri.crop((slice(low, high), slice(0, mri.shape[1]), slice(0, mri.shape[2]))))
            channels[slab] = part[slab.start - low : slab.stop - low]
    return Medium.from_channels(channels, mri.world_from_voxel)
