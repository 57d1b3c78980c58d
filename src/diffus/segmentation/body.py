"""The body in a CT: what a probe on the skin stands on."""

from __future__ import annotations

import SimpleITK as sitk
import torch
from jaxtyping import Bool
from torch import Tensor

from diffus.volume import Volume

_AIR_BELOW_HU = -400.0


def body_mask(ct: Volume) -> Volume:
    """The largest piece that is not air, its gas filled; thin things such as the table are taken off.

    Args:
        ct: Hounsfield units.

    Raises:
        ValueError: when nothing but air is there.
    """
    solid = sitk.GetImageFromArray((ct.data > _AIR_BELOW_HU).numpy().astype("uint8"))
    # 3 mm across in every direction, whatever the voxels: a table's top is thinner.
    radius = [max(1, round(3.0 / spacing)) for spacing in reversed(ct.spacing_mm)]
    opened = sitk.BinaryMorphologicalOpening(solid, radius)
    pieces = sitk.RelabelComponent(sitk.ConnectedComponent(opened))
    body = torch.from_numpy(sitk.GetArrayFromImage(pieces == 1)).bool()
    if not bool(body.any()):
        raise ValueError(f"no body found: nothing in the volume lies above {_AIR_BELOW_HU:g} HU")
    # Slice by slice, because a bowel or a windpipe may leave the volume through its first or last slice.
    axial = next(axis for axis, letter in enumerate(ct.orientation) if letter in "SI")
    filled = [_filled(plane) for plane in body.unbind(axial)]
    return Volume(torch.stack(filled, dim=axial), ct.world_from_voxel)


def _filled(plane: Bool[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    image = sitk.GetImageFromArray(plane.numpy().astype("uint8"))
    return torch.from_numpy(sitk.GetArrayFromImage(sitk.BinaryFillhole(image))).bool()
