"""What a volume is, in numbers and words: the content of ``diffus info``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from diffus.io.volumes import read_raw, volume_of
from diffus.volume import Volume

COARSE_MM = 1.5
"""Voxels coarser than this hold too little of what ultrasound shows; its own resolution is below a mm."""
ANISOTROPIC = 2.0
SMALLEST_MM, LARGEST_MM = 10.0, 2000.0
"""No scan of a patient is smaller or larger than this: outside, the unit is not mm."""
_SAMPLE = 2**20

Kind = Literal["CT", "labels", "mask", "MRI or other", "constant"]


@dataclass(frozen=True)
class VolumeReport:
    """Facts about a volume and what may go wrong with it.

    Args:
        name: the file, or what the caller calls the volume.
        shape: voxels along i, j and k.
        spacing_mm: distance between voxel centres.
        orientation: where i, j and k grow to, as ``"RAS"``.
        stored_as: type of the voxels in the file.
        kind: what the values look like. A guess.
        intensity: minimum, 1 %, median, 99 % and maximum. The middle three are from an even sample of about a
            million voxels where there are more.
        zero_fraction: share of voxels that are exactly zero.
        extent_mm: size from edge to edge.
        centre_mm: world position of the middle of the grid.
        right_handed: whether i, j, k turn as world x, y, z do.
        oblique_deg: largest angle between a voxel axis and the world axis nearest to it.
        warnings: what may go wrong, each with how to mend it.
    """

    name: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    orientation: str
    stored_as: str
    kind: Kind
    intensity: tuple[float, float, float, float, float]
    zero_fraction: float
    extent_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float]
    right_handed: bool
    oblique_deg: float
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for a terminal, one fact a line."""
        low, p1, median, p99, high = (f"{value:.6g}" for value in self.intensity)
        hand = "right-handed" if self.right_handed else "left-handed"
        tilt = (
            f"oblique by {self.oblique_deg:.1f} degrees"
            if self.oblique_deg >= 0.05
            else "along the world's axes"
        )
        rows = [
            ("file", self.name),
            ("shape", " x ".join(map(str, self.shape)) + f" voxels, {self.stored_as}"),
            ("spacing", _by(self.spacing_mm, "{:.4g}") + " mm"),
            ("orientation", f"{self.orientation} ({hand}, {tilt})"),
            ("extent", _by(self.extent_mm, "{:.1f}") + " mm"),
            ("centre", "(" + ", ".join(f"{value:.1f}" for value in self.centre_mm) + ") mm, RAS"),
            (
                "intensity",
                f"{low} to {high}; 1 % {p1}, median {median}, 99 % {p99}; {self.zero_fraction:.0%} zero",
            ),
            (
                "looks like",
                {
                    "CT": "CT in HU",
                    "labels": "a label map",
                    "mask": "a mask",
                    "MRI or other": "an MRI or other image",
                }.get(self.kind, self.kind),
            ),
        ]
        return [f"{name:<12} {value}" for name, value in rows] + [
            f"warning: {text}" for text in self.warnings
        ]


def describe(path_or_volume: str | os.PathLike[str] | Volume) -> VolumeReport:
    """Report on a file or a volume.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be read as one 3D image.
    """
    if isinstance(path_or_volume, Volume):
        volume, stored, notes = path_or_volume, str(path_or_volume.data.dtype).removeprefix("torch."), ()
        name = "(in memory)"
    else:
        raw = read_raw(path_or_volume)
        volume, stored, notes = volume_of(raw, path_or_volume), raw.stored_as, raw.notes
        name = str(path_or_volume)
    affine = volume.world_from_voxel
    axes = affine[:3, :3] / affine[:3, :3].norm(dim=0)
    nearest = axes.abs().max(dim=0).values.clamp(max=1)
    x, y, z = volume.centre_mm.tolist()
    kind, intensity, zero = _values(volume.data)
    return VolumeReport(
        name=name,
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        orientation=volume.orientation,
        stored_as=stored,
        kind=kind,
        intensity=intensity,
        zero_fraction=zero,
        extent_mm=volume.extent_mm,
        centre_mm=(x, y, z),
        right_handed=bool(torch.linalg.det(axes) > 0),
        oblique_deg=float(torch.rad2deg(torch.arccos(nearest)).max()),
        warnings=(*notes, *_geometry_warnings(volume), *_value_warnings(volume.data, kind, intensity, zero)),
    )


def _by(values: tuple[float, float, float], form: str) -> str:
    return " x ".join(form.format(value) for value in values)


def _values(data: Tensor) -> tuple[Kind, tuple[float, float, float, float, float], float]:
    plain = data.detach()
    low, high = float(plain.min()), float(plain.max())
    zero = 1 - int(torch.count_nonzero(plain)) / plain.numel()
    flat = plain.reshape(-1)
    sample = flat[:: max(1, flat.numel() // _SAMPLE)].double()
    p1, median, p99 = torch.quantile(sample, torch.tensor([0.01, 0.5, 0.99], dtype=torch.float64)).tolist()
    return _kind(plain, sample, low, high), (low, p1, median, p99, high), zero


def _kind(data: Tensor, sample: Tensor, low: float, high: float) -> Kind:
    if low == high:
        return "constant"
    if low < 0:
        return "CT" if low <= -900 and high > 0 else "MRI or other"
    if bool((sample != sample.round()).any()):
        return "MRI or other"
    if set(sample.unique().tolist()) <= {0.0, high}:
        return "mask"
    # Labels come in patches: a voxel's neighbour mostly has its label. Noise makes that rare in an image.
    slabs = data[:, :, :: max(1, data.shape[2] // 16)]
    here, beside = slabs[:-1], slabs[1:]
    inside = here != 0
    alike = float((here == beside)[inside].double().mean()) if bool(inside.any()) else 0.0
    return "labels" if alike > 0.6 else "MRI or other"


def _geometry_warnings(volume: Volume) -> list[str]:
    warnings = []
    spacing, extent = volume.spacing_mm, volume.extent_mm
    if max(extent) < SMALLEST_MM:
        warnings.append(
            f"the whole volume measures {_by(extent, '{:.3g}')} mm: the unit in the file is likely metres or "
            "cm; give the voxel size in mm"
        )
    elif max(extent) > LARGEST_MM:
        warnings.append(
            f"the volume measures {_by(extent, '{:.4g}')} mm: the unit in the file is likely micrometres, or "
            "the header is wrong; give the voxel size in mm"
        )
    elif max(spacing) > COARSE_MM:
        warnings.append(
            f"coarse voxels ({max(spacing):.3g} mm): boundaries finer than a voxel, such as sulci, will be "
            f"missing from the ultrasound; {COARSE_MM:g} mm or finer is better"
        )
    if max(spacing) > ANISOTROPIC * min(spacing):
        warnings.append(
            f"anisotropic voxels ({max(spacing) / min(spacing):.1f} to 1): boundaries look smoother along "
            "the coarse axis than across it"
        )
    if min(volume.shape) == 1:
        warnings.append("one voxel thick: only a probe in this very plane sees it")
    return warnings


def _value_warnings(data: Tensor, kind: Kind, intensity: tuple[float, ...], zero: float) -> list[str]:
    low, _, _, _, high = intensity
    if kind == "constant":
        return [f"every voxel is {low:g}: there is nothing to render"]
    warnings = []
    if zero > 0.95 and kind not in ("labels", "mask"):
        warnings.append(f"{zero:.0%} of the voxels are zero: crop the volume to save memory")
    if kind == "MRI or other":
        tissue = int(torch.count_nonzero(data))
        clipped = int((data == high).sum()) / max(tissue, 1)
        if clipped > 0.01:
            warnings.append(
                f"{clipped:.0%} of the non-zero voxels have the highest value, {high:g}: "
                "the image was clipped"
            )
    return warnings
