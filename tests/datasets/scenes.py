"""A small simulated dataset and small volumes, for the tests of datasets and of what reads them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from tests.segmentation.phantoms import TISSUES, phantom

from diffus import TissueMaps, Volume
from diffus.datasets.simulate import simulate_dataset
from diffus.datasets.simulated_head import Head
from diffus.datasets.simulation_settings import SimulationSettings

SETTINGS = SimulationSettings(cases=2, size=48, spacing_mm=1.6, n_frames=16, n_landmarks=6, seed=2)


@cache
def head() -> Head:
    """A phantom brain without a skull, 2.5 mm, whose tissues are known, and its T1."""
    known = phantom(2.5, head=False)
    maps = {name: Volume(known.fractions[name], known.world_from_voxel) for name in TISSUES}
    return Head.of_maps(TissueMaps(maps), {"cet1": known.mri("t1", noise=0.02)})


def simulated(folder: Path, settings: SimulationSettings = SETTINGS) -> Path:
    """Write the dataset and return its folder."""
    return simulate_dataset(folder, head(), "t1", settings).parent


def volume(value: float = 0.0, side: int = 6, spacing_mm: float = 2.0) -> Volume:
    """A cube that grows brighter along i, about the origin."""
    affine = torch.diag(torch.tensor([spacing_mm] * 3 + [1.0], dtype=torch.float64))
    affine[:3, 3] = -spacing_mm * (side - 1) / 2
    data = value + torch.arange(side, dtype=torch.float32)[:, None, None].expand(side, side, side)
    return Volume(data.contiguous(), affine)
