"""Patches of a frame: as many scanlines and samples as make a square in the middle of the depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diffus.probe import Probe
from diffus.scalars import number


def patch_cells(side_mm: float, probe: Probe) -> tuple[int, int]:
    """Scanlines and samples of a patch, at least one of each."""
    middle = torch.tensor(0.5 * number(probe.depth_mm), dtype=torch.float64)
    pitch, step = float(probe.lateral_spacing_mm(middle)), number(probe.sample_spacing_mm)
    lines, samples = max(1, round(side_mm / pitch)), max(1, round(side_mm / step))
    return min(probe.n_scanlines, lines), min(probe.n_samples, samples)


def patch_sums(image: Float[Tensor, "F S N"], cells: tuple[int, int]) -> Float[Tensor, "F s n"]:
    """Sums over patches; those at the far ends may be smaller."""
    lines, samples = cells
    padded = F.pad(image, (0, -image.shape[2] % samples, 0, -image.shape[1] % lines))
    return F.avg_pool2d(padded[:, None], cells)[:, 0] * (lines * samples)
