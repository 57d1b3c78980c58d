"""Tracked sequences, as Plus and 3D Slicer record them (``.igs.mha``, ``.mha``): images and where each was.

The file holds 2D images, and for each a pose of the sensor on the probe in the frame of the tracker, or of a
reference that is fixed to the patient (Lasso et al., "PLUS: open-source toolkit for ultrasound-guided
intervention systems", IEEE Trans. Biomed. Eng. 61(10), 2014). Where the image lies with respect to the sensor
is the probe's calibration: a matrix of its own, from pixels to mm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.io.itk import IMAGE_IO, quiet
from diffus.io.matrix import read_matrix

_PREFIX = "Seq_Frame"
_ORIENTATION = "MF"
"""Columns from the marked side, rows towards the far end."""


class Sequence(NamedTuple):
    """A tracked sequence as it was recorded.

    Args:
        images: grey values, those frames whose pose is known.
        reference_from_image: (column, row, 0, 1) in pixels to mm, in the frame of the reference or tracker.
        left_out: frames whose pose is not known.
    """

    images: Float[Tensor, "F H W"]
    reference_from_image: Float64[Tensor, "F 4 4"]
    left_out: int


def is_sequence(path: Path) -> bool:
    """Whether a MetaImage file holds frames with fields of their own."""
    reader = _reader(path)
    return any(key.startswith(_PREFIX) for key in reader.GetMetaDataKeys())


def read_sequence(path: Path, calibration: Path | None) -> Sequence:
    """Read a sequence and put its images in the frame that its poses are in.

    Args:
        path: ``.mha`` or ``.mhd``.
        calibration: ``sensor_from_image``, from pixels to mm: a Plus configuration (XML), or a 4x4 matrix.
            Not needed where the sequence itself says where its images are.

    Raises:
        ValueError: for a sequence without poses, images turned another way than `MF`, or no calibration.
    """
    reader = _reader(path)
    fields = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
    orientation = fields.get("UltrasoundImageOrientation", _ORIENTATION)[:2]
    if orientation != _ORIENTATION:
        raise ValueError(
            f"{path.name}: images are stored as {orientation}, expected {_ORIENTATION} (columns from the "
            "marked side, rows towards the far end): export the sequence so"
        )
    moving = _moving_name(path, fields)
    image_to_moving = np.eye(4) if moving == "Image" else _calibration(path, calibration)
    with quiet(path):
        array: Any = _array(reader)
    poses, kept = [], []
    for number in range(len(array)):
        placed = _placed(fields, f"{_PREFIX}{number:04d}_", moving)
        if placed is not None:
            poses.append(placed @ image_to_moving)
            kept.append(number)
    if not kept:
        raise ValueError(f"{path.name}: none of its {len(array)} frames has a pose that the tracker calls OK")
    images = torch.from_numpy(array[kept].astype("float32"))
    return Sequence(images, torch.from_numpy(np.stack(poses)), len(array) - len(kept))


def _reader(path: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(IMAGE_IO[path.suffix.lower()])
    with quiet(path):
        reader.ReadImageInformation()
    return reader


def _array(reader: Any) -> np.ndarray:
    import SimpleITK as sitk

    image = reader.Execute()
    values = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = values.max(axis=-1)
    return values.reshape(-1, *values.shape[-2:])


def _moving_name(path: Path, fields: dict[str, str]) -> str:
    """What the poses place: the image itself, or the sensor on the probe."""
    names = {key.split("_", 2)[2].removesuffix("Transform") for key in fields if key.endswith("Transform")}
    for moving in ("Image", "Probe"):
        if {f"{moving}ToReference", f"{moving}ToTracker"} & names:
            return moving
    raise ValueError(
        f"{path.name} has no pose of the image or the probe: expected ProbeToTracker, ProbeToReference, "
        f"ImageToTracker or ImageToReference, got {', '.join(sorted(names)) or 'none'}"
    )


def _placed(fields: dict[str, str], prefix: str, moving: str) -> np.ndarray | None:
    """Pose of one frame in the frame of the reference, or of the tracker where there is no reference."""
    if fields.get(f"{prefix}ImageStatus", "OK") != "OK":
        return None
    direct = _transform(fields, f"{prefix}{moving}ToReferenceTransform")
    if direct is not None:
        return direct
    tracked = _transform(fields, f"{prefix}{moving}ToTrackerTransform")
    if f"{prefix}ReferenceToTrackerTransform" not in fields or tracked is None:
        return tracked
    reference = _transform(fields, f"{prefix}ReferenceToTrackerTransform")
    return None if reference is None else np.linalg.inv(reference) @ tracked


def _transform(fields: dict[str, str], name: str) -> np.ndarray | None:
    if name not in fields or fields.get(f"{name}Status", "OK") != "OK":
        return None
    matrix = np.array(fields[name].split(), dtype=float)
    return matrix.reshape(4, 4) if matrix.size == 16 and np.isfinite(matrix).all() else None


def _calibration(path: Path, calibration: Path | None) -> np.ndarray:
    if calibration is None:
        raise ValueError(
            f"{path.name} says where the probe's sensor was, not the image: give --calibration, the Plus "
            "configuration (XML) or a 4x4 matrix from pixels to the sensor's mm"
        )
    if calibration.suffix.lower() != ".xml":
        return read_matrix(calibration).numpy()
    if not calibration.is_file():
        raise FileNotFoundError(f"no such calibration: {calibration}")
    try:
        root = ElementTree.parse(calibration).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{calibration} is not XML: {error}") from error
    for part in root.iter("Transform"):
        numbers = part.get("Matrix", "").split()
        if (part.get("From"), part.get("To")) == ("Image", "Probe") and len(numbers) == 16:
            return np.array(numbers, dtype=float).reshape(4, 4)
    raise ValueError(f"{calibration} holds no Transform from Image to Probe with 16 numbers")
