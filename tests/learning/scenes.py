"""A phantom brain as tissue models see it."""

from __future__ import annotations

from functools import cache

import torch
from tests.segmentation.phantoms import Phantom, phantom

from diffus import Volume
from diffus.learning import MRIFeatures, TissueModel

BOTH = ("cet1", "t2")


@cache
def brain() -> Phantom:
    return phantom(4.0, head=False)


@cache
def volumes() -> dict[str, Volume]:
    return {name: brain().mri(name, noise=0.02) for name in BOTH}


@cache
def mask() -> Volume:
    return Volume(brain().brain > 0.5, brain().world_from_voxel)


@cache
def features() -> MRIFeatures:
    """Both contrasts of the phantom."""
    return MRIFeatures.from_volumes(volumes(), mask())


def shaken(model: TissueModel, strength: float, seed: int = 3) -> TissueModel:
    """The model with other weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(strength * torch.randn(weights.shape, generator=generator))
    return model
