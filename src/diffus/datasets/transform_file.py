"""Rigid transforms between MRI and ultrasound from the files that people have them in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.files import read_json

_ITK_TEXT = "#Insight Transform File"
_ITK_BINARY = (".h5", ".hdf5")


def read_rigid(path: str | os.PathLike[str]) -> Float64[Tensor, "4 4"]:
    """Read ``mri_from_ultrasound``.

    ITK's files (text or HDF5) take points of the fixed image, the ultrasound, to the moving one, the MRI, in
    LPS mm. A matrix in text (4 rows of 4 numbers), ``.npy`` or JSON (``{"matrix": ...}``, or the rows alone)
    does the same in RAS+ mm.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no such file, or the transform is not rigid.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no such transform file: {source}")
    try:
        transform = pose.from_matrix(_matrix(source))
        if transform.ndim != 2:
            raise ValueError(f"holds {len(transform)} transforms, expected one")
    except (TypeError, ValueError) as error:
        said = str(error)
        raise ValueError(said if said.startswith(str(source)) else f"{source}: {said}") from error
    return transform


def _matrix(source: Path) -> Tensor:
    extension = source.suffix.lower()
    if extension in _ITK_BINARY or source.read_bytes()[: len(_ITK_TEXT)] == _ITK_TEXT.encode():
        return _from_itk(source)
    if extension == ".json":
        content = read_json(source, "transform")
        rows = content.get("matrix") if isinstance(content, dict) else content
        return torch.tensor(rows, dtype=torch.float64) if rows else torch.zeros(0)
    if extension == ".npy":
        return torch.from_numpy(np.load(source, allow_pickle=False).astype(np.float64))
    return torch.from_numpy(np.loadtxt(source, delimiter="," if "," in source.read_text() else None))


def _from_itk(source: Path) -> Tensor:
    from diffus.io.transforms import load_transform

    saved = load_transform(source)
    if saved.displacement is not None:
        raise ValueError("holds a B-spline, expected a rigid transform: the renderer needs rigid motions")
    return saved.moving_from_fixed
