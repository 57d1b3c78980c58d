"""Volumes from files and to files, by extension: the front door of this folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import torch

from diffus.files import write_aside
from diffus.io.raw import RawVolume
from diffus.volume import Volume

NIFTI = (".nii", ".nii.gz")
MGH = (".mgh", ".mgz")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
MINC = (".mnc",)
SAVED = (*NIFTI, ".nrrd", ".mha")
"""Extensions that `save_volume` writes: each is one file, so that it can be moved into place."""

_LOG = logging.getLogger(__name__)
_HINTS = {
    ".img": "convert Analyze pairs to .nii, which says where left and right are",
    ".hdr": "convert Analyze pairs to .nii, which says where left and right are",
    ".gz": "unpack it, or name it .nii.gz if it is compressed NIfTI",
    ".zip": "unpack it first",
}


def load_volume(path: str | os.PathLike[str]) -> Volume:
    """Read one 3D image as float32, its voxels in the order of the file, placed in RAS+ mm.

    NIfTI, MGH, NRRD, MetaImage, MINC, or DICOM: the folder of one series, or any one file of it. Whatever had
    to be guessed or converted is logged as a warning.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read as one 3D image.
    """
    raw = read_raw(path)
    for note in raw.notes:
        _LOG.warning("%s: %s", path, note)
    return volume_of(raw, path)


def save_volume(volume: Volume, path: str | os.PathLike[str]) -> Path:
    """Write ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``; a killed run leaves the old file or the new one.

    NIfTI holds places in single precision, the others in double. Booleans are written as uint8, other types
    as they are.

    Raises:
        ValueError: for an unknown extension or a place that cannot be written.
    """
    extension = extension_of(Path(path))
    if extension not in SAVED:
        raise ValueError(
            f"cannot save {path}: unknown extension {extension!r}, expected one of {', '.join(SAVED)}"
        )
    try:
        with write_aside(path) as temporary:
            if extension in NIFTI:
                from diffus.io.nifti import write_nifti

                write_nifti(volume, temporary)
            else:
                from diffus.io.itk import write_itk

                write_itk(volume, temporary)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    return Path(path)


def read_raw(path: str | os.PathLike[str]) -> RawVolume:
    """What the file holds, before the checks that every `Volume` passes.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read as one 3D image.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no such file or folder: {source}")
    extension = extension_of(source)
    if source.is_dir() or _is_dicom(source):
        from diffus.io.dicom import read_dicom

        return read_dicom(source)
    if extension in (*NIFTI, *MGH):
        from diffus.io.nifti import read_nifti

        return read_nifti(source)
    if extension in ITK:
        from diffus.io.itk import read_itk

        return read_itk(source)
    if extension in MINC:
        from diffus.io.minc import read_minc

        return read_minc(source)
    hint, known = _HINTS.get(extension), ", ".join((*NIFTI, *MGH, *ITK, *MINC))
    raise ValueError(
        f"{source}: unknown extension {extension!r}, expected one of {known}, "
        f"or DICOM (the folder of one series){f': {hint}' if hint else ''}"
    )


def volume_of(raw: RawVolume, path: str | os.PathLike[str]) -> Volume:
    """The checked volume; a refusal names the file.

    Raises:
        ValueError: for NaN or infinite voxels, an empty image or an affine that does not place it.
    """
    try:
        return Volume(torch.from_numpy(raw.voxels), torch.from_numpy(raw.world_from_voxel))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def extension_of(path: Path) -> str:
    """The extension in lower case, ``.nii.gz`` in one piece."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
