"""MINC files, of both versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from diffus.io.itk import quiet
from diffus.io.raw import RawVolume

_HDF5 = b"\x89HDF"
"""How MINC 2 begins; MINC 1 is NetCDF."""


def read_minc(source: Path) -> RawVolume:
    """Read MINC 2 through SimpleITK or MINC 1 through nibabel, as float32.

    MINC's world is RAS+ (Vincent et al., Front Neuroinform 10, 2016). ITK hands its numbers on as they are,
    without turning them to LPS, so they are not turned back either.

    Raises:
        ValueError: when it cannot be read as one 3D image.
    """
    with source.open("rb") as file:
        is_minc2 = file.read(4) == _HDF5
    voxels, affine, stored_as = _read_minc2(source) if is_minc2 else _read_minc1(source)
    return RawVolume(np.ascontiguousarray(voxels, dtype=np.float32), affine, stored_as, ())


def _read_minc2(source: Path) -> tuple[np.ndarray, Float64[np.ndarray, "4 4"], str]:
    import SimpleITK as sitk

    with quiet(source):
        image = sitk.ReadImage(str(source), imageIO="MINCImageIO")
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(f"{source} is {image.GetDimension()}D, expected one 3D image of one number a voxel")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    voxels = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
    return voxels, affine, str(voxels.dtype)


def _read_minc1(source: Path) -> tuple[np.ndarray, Float64[np.ndarray, "4 4"], str]:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.minc1 import Minc1Image

    try:
        image = Minc1Image.from_filename(source)
        voxels = np.asarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, OSError, TypeError, ValueError, LookupError) as error:
        raise ValueError(
            f"{source} cannot be read as MINC: {error}. Is it damaged, or only partly downloaded?"
        ) from error
    if voxels.ndim != 3:
        raise ValueError(f"{source} is {voxels.ndim}D, expected one 3D image")
    return voxels, np.asarray(image.affine, dtype=np.float64), str(image.get_data_dtype())
