"""Where a registration begins: a rigid transform from any of the files that one may have."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.files import read_json
from diffus.io.transforms import load_transform

EXTENSIONS = (".json", ".txt", ".npz", ".tfm", ".h5", ".hdf5")
_NAMES = ("world_from_sweep", "mri_from_ultrasound")
"""What the results of registrations call their transform."""


def initial_pose(path: Path, carried: Float64[Tensor, "4 4"] | None) -> Float64[Tensor, "4 4"]:
    """Where one frame is looked for.

    A matrix is the pose of the probe. An ITK transform takes the world that the frame's own pose is in to
    that of the MRI, as a tracker's registration does, and so is applied to that pose.

    Args:
        path: see `read_matrix`.
        carried: the pose that the frame has, or None.

    Raises:
        ValueError: when it is not rigid, or an ITK transform has no pose to be applied to.
    """
    if not _is_itk(path):
        return _rigid(path)
    if carried is None:
        raise ValueError(
            f"{path.name} takes one world to another, and the image has no pose in either: give --initial "
            "as the probe's pose, a 4x4 in text, JSON or .npz"
        )
    return _rigid(path) @ carried


def initial_transform(path: Path) -> Float64[Tensor, "4 4"]:
    """Where a sweep or a volume is looked for: from its own world to that of the MRI.

    Raises:
        ValueError: when it is not rigid.
    """
    return _rigid(path)


def read_matrix(path: Path) -> Float64[Tensor, "4 4"]:
    """A 4x4 from text, JSON (a pose file or rows), ``.npz`` (a result, or one matrix) or an ITK transform.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for another extension, or a file that holds no 4x4.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such transform file: {path}")
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise ValueError(
            f"{path}: unknown extension for a transform, expected one of {', '.join(EXTENSIONS)}"
        )
    if _is_itk(path):
        return _from_itk(path)
    if extension == ".json":
        return _from_json(path)
    found = _from_npz(path) if extension == ".npz" else _from_text(path)
    if found.shape != (4, 4):
        raise ValueError(f"{path} holds numbers of shape {found.shape}, expected one 4x4 matrix")
    return torch.from_numpy(found.astype(np.float64))


def _rigid(path: Path) -> Float64[Tensor, "4 4"]:
    matrix = read_matrix(path)
    try:
        return pose.from_matrix(matrix)
    except ValueError as error:
        raise ValueError(f"--initial {path}: {error}") from error


def _is_itk(path: Path) -> bool:
    if path.suffix.lower() in (".tfm", ".h5", ".hdf5"):
        return True
    if path.suffix.lower() != ".txt" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16).startswith(b"#Insight")


def _from_itk(path: Path) -> Float64[Tensor, "4 4"]:
    found = load_transform(path)
    if found.displacement is not None:
        raise ValueError(f"--initial {path} is not rigid: it holds a B-spline; give its linear part alone")
    return found.moving_from_fixed


def _from_json(path: Path) -> Float64[Tensor, "4 4"]:
    content = read_json(path, "transform")
    if isinstance(content, dict):
        matrix = pose.load(path)
    else:
        try:
            matrix = torch.tensor(content, dtype=torch.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a pose file or four rows of four numbers: {error}") from error
    if matrix.shape != (4, 4):
        raise ValueError(f"{path} holds numbers of shape {tuple(matrix.shape)}, expected one 4x4 matrix")
    return matrix


def _from_text(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected four rows of four numbers: {error}") from error


def _from_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = [name for name in _NAMES if name in archive.files] or list(archive.files)
            if len(names) != 1:
                raise ValueError(
                    f"{path} holds {', '.join(names)}: expected one 4x4 array, or one called "
                    f"{' or '.join(_NAMES)}"
                )
            return archive[names[0]]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not an .npz file: {error}") from error
