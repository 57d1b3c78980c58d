"""UntrainedModel: the medium that needs no training, as a tissue model, to compare trained ones with."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from diffus.learning.bounds import to_unbounded
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel
from diffus.segmentation.contrasts import CONTRASTS


class UntrainedModel(TissueModel):
    """The medium of `Medium.from_mri`; it has no weights.

    Args:
        contrasts: what it reads; by default every known contrast that a case has.

    Raises:
        ValueError: for no contrast, an unknown one or one twice.
    """

    kind = "untrained"
    learning_rate = 0.0

    def __init__(self, contrasts: Sequence[str] = tuple(CONTRASTS)) -> None:
        super().__init__(contrasts)

    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """The untrained medium, as `to_bounded` takes it."""
        return to_unbounded(mri.untrained)

    def forward(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """The untrained medium, to the last bit.

        Raises:
            ValueError: when the model cannot read the contrasts.
        """
        self.require_contrasts(mri.contrasts)
        return mri.untrained
