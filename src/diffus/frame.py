"""Frame: images on scanlines, with the geometry that places them in the world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.imaging.scan_conversion import PixelGrid, field_of_view, to_cartesian
from diffus.imaging.smoothing import persist
from diffus.probe import Probe
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class Frame:
    """B-mode images of one probe, one for each pose.

    Args:
        scanlines: display values in [0, 1], (B, S, N): S scanlines with growing x, N cells with growing
            depth.
        envelope: the same before TGC, gain and compression, in units of the echo of a perfect plane
            reflector.
        probe: geometry of the scanlines.
        world_from_probe: pose of each image, (B, 4, 4), RAS+ mm.
        settings: how the frame was computed.
    """

    scanlines: Float[Tensor, "B S N"]
    envelope: Float[Tensor, "B S N"]
    probe: Probe
    world_from_probe: Float64[Tensor, "B 4 4"]
    settings: RenderSettings

    def __len__(self) -> int:
        return self.scanlines.shape[0]

    def __getitem__(self, which: int | slice) -> Frame:
        """Some of the images."""
        if isinstance(which, int):
            if not -len(self) <= which < len(self):
                raise IndexError(f"frame {which} of {len(self)}")
            which = slice(which, which + 1 or None)
        return Frame(
            self.scanlines[which],
            self.envelope[which],
            self.probe,
            self.world_from_probe[which],
            self.settings.of_poses(which),
        )

    def __iter__(self) -> Iterator[Frame]:
        return (self[number] for number in range(len(self)))

    def grid(self, spacing_mm: float | None = None, shape: tuple[int, int] | None = None) -> PixelGrid:
        """The pixels of `cartesian`: where they lie in the probe frame."""
        return PixelGrid.around(self.probe, spacing_mm, shape)

    def cartesian(
        self, spacing_mm: float | None = None, shape: tuple[int, int] | None = None
    ) -> Float[Tensor, "B H W"]:
        """Scan conversion: images with square pixels, rows down the depth, zero outside the field of view.

        Args:
            spacing_mm: side of a pixel; by default the depth of one sample.
            shape: rows and columns instead; the field of view then fills them as far as it can.

        Raises:
            ValueError: when both are given, or one is not above zero.
        """
        return to_cartesian(self.scanlines, self.probe, self.grid(spacing_mm, shape))

    def mask(
        self, spacing_mm: float | None = None, shape: tuple[int, int] | None = None
    ) -> Bool[Tensor, "H W"]:
        """Which pixels of `cartesian` lie in the field of view."""
        return field_of_view(self.probe, self.grid(spacing_mm, shape))

    def world_from_pixel(self, grid: PixelGrid, thickness_mm: float = 1.0) -> Float64[Tensor, "B 4 4"]:
        """Affine of each image as a slab of voxels (column, row, 0)."""
        return self.world_from_probe.detach().cpu() @ grid.probe_from_pixel(thickness_mm)

    def with_persistence(self, persistence: float) -> Frame:
        """The same sequence as a scanner shows it that mixes each frame with those before it.

        Args:
            persistence: share of what was shown before, in [0, 0.99].
        """
        shown = persist(self.scanlines, persistence)
        return Frame(shown, self.envelope, self.probe, self.world_from_probe, self.settings)

    def detach(self) -> Frame:
        """The same frame without its graph, on the CPU."""
        tensors = (t.detach().cpu() for t in (self.scanlines, self.envelope, self.world_from_probe))
        scanlines, envelope, poses = tensors
        return Frame(scanlines, envelope, self.probe, poses, self.settings)

    def save(self, path: str | os.PathLike[str], spacing_mm: float | None = None) -> Path:
        """Write the frame; the extension says how.

        ``.png``: a figure with axes in mm. ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``: one slice of voxels in
        its place in the world, which 3D Slicer lays over the MRI. ``.npz``: everything, for `Frame.load`;
        the only one that holds several poses.

        Args:
            path: file to write; made whole beside it and then moved into place.
            spacing_mm: side of a pixel of the Cartesian image.

        Raises:
            ValueError: for an unknown extension, several poses where one is needed, or a place that cannot be
                written.
        """
        from diffus.io.frames import save_frame

        return save_frame(self, path, spacing_mm)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Frame:
        """Read what ``save`` wrote as ``.npz``.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is not a frame, or of a newer version.
        """
        from diffus.io.frames import load_frame

        return load_frame(path)

    def show(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw the first image with axes in mm; see `diffus.plot.bmode`."""
        from diffus.plot import bmode

        return bmode(self, ax=ax, **options)

    def __repr__(self) -> str:
        from diffus.reprs.facts import frame_facts, paragraph

        return paragraph(self, frame_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import frame_page

        return frame_page(self)

    def _repr_png_(self) -> bytes | None:
        from diffus.reprs.pictures import frame_picture

        return frame_picture(self)
