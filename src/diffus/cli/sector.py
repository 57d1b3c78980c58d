"""``diffus sector``: the sector of a real ultrasound image or swept volume, and the probe that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_one_of
from diffus.cli.outputs import report_outputs

if TYPE_CHECKING:
    import numpy as np

    from diffus.imaging.sector import Sector
    from diffus.volume import Volume

AXES = ("i", "j", "k")
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgh", ".mgz")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
"""Their files may name a spacing, but it is that of a printer."""


@dataclass(frozen=True)
class FindSector:
    """Find the sector of a B-mode image or of a swept 3D ultrasound volume.

    A picture or a DICOM file is one image; of a cine the maximum over the frames is taken. A 3D file (NIfTI,
    NRRD, MHA) is a swept volume, whose fan planes are found, unless --plane picks one plane of the grid.

    Example: diffus sector frame.png --spacing-mm 0.2 --out out/sector

    Args:
        image: PNG, JPEG, DICOM, NIfTI, NRRD or MHA/MHD.
        plane: plane of a volume to look at instead, as j=70 or just j for the middle one.
        cine: take the third axis of a 3D file as time.
        crop: rows from and to, and columns from and to, that hold one sector.
        spacing_mm: side of a pixel. By default that of the file; pictures and most DICOM have none.
        frequency_mhz: centre frequency to put into the probe file.
        out: folder for everything that is written.
    """

    image: tyro.conf.Positional[Path]
    plane: str | None = None
    cine: bool = False
    crop: tuple[int, int, int, int] | None = None
    spacing_mm: float | None = None
    frequency_mhz: float = 6.0
    out: Path = Path("out/sector")

    def run(self) -> None:
        """Find and write."""
        if not self.image.is_file():
            raise FileNotFoundError(f"no such image: {self.image}")
        if self.plane is None and not self.cine and _is_volume(self.image):
            report_outputs(self._find_in_volume())
        else:
            report_outputs(self._find_in_image())

    def _find_in_image(self) -> dict[str, Path]:
        from diffus.imaging.sector import find_sector
        from diffus.plot import save_figure
        from diffus.plot.sector import sector_outline

        image, spacing = self._plane() if self.plane is not None else _read_image(self.image)
        image = _cropped(image, self.crop)
        if self.spacing_mm is not None:
            spacing = (self.spacing_mm, self.spacing_mm)
        sector = find_sector(image, spacing)
        written = self._write(sector)
        written["overlay"] = save_figure(sector_outline(image, sector).figure, self.out / "sector.png")
        return written

    def _find_in_volume(self) -> dict[str, Path]:
        from diffus import pose
        from diffus.imaging.sector_volume import find_sector_in_volume
        from diffus.plot import fan_slice, save_figure
        from diffus.volume import Volume

        if self.crop is not None or self.spacing_mm is not None:
            raise ValueError("--crop and --spacing-mm are for single images: add --plane, or leave them out")
        volume = Volume.load(self.image)
        found = find_sector_in_volume(volume)
        written = self._write(found.sector, found.sweep_direction.tolist())
        written["pose of the middle plane"] = pose.save(found.world_from_probe, self.out / "pose.json")
        axes = fan_slice(
            volume, found.sector.probe(), found.world_from_probe, title="middle plane of the sweep"
        )
        written["overlay"] = save_figure(axes.figure, self.out / "sector.png")
        return written

    def _write(self, sector: Sector, sweep_direction: list[float] | None = None) -> dict[str, Path]:
        from diffus.files import write_json

        content = {"format": "diffus-sector", "version": 1, "unit": "mm" if sector.spacing_mm else "pixel"}
        content |= sector.to_dict()
        if sweep_direction is not None:
            content |= {"frame": "RAS+", "sweep_direction": sweep_direction}
        written = {"sector": write_json(self.out / "sector.json", content)}
        if sector.spacing_mm is not None:
            probe = sector.probe(self.frequency_mhz)
            written["probe"] = write_json(self.out / "probe.json", probe.to_dict())
        return written

    def _plane(self) -> tuple[np.ndarray, tuple[float, float]]:
        from diffus.volume import Volume

        name, _, number = str(self.plane).partition("=")
        require_one_of("axis of --plane", name, AXES)
        volume: Volume = Volume.load(self.image)
        axis = AXES.index(name)
        size = volume.shape[axis]
        if number and not (number.isdecimal() and int(number) < size):
            raise ValueError(f"--plane {self.plane}: {name} must be a whole number from 0 to {size - 1}")
        rows, columns = (spacing for n, spacing in enumerate(volume.spacing_mm) if n != axis)
        return volume.data.select(axis, int(number) if number else size // 2).numpy(), (rows, columns)


def _is_volume(path: Path) -> bool:
    """Whether a file holds a grid of more than one slice."""
    import SimpleITK as sitk

    from diffus.io.itk import quiet
    from diffus.io.volumes import extension_of

    if extension_of(path) not in _VOLUMES:
        return False
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with quiet(path):
        reader.ReadImageInformation()
    return reader.GetDimension() == 3 and min(reader.GetSize()) > 1


def _read_image(path: Path) -> tuple[np.ndarray, tuple[float, float] | None]:
    """The brightest channel and frame of each pixel, rows by columns, and the spacing if it is known."""
    import SimpleITK as sitk

    from diffus.io.itk import quiet

    with quiet(path):
        image = sitk.ReadImage(str(path))
    values = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        values = values.max(axis=-1)
    values = values.reshape(-1, *values.shape[-2:]).max(axis=0)
    columns, rows = image.GetSpacing()[:2]
    unknown = (rows, columns) == (1.0, 1.0) or path.suffix.lower() in _PICTURES
    return values, None if unknown else (rows, columns)


def _cropped(image: np.ndarray, crop: tuple[int, int, int, int] | None) -> np.ndarray:
    if crop is None:
        return image
    top, bottom, left, right = crop
    if not (0 <= top < bottom <= image.shape[0] and 0 <= left < right <= image.shape[1]):
        raise ValueError(
            f"--crop {top} {bottom} {left} {right} does not fit in an image of {image.shape[0]} rows and "
            f"{image.shape[1]} columns: give rows from and to, then columns from and to"
        )
    return image[top:bottom, left:right]
