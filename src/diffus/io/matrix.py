"""One 4x4 from whatever file people have it in."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.files import read_json

TEXT = (".txt", ".csv")
ITK = (".tfm", ".h5", ".hdf5")
EXTENSIONS = (*TEXT, ".json", ".npy", ".npz", *ITK)
_NAMES = ("world_from_sweep", "mri_from_ultrasound")
"""What the results of registrations call their transform."""
_ITK_TEXT = b"#Insight Transform File"


def read_rigid(path: str | os.PathLike[str]) -> Float64[Tensor, "4 4"]:
    """Read a rigid transform, see `read_matrix`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as `read_matrix`, and for a matrix that is not rigid.
    """
    matrix = read_matrix(path)
    try:
        return pose.from_matrix(matrix)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_matrix(path: str | os.PathLike[str]) -> Float64[Tensor, "4 4"]:
    """Read a 4x4.

    ITK's files (text or HDF5) take points of the fixed image to the moving one in LPS mm: what comes back is
    ``moving_from_fixed`` in RAS+ mm. Text (four rows of four numbers, blanks or commas between), ``.npy``,
    ``.npz`` (a registration's result, or one matrix) and JSON (a pose file, ``{"matrix": rows}`` or rows)
    hold the matrix itself.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for another extension, or a file that holds no 4x4.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no such transform file: {source}")
    extension = source.suffix.lower()
    if extension not in EXTENSIONS:
        known = ", ".join(EXTENSIONS)
        raise ValueError(f"{source}: unknown extension for a transform, expected one of {known}")
    if is_itk(source):
        return _from_itk(source)
    try:
        if extension == ".json":
            found = _from_json(source)
        elif extension == ".npy":
            found = np.load(source, allow_pickle=False)
        elif extension == ".npz":
            found = _from_npz(source)
        else:
            found = np.loadtxt(source, delimiter="," if "," in source.read_text() else None)
        matrix = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source}: expected four rows of four numbers: {error}") from error
    if matrix.shape != (4, 4):
        raise ValueError(f"{source} holds numbers of shape {matrix.shape}, expected one 4x4 matrix")
    return torch.from_numpy(matrix)


def is_itk(path: Path) -> bool:
    """Whether a file is an ITK transform, by its extension or, of text, by how it begins."""
    if path.suffix.lower() in ITK:
        return True
    if path.suffix.lower() not in TEXT or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_ITK_TEXT)) == _ITK_TEXT


def _from_itk(source: Path) -> Tensor:
    from diffus.io.transforms import load_transform

    saved = load_transform(source)
    if saved.displacement is not None:
        raise ValueError(f"{source} is not rigid: it holds a B-spline; give its linear part alone")
    return saved.moving_from_fixed


def _from_json(source: Path) -> object:
    content = read_json(source, "transform")
    return content.get("matrix", []) if isinstance(content, dict) else content


def _from_npz(source: Path) -> np.ndarray:
    with np.load(source, allow_pickle=False) as archive:
        names = [name for name in _NAMES if name in archive.files] or list(archive.files)
        if len(names) != 1:
            raise ValueError(f"one array, or one called {' or '.join(_NAMES)}, got {', '.join(names)}")
        return archive[names[0]]
