"""NRRD and MetaImage through SimpleITK, and the one place where LPS turns into RAS and back."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float64

from diffus.io.nifti import numpy_voxels
from diffus.io.raw import RawVolume, gather_slabs
from diffus.volume import Volume

IMAGE_IO = {".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO", ".mha": "MetaImageIO", ".mhd": "MetaImageIO"}
"""ITK's reader by extension, named so that a file under a wrong name is refused and not guessed."""

_ONE_AT_A_TIME = threading.Lock()


def read_itk(path: Path) -> RawVolume:
    """Read ``.nrrd``, ``.nhdr``, ``.mha`` or ``.mhd``.

    Raises:
        ValueError: when the file is damaged, or is not one 3D image of plain numbers.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(IMAGE_IO[path.suffix.lower()])
    with quiet(path):
        reader.ReadImageInformation()
    size = tuple(int(n) for n in reader.GetSize())
    keys = reader.GetMetaDataKeys()
    _require_scalar_3d(path, reader, size, keys)
    notes = []
    if path.suffix.lower() in (".nrrd", ".nhdr") and "NRRD_space" not in keys:
        notes.append("the header names no anatomical space: taken as LPS; left and right are a guess")
    with quiet(path):
        image = reader.Execute()
    array = sitk.GetArrayViewFromImage(image)
    array = array.reshape(array.shape[-3:])  # k, j, i
    voxels = gather_slabs(
        (size[0], size[1], size[2]), lambda start, stop: array[start:stop].transpose(2, 1, 0)
    )
    return RawVolume(voxels, _affine_of(image), array.dtype.name, tuple(notes))


def write_itk(volume: Volume, path: Path) -> None:
    """Write compressed NRRD or MHA, its place in full double precision."""
    with quiet(path):
        sitk.WriteImage(itk_image(volume), str(path), useCompression=True)


def itk_image(volume: Volume) -> sitk.Image:
    """A volume as ITK holds it, in LPS, its place in full double precision."""
    image = sitk.GetImageFromArray(numpy_voxels(volume).transpose(2, 1, 0))
    place_image(image, volume.world_from_voxel.numpy())
    return image


def place_image(image: sitk.Image, world_from_voxel: Float64[np.ndarray, "4 4"]) -> None:
    """Give an image its place, from a matrix in RAS without shear."""
    lps = flip_lps_ras(world_from_voxel)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())


def flip_lps_ras(affine: Float64[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """A world-from-voxel matrix in LPS as one in RAS, or the other way round."""
    flipped = np.array(affine, dtype=np.float64)
    flipped[:2] *= -1
    return flipped


@contextmanager
def quiet(path: Path) -> Iterator[None]:
    """Run ITK without a word on the terminal; its errors become one ValueError that names the file.

    ITK's readers write to the process's standard error on their own, beside the exception that they raise, so
    the stream itself is turned aside meanwhile and its words are used for the message.

    Raises:
        ValueError: when ITK raises.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as aside:
        with _standard_error_into(aside):
            shown = sitk.ProcessObject.GetGlobalWarningDisplay()
            sitk.ProcessObject.SetGlobalWarningDisplay(False)
            failure: RuntimeError | None = None
            try:
                yield
            except RuntimeError as error:
                failure = error
            finally:
                sitk.ProcessObject.SetGlobalWarningDisplay(shown)
        if failure is not None:
            aside.seek(0)
            words = aside.read().decode(errors="replace")
            raise ValueError(
                f"{path}: SimpleITK fails with: {_reason(str(failure), words)}. Is the file damaged, "
                "only partly downloaded, or another kind of file under this name?"
            ) from failure


@contextmanager
def _standard_error_into(aside: IO[bytes]) -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        os.dup2(aside.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _reason(error: str, words: str) -> str:
    """What a reader said on its way, else the last line of ITK's exception not about its own code."""
    spoken = " ".join(line.strip() for line in words.splitlines() if line.strip() and "WARNING" not in line)
    lines = [line.strip() for line in error.splitlines() if line.strip() and ".cxx:" not in line]
    return (spoken or (lines[-1] if lines else error)).rstrip(".")[:300]


def _require_scalar_3d(path: Path, reader: Any, size: tuple[int, ...], keys: tuple[str, ...]) -> None:
    frames = sum(key.startswith("Seq_Frame") and key.endswith("_ImageStatus") for key in keys)
    if any(key.startswith("Seq_Frame") for key in keys):
        raise ValueError(
            f"{path} is a tracked sequence of {frames or size[-1]} 2D frames (size {size}), expected a 3D "
            "volume: its last axis is time"
        )
    components = reader.GetNumberOfComponents()
    pixel = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    if components > 1 or "complex" in pixel:
        raise ValueError(
            f"{path} holds {components} numbers a voxel ({pixel}), expected one: "
            "it may be a colour image or a displacement field; convert it to a single-channel image first"
        )
    if len(size) < 3:
        raise ValueError(f"{path} is {len(size)}D with size {size}, expected a 3D volume")
    count = int(np.prod(size[3:]))
    if count != 1:
        raise ValueError(
            f"{path} is {len(size)}D with {count} frames (size {size}), expected one 3D volume: "
            "save the frame you want as a file of its own"
        )


def _affine_of(image: sitk.Image) -> Float64[np.ndarray, "4 4"]:
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    lps = np.eye(4)
    lps[:3, :3] = direction * np.asarray(image.GetSpacing()[:3])
    lps[:3, 3] = image.GetOrigin()[:3]
    return flip_lps_ras(lps)
