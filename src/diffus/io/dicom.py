"""One DICOM series from its folder, through SimpleITK's GDCM reader.

The place of the voxels is worked out here from each slice's position and orientation (DICOM PS3.3 C.7.6.2),
so that a missing slice or a tilted gantry is noticed and not smoothed over.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from jaxtyping import Float64

from diffus.io.itk import flip_lps_ras, quiet
from diffus.io.raw import RawVolume

_SERIES, _DESCRIPTION = "0020|000e", "0008|103e"
_POSITION, _ORIENTATION, _PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"
UNEVEN_NOTED, UNEVEN_REFUSED = 0.01, 0.1
"""Departure of a gap between slices from the median gap, as a share of it: worth a note; too much."""


class Slice(NamedTuple):
    """Where one file's pixels lie.

    Args:
        file: its path.
        position_mm: centre of the first pixel, LPS.
        axes: direction cosines along a row and down a column, LPS.
        spacing_mm: between pixels along a row and down a column.
        size: pixels along a row and down a column.
        stored_as: type of the pixels.
    """

    file: str
    position_mm: Float64[np.ndarray, "3"]
    axes: Float64[np.ndarray, "2 3"]
    spacing_mm: Float64[np.ndarray, "2"]
    size: tuple[int, int]
    stored_as: str


def read_dicom(path: Path) -> RawVolume:
    """Read the series of a folder, or the series that a file belongs to, from the files beside it.

    Axis i runs along a row, j down a column, k through the slices along the normal of the image plane.

    Raises:
        ValueError: without DICOM, with several series in the folder (listing them), or for a series that is
            not one stack of evenly spaced, parallel slices.
    """
    files = _series_of_file(path) if path.is_file() else _only_series(path)
    slices = [_read_header(Path(file)) for file in files]
    slices, notes = _stacked(path, slices)
    return RawVolume(_read_pixels(slices), _affine(slices), slices[0].stored_as, tuple(notes))


def _series_of_file(path: Path) -> list[str]:
    uid = _tag(_header(path), _SERIES)
    with quiet(path):
        return list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path.parent), uid))


def _only_series(folder: Path) -> list[str]:
    with quiet(folder):
        uids = sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        series = {uid: list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)) for uid in uids}
    if not series:
        raise ValueError(
            f"{folder}: no DICOM images directly in this folder; "
            "give the folder that holds the slices of one series"
        )
    if len(series) > 1:
        rows = "; ".join(
            f"{_tag(_header(Path(files[0])), _DESCRIPTION) or 'no description'}: {len(files)} files such as "
            f"{Path(files[0]).name}, uid {uid}"
            for uid, files in series.items()
        )
        raise ValueError(
            f"{folder} holds {len(series)} DICOM series, expected one: {rows}. "
            "Give one file of the series you want instead of the folder, or a folder with that series alone"
        )
    return next(iter(series.values()))


def _header(file: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    reader.SetImageIO("GDCMImageIO")
    with quiet(file):
        reader.ReadImageInformation()
    return reader


def _tag(reader: sitk.ImageFileReader, key: str) -> str:
    return reader.GetMetaData(key).strip(" \0") if reader.HasMetaDataKey(key) else ""


def _numbers(
    file: Path, reader: sitk.ImageFileReader, key: str, count: int, name: str
) -> Float64[np.ndarray, "n"]:
    text = _tag(reader, key)
    try:
        values = np.array([float(part) for part in text.split("\\")])
    except ValueError:
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(
            f"{file}: no usable {name} in the DICOM header (got {text!r}), so its pixels have no place in "
            "space: give a CT or MRI series, or convert the images with their place to NIfTI"
        )
    return values


def _read_header(file: Path) -> Slice:
    reader = _header(file)
    if reader.GetNumberOfComponents() > 1:
        raise ValueError(f"{file} is a colour image; expected slices with one number a pixel")
    size = reader.GetSize()
    frames = int(np.prod(size[2:]))
    if frames > 1:
        raise ValueError(
            f"{file} is a multi-frame DICOM file of {frames} frames, which is not read: "
            "convert it to NIfTI first (dcm2niix, or 3D Slicer)"
        )
    position = _numbers(file, reader, _POSITION, 3, "position (0020,0032)")
    axes = _numbers(file, reader, _ORIENTATION, 6, "orientation (0020,0037)").reshape(2, 3)
    down, along = _numbers(file, reader, _PIXEL_SPACING, 2, "pixel spacing (0028,0030)")
    stored = sitk.GetPixelIDValueAsString(reader.GetPixelID())
    return Slice(str(file), position, axes, np.array([along, down]), (size[0], size[1]), stored)


def _stacked(path: Path, slices: list[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices in order along their normal, after checking that they make one regular stack."""
    first = slices[0]
    if len(slices) < 2:
        raise ValueError(f"{path}: the series holds one slice, expected a 3D volume of several")
    for other in slices[1:]:
        same = np.allclose(other.axes, first.axes, atol=1e-4) and np.allclose(
            other.spacing_mm, first.spacing_mm
        )
        if not same or other.size != first.size:
            raise ValueError(
                f"{path}: slices of one series differ in orientation, pixel spacing or size ({first.file} "
                f"and {other.file}): expected one stack of parallel slices; keep one stack in the folder"
            )
    normal = np.cross(first.axes[0], first.axes[1])
    slices = sorted(slices, key=lambda item: float(item.position_mm @ normal))
    heights = np.array([item.position_mm @ normal for item in slices])
    gaps = np.diff(heights)
    if (gaps < 1e-3).any():
        at = int(np.argmin(gaps))
        raise ValueError(
            f"{path}: two slices lie at one position ({slices[at].file} and {slices[at + 1].file}): "
            "the series holds several echoes, frames or copies; keep one in the folder"
        )
    return slices, _check_gaps(path, gaps, slices)


def _check_gaps(path: Path, gaps: Float64[np.ndarray, "n"], slices: list[Slice]) -> list[str]:
    median = float(np.median(gaps))
    departure = np.abs(gaps - median)
    worst = int(departure.argmax())
    share = float(departure[worst]) / median
    if share <= UNEVEN_NOTED:
        return []
    found = (
        f"slices are unevenly spaced: {gaps[worst]:.4g} mm between {Path(slices[worst].file).name} and "
        f"{Path(slices[worst + 1].file).name}, elsewhere {median:.4g} mm"
    )
    if share > UNEVEN_REFUSED:
        missing = round(float(gaps[worst]) / median) - 1
        hint = f"; about {missing} missing" if missing > 0 else ""
        raise ValueError(f"{path}: {found}{hint}. Add the missing slices or resample the series evenly first")
    return [f"{found}; placed as if even"]


def _affine(slices: list[Slice]) -> Float64[np.ndarray, "4 4"]:
    first, last = slices[0], slices[-1]
    lps = np.eye(4)
    lps[:3, 0] = first.axes[0] * first.spacing_mm[0]
    lps[:3, 1] = first.axes[1] * first.spacing_mm[1]
    lps[:3, 2] = (last.position_mm - first.position_mm) / (len(slices) - 1)
    lps[:3, 3] = first.position_mm
    return flip_lps_ras(lps)


def _read_pixels(slices: list[Slice]) -> np.ndarray:
    """Slice by slice, since each has its own rescaling."""
    voxels = np.empty((*slices[0].size, len(slices)), dtype=np.float32)
    for k, item in enumerate(slices):
        with quiet(Path(item.file)):
            image = sitk.ReadImage(item.file, sitk.sitkFloat32, imageIO="GDCMImageIO")
        voxels[..., k] = sitk.GetArrayViewFromImage(image).reshape(item.size[::-1]).T
    return voxels
