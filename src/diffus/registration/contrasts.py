"""MRI contrasts of one head brought onto each other, so that their boundaries lie in one place.

Contrasts of one session lie apart by what the head moved between them, often a millimetre or two, which blurs
the tissue classes that are made from both. This is the textbook task of mutual information (Mattes et al.,
"PET-CT image registration in the chest using free-form deformations", 2003), and left to ITK.
"""

from __future__ import annotations

import SimpleITK as sitk
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.io.itk import itk_image
from diffus.io.transforms import ras_matrix
from diffus.volume import Volume

N_BINS = 48
SHARE = 0.3
"""Of the voxels that are looked at, drawn at random."""
SHRINKING = (4, 2, 1)
"""Of the grid of the fixed volume, level by level; it is smoothed by half as many voxels before."""
FIRST_STEP_MM, LAST_STEP_MM, STEPS = 0.5, 1e-4, 200


def align_contrast(moving: Volume, fixed: Volume, seed: int = 1) -> Float64[Tensor, "4 4"]:
    """``fixed_from_moving``: the rigid transform at which two contrasts share most information.

    Args:
        moving: MRI of one contrast.
        fixed: of another, of the same head and within a centimetre or two of where it should be.
        seed: of the voxels that are looked at; the same seed gives the same answer on one machine.

    Raises:
        ValueError: when the volumes do not overlap or one of them is constant.
    """
    for name, volume in (("fixed", fixed), ("moving", moving)):
        if bool((volume.data == volume.data[0, 0, 0]).all()):
            raise ValueError(f"align_contrast: the {name} volume is constant: there is nothing to align")
    images = [sitk.Cast(itk_image(volume), sitk.sitkFloat32) for volume in (fixed, moving)]
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(N_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SHARE, seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(SHRINKING)
    method.SetSmoothingSigmasPerLevel([factor / 2 if factor > 1 else 0.0 for factor in SHRINKING])
    method.SetInitialTransform(_about_the_middle(fixed, images[0]), True)
    method.SetOptimizerAsRegularStepGradientDescent(FIRST_STEP_MM, LAST_STEP_MM, STEPS)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetNumberOfThreads(1)  # sums over several end in another rounding each time
    try:
        found = method.Execute(*images)
    except RuntimeError as error:
        raise ValueError(
            "align_contrast: the volumes cannot be compared where they lie: do they overlap, and show one "
            f"head? ITK said: {str(error).strip().splitlines()[-1]}"
        ) from None
    return pose.inverse(ras_matrix(found))


def aligned(moving: Volume, fixed: Volume, seed: int = 1) -> Volume:
    """One contrast where `align_contrast` finds it, on the grid of another; arguments as there."""
    moved = Volume(moving.data, align_contrast(moving, fixed, seed) @ moving.world_from_voxel)
    return moved.resample(fixed.shape, fixed.world_from_voxel)


def _about_the_middle(fixed: Volume, image: sitk.Image) -> sitk.Transform:
    transform = sitk.Euler3DTransform()
    middle = [(size - 1) / 2 for size in fixed.shape]
    transform.SetCenter(image.TransformContinuousIndexToPhysicalPoint(middle))
    return transform
