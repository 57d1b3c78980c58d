"""A volume as the page draws it: bytes along the world's axes, in a NIfTI file that loads at once.

The page's viewer cuts along the voxels' axes: an oblique volume is resampled, so that what it calls axial is.
"""

from __future__ import annotations

import gzip
import math
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import avg_pool3d, grid_sample

from diffus.volume import Volume

MOST_VOXELS = 17_000_000
"""Voxels that the page gets at most: 256 x 256 x 256. Rendering takes the volume as it is."""
_BRIGHTEST = 0.999
"""Share of the voxels above the background that are told apart; the rest is white."""
_LEVELS = 255
_OBLIQUE_DEG = 3.0
"""Angle between an axis of the voxels and of the world from which a volume is resampled."""


class ShownVolume(NamedTuple):
    """A volume for the page.

    Args:
        file: compressed NIfTI, uint8, RAS+ mm.
        shape: of its grid.
        spacing_mm: of its grid.
    """

    file: bytes
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume) -> ShownVolume:
        """Average blocks of voxels where there are too many, scale to bytes, and turn to the world's axes."""
        coarse = _coarsened(volume)
        levels = _along_the_world(Volume(_bytes(coarse.data), coarse.world_from_voxel))
        affine = levels.world_from_voxel.numpy()
        image = nib.Nifti1Image(levels.data.numpy(), affine, dtype=np.uint8)
        image.header.set_xyzt_units("mm")
        image.set_sform(affine, code=1)
        image.set_qform(affine, code=1)
        return cls(gzip.compress(image.to_bytes(), compresslevel=1), levels.shape, levels.spacing_mm)


def _coarsened(volume: Volume) -> Volume:
    """Averages over blocks of voxels, as near to cubes in mm as whole numbers allow."""
    factors = _factors(volume)
    if factors == (1, 1, 1):
        return volume
    data = torch.empty([size // factor for size, factor in zip(volume.shape, factors, strict=True)])
    for plane in range(data.shape[0]):  # one layer of blocks at a time, so that no float copy is made
        block = volume.data[plane * factors[0] : (plane + 1) * factors[0]].float()
        data[plane] = avg_pool3d(block[None, None], factors)[0, 0, 0]
    affine = volume.world_from_voxel.clone()
    scale = torch.tensor(factors, dtype=torch.float64)
    affine[:3, 3] += affine[:3, :3] @ ((scale - 1) / 2)
    affine[:3, :3] *= scale
    return Volume(data, affine)


def _factors(volume: Volume) -> tuple[int, int, int]:
    factors = [1, 1, 1]
    sizes, spacing = volume.shape, volume.spacing_mm
    while math.prod(n // f for n, f in zip(sizes, factors, strict=True)) > MOST_VOXELS:
        finest = min(
            (axis for axis in range(3) if sizes[axis] // (factors[axis] + 1) >= 1),
            key=lambda axis: factors[axis] * spacing[axis],
        )
        factors[finest] += 1
    i, j, k = factors
    return i, j, k


def _bytes(data: Tensor) -> Tensor:
    low, high = (float(value) for value in data.aminmax())
    sparse = data.flatten()[:: max(1, data.numel() // 1_000_000)].float()
    bright = sparse[sparse > low]
    if len(bright):
        high = max(float(torch.quantile(bright, _BRIGHTEST)), low + 1e-6 * (high - low))
    scale = _LEVELS / (high - low) if high > low else 0.0
    levels = torch.empty(data.shape, dtype=torch.uint8)
    for plane, out in zip(data, levels, strict=True):
        out.copy_(((plane.float() - low) * scale).round().clamp_(0, _LEVELS))
    return levels


def _along_the_world(levels: Volume) -> Volume:
    """The same bytes on a grid along the world's axes, black where the volume is not."""
    axes = levels.world_from_voxel[:3, :3] / torch.tensor(levels.spacing_mm, dtype=torch.float64)
    if float(axes.abs().amax(dim=0).min()) > math.cos(math.radians(_OBLIQUE_DEG)):
        return levels
    last = torch.tensor(levels.shape, dtype=torch.float64) - 1
    corners = torch.cartesian_prod(*(torch.tensor([0.0, float(n)], dtype=torch.float64) for n in last))
    corners = corners @ levels.world_from_voxel[:3, :3].T + levels.world_from_voxel[:3, 3]
    low, size = corners.amin(dim=0), corners.amax(dim=0) - corners.amin(dim=0)
    voxels = min(levels.data.numel(), MOST_VOXELS)
    spacing = max(min(levels.spacing_mm), (float(size.prod()) / voxels) ** (1 / 3))
    i, j, k = (int(n) + 1 for n in (size / spacing).ceil().tolist())
    affine = torch.diag(torch.tensor([spacing, spacing, spacing, 1.0], dtype=torch.float64))
    affine[:3, 3] = low
    return _resampled(levels, (i, j, k), affine)


def _resampled(levels: Volume, shape: tuple[int, int, int], affine: Float64[Tensor, "4 4"]) -> Volume:
    """`Volume.resample` for bytes, a plane at a time."""
    to_index = levels.voxel_from_world @ affine
    last = torch.tensor(levels.shape, dtype=torch.float64) - 1
    source = levels.data[None, None].float()
    j, k = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape[1:]), indexing="ij")
    plane = j[..., None] * to_index[:3, 1] + k[..., None] * to_index[:3, 2] + to_index[:3, 3]
    turned = torch.empty(shape, dtype=torch.uint8)
    for number, out in enumerate(turned):
        places = (plane + number * to_index[:3, 0]) / last * 2 - 1
        # grid_sample wants the last index first.
        grid = places.flip(-1).float()[None, None]
        out.copy_(grid_sample(source, grid, align_corners=True)[0, 0, 0].round())
    return Volume(turned, affine)
