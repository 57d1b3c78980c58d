"""Telling the fluid of ventricles and cavities from that of sulci.

Both are CSF, but a sulcus is lined with pia-arachnoid and vessels, which scatter strongly, and a ventricle is
not. Where the wall of a ventricle shares a voxel with CSF, segmentations often call the mixture grey matter;
a product of CSF and grey would then paint a bright sulcus around every ventricle.
"""

from __future__ import annotations

import math

import numpy as np
import SimpleITK as sitk
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffus.sampling import sample_trilinear
from diffus.volume import Volume

WORKING_SPACING_MM = 1.5
_DEEP_MM = 12.0
"""Fluid nearer to the surface of the brain than this counts as sulcal, however wide."""
_GROWTH_VOXELS = 4
_RIM_VOXELS = 2
_LEAST_VOXELS = 60
"""Smaller pools (0.2 ml) are left to the sulci."""


def open_fluid(csf: Volume, mask: Volume) -> Volume:
    """Share of the CSF of each place that belongs to a ventricle, a cistern or a cavity, from 0 to 1.

    A pool is open where its fluid is at least about 4 mm wide and lies deep in the brain. Found on a coarse
    grid; the result is smooth and has that grid; `open_share` looks it up from another.

    Args:
        csf: volume fraction of CSF.
        mask: non-zero in the brain, its fluid included.
    """
    shape, affine = _working_grid(csf)
    fraction = csf.resample(shape, affine).data.numpy()
    inside = mask.resample(shape, affine).data.numpy() >= 0.5
    brain = sitk.BinaryFillhole(_image(inside))
    depth = sitk.SignedMaurerDistanceMap(brain, insideIsPositive=True, squaredDistance=False)
    deep = depth > _DEEP_MM / WORKING_SPACING_MM
    core = sitk.BinaryErode(_image(fraction > 0.6), [1, 1, 1], sitk.sitkCross) & deep
    fluid = _image(fraction > 0.3) & deep
    for _ in range(_GROWTH_VOXELS):
        core = sitk.BinaryDilate(core, [1, 1, 1], sitk.sitkCross) & fluid
    pools = sitk.RelabelComponent(sitk.ConnectedComponent(core), minimumObjectSize=_LEAST_VOXELS) > 0
    pools = sitk.BinaryDilate(pools, [_RIM_VOXELS] * 3, sitk.sitkBall)
    smooth = sitk.DiscreteGaussian(sitk.Cast(pools, sitk.sitkFloat32), variance=[1.0] * 3)
    return Volume(torch.from_numpy(sitk.GetArrayFromImage(smooth)).clamp_(0, 1), affine)


def open_share(
    pools: Volume, grid: Volume, where: Bool[Tensor, "i J K"], first_plane: int = 0
) -> Float[Tensor, " voxels"]:
    """The result of `open_fluid` at chosen voxels of another grid.

    Args:
        pools: what `open_fluid` gave.
        grid: a volume of that grid.
        where: the chosen voxels of a slab of it.
        first_plane: where the slab begins along the first index.
    """
    index = where.nonzero().double()
    index[:, 0] += first_plane
    matrix = pools.voxel_from_world @ grid.world_from_voxel
    coarse = (index @ matrix[:3, :3].T + matrix[:3, 3]).to(pools.data.dtype)
    return sample_trilinear(pools.data[..., None], coarse)[:, 0]


def _working_grid(volume: Volume) -> tuple[tuple[int, int, int], Tensor]:
    """A grid along the volume's axes with voxels of `WORKING_SPACING_MM`, over the same extent."""
    scale = [WORKING_SPACING_MM / spacing for spacing in volume.spacing_mm]
    i, j, k = (max(1, math.ceil(n / s)) for n, s in zip(volume.shape, scale, strict=True))
    coarse = torch.diag(torch.tensor([*scale, 1.0], dtype=torch.float64))
    coarse[:3, 3] = (torch.tensor(scale, dtype=torch.float64) - 1) / 2  # edges, not centres, coincide
    return (i, j, k), volume.world_from_voxel @ coarse


def _image(values: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(values.astype(np.uint8))
