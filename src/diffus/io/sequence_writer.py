"""Writing a tracked sequence as Plus and 3D Slicer read it (``.igs.mha``): images and where each was.

Each frame says ``ImageToReference``, from (column, row, 0, 1) in pixels to mm, and ``ProbeToReference``, the
pose of the probe; the reference is the world of the volume, RAS+, which is the frame that Slicer applies
transforms in. Images are bytes, columns from the marked side (x of the probe), rows towards the far end:
``MF``. Fields as in Lasso et al., "PLUS", IEEE Trans. Biomed. Eng. 61(10), 2014.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_positive
from diffus.files import write_aside
from diffus.frame import Frame

EXTENSION = ".mha"
_FASTEST = 1


def write_sequence(
    frames: Iterable[Frame],
    path: str | os.PathLike[str],
    *,
    spacing_mm: float | None = None,
    per_second: float = 10.0,
) -> Path:
    """Write images and their poses; ``diffus register`` reads them again, with ``--probe`` naming the probe.

    In 3D Slicer (extension SlicerIGSIO) put the image under the transform ``ImageToReference``.

    Args:
        frames: of one probe; a generator is taken image by image.
        path: ``.igs.mha``, or ``.mha``.
        spacing_mm: side of a pixel.
        per_second: frames a second, for their time stamps.

    Raises:
        ValueError: for another extension, no frames, frames of more than one probe, or a place that cannot be
            written.
    """
    with recorded_sequence(path, spacing_mm=spacing_mm, per_second=per_second) as add:
        for frame in frames:
            add(frame)
    return Path(path)


@contextmanager
def recorded_sequence(
    path: str | os.PathLike[str], *, spacing_mm: float | None = None, per_second: float = 10.0
) -> Iterator[Callable[[Frame], None]]:
    """A sequence that is written frame by frame; arguments and refusals are those of `write_sequence`.

    Yields:
        What adds the images of a frame. The file is in place when the block ends, and not if it fails.
    """
    target = Path(path)
    if target.suffix.lower() != EXTENSION:
        raise ValueError(f"{target.name}: a tracked sequence is saved as .igs.mha, got {target.suffix!r}")
    require_positive("tracked sequence", per_second=per_second)
    with write_aside(target) as temporary:
        pixels = temporary.with_name("pixels")
        with pixels.open("wb") as file:
            writer = _Pixels(file, spacing_mm)
            yield writer.add
            size = writer.finish()
        with temporary.open("wb") as file, pixels.open("rb") as source:
            file.write(writer.header(size, per_second, target.name).encode())
            shutil.copyfileobj(source, file)


class _Pixels:
    """Compressed pixels on their way to a file; poses are kept for the header."""

    def __init__(self, file: BinaryIO, spacing_mm: float | None) -> None:
        self._file, self._spacing = file, spacing_mm
        self._packer = zlib.compressobj(_FASTEST)
        self._size = 0
        self._probe: dict[str, object] | None = None
        self._shape = (0, 0)
        self._placed: list[tuple[Float64[Tensor, "4 4"], Float64[Tensor, "4 4"]]] = []

    def add(self, frame: Frame) -> None:
        described = frame.probe.to_dict()
        if self._probe is None:
            self._probe, self._shape = described, frame.grid(self._spacing).shape
        elif described != self._probe:
            raise ValueError("a tracked sequence has one probe, and a frame of another was added")
        grid = frame.grid(self._spacing)
        images = frame.detach().cartesian(self._spacing)
        self._keep((images.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes())
        placed = frame.world_from_pixel(grid, grid.spacing_mm)
        self._placed += list(zip(placed, frame.world_from_probe.detach().cpu(), strict=True))

    def finish(self) -> int:
        """Bytes that were written."""
        self._write(self._packer.flush())
        return self._size

    def header(self, size: int, per_second: float, name: str) -> str:
        if not self._placed:
            raise ValueError(f"{name}: a tracked sequence needs at least one frame, got none")
        rows, columns = self._shape
        lines = [
            "ObjectType = Image",
            "NDims = 3",
            "AnatomicalOrientation = RAI",
            "BinaryData = True",
            "BinaryDataByteOrderMSB = False",
            "CenterOfRotation = 0 0 0",
            "CompressedData = True",
            f"CompressedDataSize = {size}",
            f"DimSize = {columns} {rows} {len(self._placed)}",
            "Kinds = domain domain list",
            "ElementNumberOfChannels = 1",
            "ElementSpacing = 1 1 1",
            "ElementType = MET_UCHAR",
            "Offset = 0 0 0",
            "TransformMatrix = 1 0 0 0 1 0 0 0 1",
            "UltrasoundImageOrientation = MF",
            "UltrasoundImageType = BRIGHTNESS",
        ]
        for number, (image, probe) in enumerate(self._placed):
            prefix = f"Seq_Frame{number:04d}_"
            for moving, matrix in (("Image", image), ("Probe", probe)):
                words = " ".join(f"{value:.17g}" for value in matrix.flatten().tolist())
                lines.append(f"{prefix}{moving}ToReferenceTransform = {words}")
                lines.append(f"{prefix}{moving}ToReferenceTransformStatus = OK")
            lines.append(f"{prefix}Timestamp = {number / per_second:.6f}")
            lines.append(f"{prefix}ImageStatus = OK")
        return "\n".join([*lines, "ElementDataFile = LOCAL", ""])

    def _keep(self, pixels: bytes) -> None:
        self._write(self._packer.compress(pixels))

    def _write(self, packed: bytes) -> None:
        self._size += self._file.write(packed)
