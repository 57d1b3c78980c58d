"""How sharp an image is: the size of its gradient per mm, in units of its own standard deviation."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.imaging.blur import blur_depth, blur_scanlines

from .scanline_image import ScanlineImage

REACH_MM = 0.5
"""Half the distance over which differences are taken: the voxel of the real volumes."""


@cache
def gradients(image: ScanlineImage, smooth_mm: float) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """Gradient magnitude (1/mm) over the grey's standard deviation, and the weight of each sample by area.

    Central differences over +- `REACH_MM` along depth and across, where all four ends lie in the mask.

    Args:
        image: what to measure.
        smooth_mm: sigma of a Gaussian that the image is smoothed by before; 0 leaves the grain in.
    """
    grey = smoothed(image, smooth_mm) / max(image.std(), 1e-6)
    lines, samples = grey.shape
    reach = max(1, round(REACH_MM / image.step_mm))
    # Scanlines diverge: the reach across is a number of lines that changes with depth.
    across = (REACH_MM / image.spacing_mm).round().long().clamp(1, max(1, (lines - 1) // 2))
    line, sample = torch.meshgrid(torch.arange(lines), torch.arange(samples), indexing="ij")
    left, right = line - across, line + across
    above, below = sample - reach, sample + reach
    inside = (left >= 0) & (right < lines) & (above >= 0) & (below < samples)
    left, right = left.clamp(min=0), right.clamp(max=lines - 1)
    above, below = above.clamp(min=0), below.clamp(max=samples - 1)
    ends = ((left, sample), (right, sample), (line, above), (line, below))
    for rows, columns in ends:
        inside &= image.mask[rows, columns]
    lateral = (grey[right, sample] - grey[left, sample]) / (2 * across * image.spacing_mm).to(grey)
    axial = (grey[line, below] - grey[line, above]) / (2 * reach * image.step_mm)
    weights = image.area[inside]
    return torch.hypot(lateral, axial)[inside], weights / weights.sum().clamp_min(1e-12)


def smoothed(image: ScanlineImage, sigma_mm: float) -> Float[Tensor, "S N"]:
    """The grey through a Gaussian in mm that keeps to the mask."""
    if sigma_mm == 0:
        return image.grey
    depth = torch.tensor(sigma_mm / image.step_mm, dtype=image.grey.dtype)
    across = (sigma_mm / image.spacing_mm).to(image.grey)
    mask = image.mask.to(image.grey)
    stacked = blur_depth(torch.stack([image.grey * mask, mask]), depth, "sum")
    total, weight = blur_scanlines(stacked, across, False)
    return total / weight.clamp_min(1e-6)
