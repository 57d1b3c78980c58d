"""A pair made here: an MRI of three tissues, a hidden medium that is a function of it, and its sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import torch
from tests.registration.phantom_sweep import GEOMETRY, POSE, swept
from torch import Tensor

from diffus import Volume
from diffus.learning import MRIFeatures, TissueModel, VoxelModel, apply_model
from diffus.learning.case import TrainingCase
from diffus.learning.frames import FrameSampling
from diffus.registration.motion import moved, pivot_at
from diffus.segmentation.morphology import smooth

SPACING_MM, SIZE = 2.0, 40
SAMPLING = FrameSampling(n_frames=8, n_tilted=1, n_scanlines=40, n_samples=48)
CENTRE = POSE[:3, 3] + 18 * POSE[:3, 2]
IDENTITY = torch.eye(4, dtype=torch.float64)
TRUE = moved(IDENTITY, torch.tensor([2.0, -1, 1, 1, 1.5, -1], dtype=torch.float64), pivot_at(CENTRE))
"""``mri_from_ultrasound``."""
GEOMETRIES = dict.fromkeys(("one", "two", "three"), GEOMETRY)


@dataclass(frozen=True)
class Pair:
    """What a dataset's reader gives."""

    case: str
    ultrasound: Volume
    contrasts: Mapping[str, Volume]
    mask: Volume | None = None
    mri_from_ultrasound: Tensor | None = field(default_factory=TRUE.clone)


@cache
def mri(seed: int = 0) -> Volume:
    """Blobs of white matter in grey, with CSF between them, on a 2 mm grid around the sweep."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SIZE, SIZE, SIZE, generator=generator)
    pattern = smooth(noise, (SPACING_MM,) * 3, 3.0)
    pattern = pattern / pattern.std()
    values = 65 + 20 * torch.sigmoid(8 * (pattern - 0.4)) - 35 * torch.sigmoid(8 * (-0.8 - pattern))
    affine = torch.diag(torch.tensor([SPACING_MM] * 3 + [1.0], dtype=torch.float64))
    affine[:3, 3] = CENTRE - SPACING_MM * (SIZE - 1) / 2
    return Volume(values + torch.randn(values.shape, generator=generator), affine)


def everywhere() -> Volume:
    return Volume(torch.ones(SIZE, SIZE, SIZE, dtype=torch.bool), mri().world_from_voxel)


@cache
def features(seed: int = 0) -> MRIFeatures:
    return MRIFeatures.from_volumes({"t1": mri(seed)}, everywhere())


def hidden() -> TissueModel:
    """White matter brighter and grey matter darker than the untrained medium has them."""
    model = VoxelModel(("t1",))
    with torch.no_grad():
        intensity = torch.linspace(0, model.highest, model.n_knots)
        model.curves[0, :, 2] = 3 * (intensity - 0.85).clamp(-0.3, 0.3)
    return model


@cache
def pair(case: str = "one", seed: int = 0) -> Pair:
    """The ultrasound lies where `TRUE` says, the hidden medium is `hidden`'s."""
    medium = apply_model(hidden(), features(seed))
    return Pair(case, swept(medium, TRUE, seed=seed + 5), {"t1": mri(seed)}, everywhere())


@cache
def prepared() -> TrainingCase:
    return TrainingCase.prepare(pair(), ("t1",), SAMPLING, GEOMETRY)
