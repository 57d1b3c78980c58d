"""NIfTI through nibabel, and FreeSurfer's MGH, which nibabel reads the same way."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float64
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from diffus.io.raw import RawVolume, gather_slabs
from diffus.volume import Volume

_UNREADABLE = (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError)
_MM_PER_UNIT = {"mm": 1.0, "unknown": 1.0, "meter": 1e3, "micron": 1e-3}
_ALIGNED = (
    2  # NIfTI's code for coordinates aligned to something other than the scanner, NIFTI_XFORM_ALIGNED_ANAT
)


def read_nifti(path: Path) -> RawVolume:
    """Read ``.nii``, ``.nii.gz``, ``.mgh`` or ``.mgz``.

    The sform places the voxels where its code is set, else the qform, as in nibabel; a header with neither is
    placed by its voxel sizes alone, which is noted. Spatial units of metres and micrometres are honoured.

    Raises:
        ValueError: when the file is damaged, or is not one 3D image of plain numbers.
    """
    try:
        image: Any = nib.load(path, keep_file_open=True)
        proxy = image.dataobj
        shape = _shape_3d(path, tuple(int(n) for n in image.shape), image.get_data_dtype())
        frames = (0,) * (len(image.shape) - 3)
        affine, notes = _placement(image)
    except _UNREADABLE as error:
        raise _named(path, error) from error
    try:
        voxels = gather_slabs(
            shape, lambda start, stop: proxy[(slice(None), slice(None), slice(start, stop), *frames)]
        )
    except _UNREADABLE as error:
        raise _named(path, error) from error
    stored = np.dtype(image.get_data_dtype())
    largest = max(-float(voxels.min(initial=0)), float(voxels.max(initial=0)))
    if stored.kind in "iu" and largest >= 2**24:
        notes.append(f"holds {stored.name} values of 2^24 and more, which are rounded to float32")
    return RawVolume(voxels, affine, stored.name, tuple(notes))


def write_nifti(volume: Volume, path: Path) -> None:
    """Write NIfTI-1 in mm with an sform, and with the same qform where a quaternion can say it.

    The same volume gives the same bytes: nibabel writes gzip without a time.
    """
    array = numpy_voxels(volume)
    affine = volume.world_from_voxel.numpy()
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    image.set_sform(affine, code=_ALIGNED)
    image.set_qform(affine, code=_ALIGNED)
    last = np.array([*(n - 1 for n in volume.shape), 1.0])
    drift = (image.get_qform() - image.get_sform()) @ last
    if np.linalg.norm(drift) > 0.01 * min(volume.spacing_mm):
        image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def numpy_voxels(volume: Volume) -> np.ndarray:
    """The voxels as a type that image files know: booleans as uint8, half precision as float32."""
    import torch

    data = volume.data.detach().cpu()
    if data.dtype == torch.bool:
        data = data.to(torch.uint8)
    elif data.dtype in (torch.float16, torch.bfloat16):
        data = data.float()
    return data.numpy()


def _named(path: Path, error: Exception) -> ValueError:
    """The same refusal with the file's name in front, and a hint where the reader stumbled over damage."""
    if isinstance(error, ValueError) and str(error).startswith(str(path)):
        return error
    return ValueError(
        f"{path} cannot be read as {'MGH' if path.suffix.lower() in ('.mgh', '.mgz') else 'NIfTI'}: "
        f"{str(error).splitlines()[0] if str(error) else type(error).__name__}. Is it damaged, "
        "only partly downloaded, or another kind of file under this name?"
    )


def _shape_3d(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, int, int]:
    if dtype.fields is not None or np.dtype(dtype).kind not in "iufb":
        raise ValueError(
            f"{path} holds colour or complex voxels ({dtype}), expected one number a voxel: "
            "convert it to a single-channel image first"
        )
    if len(shape) < 3:
        raise ValueError(f"{path} is {len(shape)}D with shape {shape}, expected a 3D volume")
    extra = [n for n in shape[3:] if n != 1]
    if len(shape) == 5 and shape[3] == 1 and extra:
        raise ValueError(
            f"{path} holds a vector of {extra[-1]} numbers a voxel (shape {shape}), expected one: "
            "it may be a displacement field; give the image itself"
        )
    if extra:
        count = int(np.prod(extra))
        raise ValueError(
            f"{path} is {len(shape)}D with {count} frames or components (shape {shape}), expected one 3D "
            "volume: save the one you want as a file of its own"
        )
    return shape[0], shape[1], shape[2]


def _placement(image: Any) -> tuple[Float64[np.ndarray, "4 4"], list[str]]:
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        return np.asarray(image.affine, dtype=np.float64), []
    notes: list[str] = []
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if has_sform:
        affine = np.asarray(header.get_sform(), dtype=np.float64)
        if has_qform:
            apart = _corner_distance(affine, np.asarray(header.get_qform()), image.shape)
            if apart > 0.5:
                notes.append(
                    f"sform and qform place the image up to {apart:.1f} mm apart: the sform is used, "
                    "other programs may show it elsewhere"
                )
    elif has_qform:
        affine = np.asarray(header.get_qform(), dtype=np.float64)
    else:
        affine = np.asarray(header.get_base_affine(), dtype=np.float64)
        notes.append(
            "the header has neither sform nor qform: placed by its voxel sizes alone, centred on the origin, "
            "with i growing to the left as nibabel does; left and right are a guess"
        )
    return _in_millimetres(affine, header, notes), notes


def _in_millimetres(
    affine: Float64[np.ndarray, "4 4"], header: nib.Nifti1Header, notes: list[str]
) -> Float64[np.ndarray, "4 4"]:
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        notes.append("the header's unit of length is not one of NIfTI's: taken as mm")
        return affine
    scale = _MM_PER_UNIT[str(unit)]
    if scale != 1.0:
        notes.append(f"the header's unit of length is {unit}: converted to mm")
        affine = affine.copy()
        affine[:3] *= scale
    return affine


def _corner_distance(a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> float:
    corners = np.array(np.meshgrid(*([0, n - 1] for n in shape[:3]), [1.0], indexing="ij")).reshape(4, -1)
    return float(np.linalg.norm(((a - b) @ corners)[:3], axis=0).max())
