"""PublishedMLP: the mapping of the DiffUS paper, from MRI intensity to impedance, as a baseline.

The paper (arXiv 2508.06768) and the program that came with it (gduguey/DiffUS) fit a network of one input,
two hidden layers of 32 and one output to seven points entered by hand: a number for T1 and an impedance for
fat, liver, muscle, white matter, grey matter, CSF and air. Written anew here. The numbers for T1 are
relaxation times in ms, taken there for intensities; they are scaled to [0, 1] by their range, and so is the
MRI.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffus.learning.bounds import HIGHEST, LOWEST
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel

POINTS = {
    "fat": (260.0, 1.34),
    "liver": (500.0, 1.67),
    "muscle": (870.0, 1.68),
    "white_matter": (780.0, 1.60),
    "grey_matter": (920.0, 1.60),
    "csf": (2500.0, 1.50),
    "air": (0.0, 0.0004),
}
"""T1 and impedance in MRayl, as published."""
HIDDEN = 32
BRIGHTEST = 1.5
"""Normalised intensity that counts as the top of an MRI's range."""
_STEPS, _RATE = 600, 0.02


class PublishedMLP(TissueModel):
    """Impedance from one contrast by a network of 1, 32, 32 and 1 units.

    Attenuation and backscatter, which the paper does not model, are the lowest there are: what is seen are
    interfaces, as in its images. The output is brought within the bounds of soft tissue, so that its point
    for air is the lowest impedance. Unlike the other models this one does not begin at the untrained medium.

    Args:
        contrasts: the one contrast.
        seed: of the weights before the fit to the seven points.

    Raises:
        ValueError: for more than one contrast.
    """

    kind = "published"
    learning_rate = 0.002

    def __init__(self, contrasts: Sequence[str], seed: int = 0) -> None:
        super().__init__(contrasts)
        if len(self.contrasts) != 1:
            raise ValueError(f"the published model reads one contrast, got {' and '.join(self.contrasts)}")
        self.seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = nn.Sequential(
                nn.Linear(1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
            )

    @classmethod
    def fitted(cls, contrast: str, seed: int = 0) -> PublishedMLP:
        """The model fitted to the seven points, by Adam on the squared error in MRayl; about a second."""
        model = cls((contrast,), seed)
        times, impedances = torch.tensor(list(POINTS.values())).unbind(dim=1)
        intensity = (times - times.min()) / (times.max() - times.min())
        target = impedances.clamp(LOWEST[0], HIGHEST[0])
        optimiser = torch.optim.Adam(model.parameters(), lr=_RATE)
        with torch.enable_grad():
            for _ in range(_STEPS):
                optimiser.zero_grad()
                (model.impedance(intensity) - target).square().mean().backward()
                optimiser.step()
        optimiser.zero_grad()
        return model

    @property
    def options(self) -> dict[str, int]:
        """The seed."""
        return {"seed": self.seed}

    def impedance(self, intensity: Float[Tensor, "*voxels"]) -> Float[Tensor, "*voxels"]:
        """Impedance in MRayl at an intensity in [0, 1]."""
        share = torch.sigmoid(self.network(intensity[..., None])[..., 0])
        return LOWEST[0] * (HIGHEST[0] / LOWEST[0]) ** share

    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """The network's impedance; the least of the rest."""
        image = mri.of(self.contrasts[0])
        assert image is not None
        with torch.autocast(image.device.type, enabled=False):
            impedance = self.network((image / BRIGHTEST).clamp(0, 1)[..., None])
        least = impedance.new_full((*image.shape, 2), -30.0)
        return torch.cat([impedance, least], dim=-1)
