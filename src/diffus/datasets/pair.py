"""Pair: the MRI and the ultrasound of one patient, read into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of, require_shape
from diffus.datasets.landmarks import Landmarks
from diffus.segmentation.contrasts import CONTRASTS
from diffus.volume import Volume


@dataclass(frozen=True, eq=False)
class Pair:
    """MRI and swept ultrasound of one patient: what training, evaluation and registration work on.

    Args:
        case: name of the case.
        ultrasound: the swept volume.
        contrasts: MRI by the name of its contrast (t1, cet1, t2, flair), all on one grid.
        mri_from_ultrasound: rigid transform (4, 4), RAS+ mm; None where both share one world, as well as
            that is known.
        mask: non-zero in the brain, on the grid of the MRI; None to find it.
        landmarks: of experts, or those that a simulation knows.

    Raises:
        ValueError: for no contrast or an unknown one, contrasts or a mask on different grids, and a transform
            that is not rigid.
    """

    case: str
    ultrasound: Volume
    contrasts: Mapping[str, Volume]
    mri_from_ultrasound: Float64[Tensor, "4 4"] | None = None
    mask: Volume | None = None
    landmarks: Landmarks | None = None

    def __post_init__(self) -> None:
        if not self.contrasts:
            raise ValueError(f"case {self.case} has no MRI: expected at least one contrast")
        first_name, first = next(iter(self.contrasts.items()))
        for name in self.contrasts:
            require_one_of("contrast", name, CONTRASTS)
        others = dict(self.contrasts) | ({} if self.mask is None else {"the mask": self.mask})
        for name, volume in others.items():
            if not first.same_grid(volume):
                raise ValueError(
                    f"case {self.case}: {first_name} and {name} lie on different grids, {first!r} and "
                    f"{volume!r}: resample one onto the other (Volume.resample)"
                )
        if self.mri_from_ultrasound is not None:
            transform = pose.from_matrix(self.mri_from_ultrasound)
            require_shape("mri_from_ultrasound", transform.shape, "(4, 4)", transform.ndim == 2)
            object.__setattr__(self, "mri_from_ultrasound", transform)
