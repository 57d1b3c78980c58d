"""Morphology in millimetres on boolean grids, by Euclidean distance maps.

What lies beyond the grid is unknown: it counts as inside when eroding, and as a continuation of the border
when opening, so that a head or a brain cut by the field of view is not eaten from its cut faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import SimpleITK as sitk
import torch
from jaxtyping import Bool, Float
from torch import Tensor

Mask = Bool[Tensor, "I J K"]
Spacing = Sequence[float]


def distance_to(mask: Mask, spacing_mm: Spacing) -> Float[Tensor, "I J K"]:
    """Distance in mm from each voxel to the nearest voxel of the mask; infinite where there is none."""
    if not bool(mask.any()):
        return torch.full(mask.shape, torch.inf)
    distance = sitk.SignedMaurerDistanceMap(
        _image(mask, spacing_mm), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return _tensor(distance).clamp_min_(0) * ~mask


def dilate(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """All voxels within the radius of the mask."""
    return distance_to(mask, spacing_mm) <= radius_mm


def erode(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """All voxels further than the radius from the outside."""
    return distance_to(~mask, spacing_mm) > radius_mm


def close(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Bridge gaps and furrows up to twice the radius wide, and fill what they enclose."""
    margin = int(radius_mm / min(spacing_mm)) + 2
    padded = _pad(mask, margin, "constant")
    wide = fill_holes(dilate(padded, spacing_mm, radius_mm))
    return _unpad(erode(wide, spacing_mm, radius_mm) | padded, margin)


def open_largest(mask: Mask, spacing_mm: Spacing, radius_mm: float) -> Mask:
    """Drop what is thinner than twice the radius, and all but the largest of the pieces left."""
    margin = int(radius_mm / min(spacing_mm)) + 2
    padded = _pad(mask, margin, "replicate")
    core = largest_component(erode(padded, spacing_mm, radius_mm))
    return _unpad(dilate(core, spacing_mm, radius_mm) & padded, margin)


def largest_component(mask: Mask) -> Mask:
    """The largest piece connected through faces; empty for an empty mask."""
    labels, sizes = components(mask)
    return labels == int(sizes.argmax()) + 1 if len(sizes) else mask


def components(mask: Mask) -> tuple[Tensor, Tensor]:
    """Label the pieces connected through faces from 1 on, and count the voxels of each."""
    labels = _tensor(sitk.ConnectedComponent(_image(mask)))
    return labels, torch.bincount(labels.flatten().long())[1:]


def fill_holes(mask: Mask) -> Mask:
    """Fill what cannot be reached from the border of the grid."""
    padded = _pad(mask, 1, "constant")
    return _unpad(_tensor(sitk.BinaryFillhole(_image(padded))) > 0, 1)


def smooth(values: Float[Tensor, "I J K"], spacing_mm: Spacing, sigma_mm: float) -> Float[Tensor, "I J K"]:
    """Gaussian smoothing; the border's value goes on beyond it."""
    image = _image(values, spacing_mm)
    # The recursive filter needs at least four samples along each axis.
    if min(values.shape) < 4:
        return _tensor(sitk.DiscreteGaussian(image, [sigma_mm**2] * 3))
    return _tensor(sitk.SmoothingRecursiveGaussian(image, [sigma_mm] * 3))


def watershed(relief: Float[Tensor, "I J K"], inside: Mask, outside: Mask) -> Mask:
    """The basin of the marker ``inside`` when both markers flood the relief from its lowest places."""
    markers = inside.to(torch.uint8) + 2 * (outside & ~inside).to(torch.uint8)
    basins = sitk.MorphologicalWatershedFromMarkers(
        _image(relief), sitk.GetImageFromArray(markers.numpy()), markWatershedLine=False, fullyConnected=True
    )
    return _tensor(basins) == 1


def _image(values: Tensor, spacing_mm: Spacing = (1.0, 1.0, 1.0)) -> sitk.Image:
    array = values.to(torch.uint8) if values.dtype == torch.bool else values
    image = sitk.GetImageFromArray(array.contiguous().numpy())
    image.SetSpacing([float(s) for s in reversed(list(spacing_mm))])
    return image


def _tensor(image: sitk.Image) -> Tensor:
    array = sitk.GetArrayFromImage(image)
    # PyTorch has no arithmetic on unsigned integers beyond 8 bits.
    return torch.from_numpy(
        array.astype("int32") if array.dtype.kind == "u" and array.itemsize > 1 else array
    )


def _pad(mask: Mask, margin: int, mode: str) -> Bool[Tensor, "a b c"]:
    padded = torch.nn.functional.pad(mask[None, None].to(torch.float32), [margin] * 6, mode=mode)
    return padded[0, 0] > 0.5


def _unpad(mask: Bool[Tensor, "a b c"], margin: int) -> Mask:
    return mask[margin:-margin, margin:-margin, margin:-margin]
