"""What differs from scanner to scanner, changed at random: receive field, gain, TGC and dynamic range."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_in_range
from diffus.learning.features import MRIFeatures

_FIELD_MM = 50.0
"""Distance over which the receive field changes by what ``bias`` says."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Standard deviations of what is changed from step to step; zero for none.

    The untrained medium, which was made once, is not changed with the MRI.

    Args:
        mri_scale: of the logarithm of each contrast's intensity.
        mri_bias: of the change of that logarithm over 50 mm, in each direction.
        gain: of a constant added to an ultrasound frame, in standard deviations of the frame.
        tgc: of a slope over depth that is added, from face to far end, in the same unit.
        dynamic_range: of the logarithm of a factor on its grey values.

    Raises:
        ValueError: for a negative number.
    """

    mri_scale: float = 0.03
    mri_bias: float = 0.03
    gain: float = 0.3
    tgc: float = 0.3
    dynamic_range: float = 0.1

    def __post_init__(self) -> None:
        require_in_range("Augmentation", 0, 10, **asdict(self))

    def receive_field(
        self, mri: MRIFeatures, middle_mm: Float[Tensor, "3"], generator: torch.Generator
    ) -> Float[Tensor, "C I J K"]:
        """Gain of each contrast and voxel: the exponential of a function linear in the world.

        Args:
            mri: whose grid is meant; a crop of it gets the same gains.
            middle_mm: where the gain is that of ``mri_scale`` alone.
            generator: gives the numbers.
        """
        count = len(mri.contrasts)
        level = self.mri_scale * torch.randn(count, 1, generator=generator, dtype=torch.float64)
        slope = self.mri_bias / _FIELD_MM * torch.randn(count, 3, generator=generator, dtype=torch.float64)
        affine = mri.world_from_voxel
        level = level + slope @ (affine[:3, 3] - middle_mm.to(affine))[:, None]
        along = slope @ affine[:3, :3]
        logarithm = level[..., None, None]
        for axis, size in enumerate(mri.shape):
            shape = [1, 1, 1, 1]
            shape[axis + 1] = size
            steps = torch.arange(size, dtype=torch.float64).reshape(shape)
            logarithm = logarithm + along[:, axis].reshape(-1, 1, 1, 1) * steps
        return torch.exp(logarithm).to(mri.intensities)

    def scanner(self, image: Float[Tensor, "F S N"], generator: torch.Generator) -> Float[Tensor, "F S N"]:
        """Frames as another setting of the scanner shows them."""
        numbers = torch.randn(3, generator=generator, dtype=torch.float64).tolist()
        depth = torch.linspace(-0.5, 0.5, image.shape[-1], dtype=image.dtype, device=image.device)
        unit = image.std(dim=(1, 2), keepdim=True)
        factor = float(torch.exp(torch.tensor(self.dynamic_range * numbers[0])))
        return factor * image + unit * (self.gain * numbers[1] + self.tgc * numbers[2] * depth)
