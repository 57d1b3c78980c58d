"""Real images onto the scanlines of the probe that made them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_positive
from diffus.frame import Frame
from diffus.imaging.gain import expand
from diffus.imaging.scan_conversion import sample_scanlines
from diffus.imaging.sector import find_sector
from diffus.probe import Probe
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from diffus.volume import Volume

LARGEST_SECTOR_MM, SMALLEST_SECTOR_MM = 400.0, 10.0
"""Depth of an image that a scanner for people makes; beyond, the pixel spacing is wrong."""
_NEAR = 0.1
"""Share by which an image may differ in size from the field of view of the probe."""


class Imaged(NamedTuple):
    """Images of one probe on its scanlines.

    Args:
        frame: with the poses that the images carry; the identity where they carry none.
        mask: which samples lie in the image, (S, N); None for all.
    """

    frame: Frame
    mask: Bool[Tensor, "S N"] | None


@dataclass(frozen=True)
class ProbeInImage:
    """A probe, and where it lies in an image. Places are (row, column) in mm from the first pixel's centre.

    Args:
        probe: that made the image.
        origin_mm: middle of its face.
        axis_deg: direction of its beam, from down the rows towards along the columns.
        spacing_mm: distance between rows, and between columns.
    """

    probe: Probe
    origin_mm: tuple[float, float]
    axis_deg: float
    spacing_mm: tuple[float, float]

    @classmethod
    def found_in(
        cls, image: Float[Tensor, "H W"], spacing_mm: tuple[float, float], frequency_mhz: float
    ) -> ProbeInImage:
        """The probe of the sector that the image shows.

        Raises:
            ValueError: when it shows none, see `find_sector`.
        """
        sector = find_sector(image, spacing_mm)
        angle = math.radians(sector.axis_deg)
        start = 0.0 if sector.is_phased else sector.inner_radius_mm
        row, column = sector.apex_mm
        face = (row + start * math.cos(angle), column + start * math.sin(angle))
        return cls(sector.probe(frequency_mhz), face, sector.axis_deg, spacing_mm)

    @classmethod
    def filling(
        cls, probe: Probe, shape: tuple[int, int], spacing_mm: tuple[float, float], name: str
    ) -> ProbeInImage:
        """A known probe whose field of view an image is cropped to, as `Frame.save` writes it.

        Args:
            probe: that made the image.
            shape: rows and columns.
            spacing_mm: of both.
            name: of the image, for messages.

        Raises:
            ValueError: for an image of another size than the field of view.
        """
        left, right, top, bottom = probe.plane_bounds_mm()
        size = [count * step for count, step in zip(shape, spacing_mm, strict=True)]
        for what, given, expected in (("wide", size[1], right - left), ("deep", size[0], bottom - top)):
            if abs(given - expected) > _NEAR * expected:
                raise ValueError(
                    f"{name} is {given:.1f} mm {what}, the field of view of the probe {expected:.1f} mm: "
                    "check the pixel spacing, crop the image to its sector, or give the probe that made it"
                )
        first = [-(count - 1) / 2 * step for count, step in zip(shape, spacing_mm, strict=True)]
        return cls(probe, (-(top + bottom) / 2 - first[0], -(left + right) / 2 - first[1]), 0.0, spacing_mm)

    def scanlines(self, images: Float[Tensor, "B H W"]) -> tuple[Float[Tensor, "B S N"], Bool[Tensor, "S N"]]:
        """Images on the probe's scanlines, bilinear, and which samples lie within them."""
        points = self.probe.sample_points_mm().detach()
        x, z = points[..., 0], points[..., 2]
        angle = math.radians(self.axis_deg)
        row = (self.origin_mm[0] + z * math.cos(angle) - x * math.sin(angle)) / self.spacing_mm[0]
        column = (self.origin_mm[1] + z * math.sin(angle) + x * math.cos(angle)) / self.spacing_mm[1]
        rows, columns = images.shape[-2:]
        slack = 0.5
        inside = (row >= -slack) & (row <= rows - 1 + slack)
        inside &= (column >= -slack) & (column <= columns - 1 + slack)
        return sample_scanlines(images, row.to(images), column.to(images), wraps=False), inside

    def pose_in(
        self,
        first_pixel_mm: Float64[Tensor, "3"],
        right: Float64[Tensor, "3"],
        down: Float64[Tensor, "3"],
    ) -> Float64[Tensor, "4 4"]:
        """Pose of the probe where the image lies so.

        Args:
            first_pixel_mm: place of its first pixel.
            right: unit vector along its columns' numbers.
            down: unit vector along its rows' numbers.
        """
        angle = math.radians(self.axis_deg)
        beam = math.cos(angle) * down + math.sin(angle) * right
        lateral = math.cos(angle) * right - math.sin(angle) * down
        face = first_pixel_mm + self.origin_mm[0] * down + self.origin_mm[1] * right
        return pose.look_at(face, face + beam, lateral=lateral)

    def frame(self, images: Float[Tensor, "B H W"], world_from_probe: Float64[Tensor, "B 4 4"]) -> Imaged:
        """Images with their poses, on the scanlines, as display values in [0, 1]."""
        lines, inside = self.scanlines(shown(images))
        settings = RenderSettings()
        envelope = expand(lines, self.probe, settings)
        frame = Frame(lines, envelope, self.probe, world_from_probe, settings)
        return Imaged(frame, None if bool(inside.all()) else inside)


def frame_of_picture(
    path: Path, probe: Probe | None, spacing_mm: float | None, frequency_mhz: float
) -> Imaged:
    """A PNG, JPEG or DICOM image of one frame; it carries no pose.

    Args:
        path: of the image.
        probe: that made it and whose field of view it is cropped to; found in the image by default.
        spacing_mm: side of a pixel; that of the file by default, which pictures have none of.
        frequency_mhz: of a probe that is found.

    Raises:
        ValueError: for a cine, a spacing that is not known or cannot be, an image without a sector, or one
            that does not fit the probe.
    """
    image, spacing = _read(path)
    if spacing_mm is not None:
        require_positive("--spacing-mm", spacing_mm=spacing_mm)
        spacing = (spacing_mm, spacing_mm)
    if spacing is None:
        raise ValueError(f"{path.name} does not say how large its pixels are: give --spacing-mm")
    _require_depth(path.name, image.shape[0] * spacing[0])
    shape = (image.shape[0], image.shape[1])
    placed = (
        ProbeInImage.found_in(image, spacing, frequency_mhz)
        if probe is None
        else ProbeInImage.filling(probe, shape, spacing, path.name)
    )
    return placed.frame(image[None], torch.eye(4, dtype=torch.float64)[None])


def frame_of_slab(path: Path, slab: Volume, probe: Probe | None, frequency_mhz: float) -> Imaged:
    """A volume of one slice: its columns along the first axis, its rows along the second, in its place.

    Args:
        path: that it was read from, for messages.
        slab: of shape (columns, rows, 1).
        probe: that made it, whose field of view it is cropped to; found in the image by default.
        frequency_mhz: of a probe that is found.

    Raises:
        ValueError: for an image too small or too large for a probe, or that does not fit the one given.
    """
    across, down, _ = slab.spacing_mm
    image = slab.data[..., 0].T.float().contiguous()
    _require_depth(path.name, image.shape[0] * down)
    spacing, shape = (down, across), (image.shape[0], image.shape[1])
    placed = (
        ProbeInImage.found_in(image, spacing, frequency_mhz)
        if probe is None
        else ProbeInImage.filling(probe, shape, spacing, path.name)
    )
    affine = slab.world_from_voxel
    at = placed.pose_in(affine[:3, 3], affine[:3, 0] / across, affine[:3, 1] / down)
    return placed.frame(image[None], at[None])


def shown(images: Float[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Grey values as display values in [0, 1]: bytes by 255, wider ones by their largest."""
    largest = float(images.max())
    if largest <= 1:
        return images.clamp_min(0)
    return (images / (255.0 if largest <= 255 else largest)).clamp_min(0)


def _require_depth(name: str, depth_mm: float) -> None:
    if not SMALLEST_SECTOR_MM <= depth_mm <= LARGEST_SECTOR_MM:
        raise ValueError(
            f"{name} is {depth_mm:.3g} mm deep, expected {SMALLEST_SECTOR_MM:g} to {LARGEST_SECTOR_MM:g}: "
            "its pixel spacing is wrong"
        )


def _read(path: Path) -> tuple[Float[Tensor, "H W"], tuple[float, float] | None]:
    """The brightest channel of each pixel, and the distance between rows and between columns if known."""
    import SimpleITK as sitk

    from diffus.io.itk import quiet

    with quiet(path):
        image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image).astype("float32")
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = values[..., :3].max(axis=-1)  # without an opacity
    frames = values.reshape(-1, *values.shape[-2:])
    if len(frames) != 1:
        raise ValueError(
            f"{path.name} holds {len(frames)} frames, expected one: save the one you want as PNG"
        )
    columns, rows = image.GetSpacing()[:2]
    # What a picture says of its pixels is meant for a printer.
    known = path.suffix.lower() in (".dcm", ".dicom") and (rows, columns) != (1.0, 1.0)
    return torch.from_numpy(frames[0]), (rows, columns) if known else None
