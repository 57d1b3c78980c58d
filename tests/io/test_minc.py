"""MINC files, of both versions."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.io import netcdf_file

from diffus import Volume

START, STEP = (11.25, -22.5, 33.75), (1.5, 2.25, 3.5)


def _minc2(path: Path) -> np.ndarray:
    values = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    image = sitk.GetImageFromArray(values.transpose(2, 1, 0))
    image.SetOrigin(START)
    image.SetSpacing(STEP)
    sitk.WriteImage(image, str(path))
    return values


def _minc1(path: Path) -> np.ndarray:
    """As the MINC 1 standard has it: NetCDF with a variable for each axis."""
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)  # z, y, x
    with netcdf_file(path, "w") as file:
        for number, (name, size) in enumerate((("zspace", 3), ("yspace", 4), ("xspace", 5))):
            file.createDimension(name, size)
            axis = file.createVariable(name, "i4", ())
            axis.start, axis.step = np.float64(START[2 - number]), np.float64(STEP[2 - number])
            axis.direction_cosines = np.eye(3)[2 - number]
            axis.spacing = "regular__"
        image = file.createVariable("image", "i2", ("zspace", "yspace", "xspace"))
        image[:] = values
        image.valid_range, image.signtype = np.array([0.0, 59.0]), "signed__"
        for name, limit in (("image-max", 59.0), ("image-min", 0.0)):
            file.createVariable(name, "f8", ()).data[...] = limit
    return values.astype(np.float32)


def test_minc_2_is_taken_as_ras(tmp_path: Path) -> None:
    values = _minc2(tmp_path / "a.mnc")
    # What the file itself says: ITK has written the numbers without turning them.
    assert all((tmp_path / "a.mnc").read_bytes().count(struct.pack("<d", start)) for start in START)
    volume = Volume.load(tmp_path / "a.mnc")
    assert volume.data.numpy() == pytest.approx(values, abs=1e-5)
    assert volume.world_from_voxel[:3, 3].tolist() == list(START)
    assert volume.spacing_mm == pytest.approx(STEP)
    assert volume.orientation == "RAS"


def test_minc_1(tmp_path: Path) -> None:
    values = _minc1(tmp_path / "a.mnc")
    volume = Volume.load(tmp_path / "a.mnc")
    assert torch.equal(volume.data, torch.from_numpy(values))
    place = volume.world_from_voxel @ torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    assert place[:3].tolist() == pytest.approx(
        [a + b for a, b in zip(START[::-1], STEP[::-1], strict=True)][::-1]
    )


def test_damage_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mnc").write_bytes(b"not at all")
    with pytest.raises(ValueError, match=r"a\.mnc cannot be read as MINC"):
        Volume.load(tmp_path / "a.mnc")
    _minc2(tmp_path / "b.mnc")
    (tmp_path / "b.mnc").write_bytes((tmp_path / "b.mnc").read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"b\.mnc"):
        Volume.load(tmp_path / "b.mnc")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Volume.load(tmp_path / "c.mnc")
