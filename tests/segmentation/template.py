"""An independent brain mask: the MNI brain brought onto a head by affine registration."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch

from diffus import Volume
from diffus.segmentation.grid import average_down, coarsening_factors, sample_up_mask

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])


def brain_by_registration(template: Volume, head: Volume) -> torch.Tensor:
    """The template's brain on the head's grid, by mutual information within the template's brain.

    Rigid first, then affine, at 4 and 2 mm. The head's upper 140 mm are where the brain is looked for.
    """
    factors = coarsening_factors(head, 2.0)
    coarse = average_down(head, factors)
    fixed, moving = _image(average_down(template, (2, 2, 2))), _image(coarse)
    brain = sitk.BinaryDilate(sitk.Cast(fixed > 15, sitk.sitkUInt8), [3, 3, 3])
    middle = _centre_of_mass(average_down(template, (2, 2, 2)))
    shift = _upper_centre(coarse) - middle
    rigid, affine = sitk.Euler3DTransform(), sitk.AffineTransform(3)
    for transform in (rigid, affine):
        transform.SetCenter(middle.tolist())
    rigid.SetTranslation(shift.tolist())
    _optimise(fixed, moving, brain, rigid, [4, 2])
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetTranslation(rigid.GetTranslation())
    _optimise(fixed, moving, brain, affine, [2, 1])
    mask = sitk.Cast(fixed > 15, sitk.sitkFloat32)
    moved = sitk.GetArrayFromImage(sitk.Resample(mask, moving, affine.GetInverse(), sitk.sitkLinear, 0.0))
    return sample_up_mask(torch.from_numpy(moved.transpose(2, 1, 0).copy()), factors, head.shape)


def _optimise(
    fixed: sitk.Image, moving: sitk.Image, mask: sitk.Image, transform: sitk.Transform, levels: list[int]
) -> None:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, seed=1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(4.0, 0.01, 150)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(levels)
    method.SetSmoothingSigmasPerLevel([float(level) for level in levels])
    method.SetInitialTransform(transform, True)
    method.Execute(fixed, moving)


def _image(volume: Volume) -> sitk.Image:
    affine = LPS_FROM_RAS @ volume.world_from_voxel.numpy()[:3]
    spacing = np.array(volume.spacing_mm)
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume.data.numpy().transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:, 3].tolist())
    image.SetDirection((affine[:, :3] / spacing).flatten().tolist())
    return image


def _centre_of_mass(volume: Volume) -> np.ndarray:
    return LPS_FROM_RAS @ _world(volume, volume.data > 15).mean(axis=0)


def _upper_centre(head: Volume) -> np.ndarray:
    level = 0.1 * float(np.quantile(head.data.numpy(), 0.98))
    points = _world(head, head.data > level)
    return LPS_FROM_RAS @ points[points[:, 2] > points[:, 2].max() - 140].mean(axis=0)


def _world(volume: Volume, where: torch.Tensor) -> np.ndarray:
    affine = volume.world_from_voxel
    return (where.nonzero().double() @ affine[:3, :3].T + affine[:3, 3]).numpy()
