"""Animated GIF written frame by frame, so that a long animation takes no more memory than a short one.

Pillow encodes each picture as a GIF of its own; its blocks are taken over, behind the extension that tells
how long the picture stays (GIF89a specification, CompuServe 1990; the loop is Netscape's extension).
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

MOST_PER_SECOND = 50.0
"""Browsers show frames of less than two hundredths of a second far too long."""
_LOOP_FOR_EVER = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
_GREYS = 144
"""Of the 256 colours of a picture that is not grey alone: steps too small to be seen in tissue."""
_KEEP = 1 << 2
"""What was drawn stays, and the next picture is laid over it."""


class GifWriter:
    """Writes pictures of one size.

    Args:
        path: file to write.
        per_second: frames a second, at most `MOST_PER_SECOND`.

    Raises:
        ValueError: for more frames a second than a GIF can show.
    """

    def __init__(self, path: Path, per_second: float) -> None:
        if per_second > MOST_PER_SECOND:
            raise ValueError(
                f"a GIF shows at most {MOST_PER_SECOND:g} frames a second, got {per_second:g}: save as .mp4"
            )
        self._file, self._per_second = path.open("wb"), per_second
        self._before: np.ndarray | None = None
        self._count = 0

    def add(self, picture: np.ndarray) -> None:
        """Add one picture, (H, W, 3) bytes."""
        rows, columns = picture.shape[:2]
        if self._before is None:
            self._file.write(b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0x70, 0, 0) + _LOOP_FOR_EVER)
        top, bottom, left, right = self._changed(picture)
        ends = [round((self._count + more) * 100 / self._per_second) for more in (0, 1)]
        self._file.write(b"\x21\xf9\x04" + struct.pack("<BHBB", _KEEP, ends[1] - ends[0], 0, 0))
        self._file.write(_blocks(picture[top:bottom, left:right], left, top))
        self._before, self._count = picture, self._count + 1

    def close(self) -> None:
        """End the file."""
        self._file.write(b"\x3b")
        self._file.close()

    def _changed(self, picture: np.ndarray) -> tuple[int, int, int, int]:
        """First and last row and column that differ from the picture before, the latter exclusive."""
        if self._before is None:
            return 0, picture.shape[0], 0, picture.shape[1]
        differs = (picture != self._before).any(axis=-1)
        rows, columns = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
        if len(rows) == 0:
            return 0, 1, 0, 1
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _blocks(picture: np.ndarray, left: int, top: int) -> bytes:
    """Image descriptor with a palette of its own, and the packed pixels."""
    encoded = io.BytesIO()
    _palettised(picture).save(encoded, "GIF", interlace=False, optimize=False)
    data = encoded.getvalue()
    size = data[10] & 0x07
    start = 13 + 3 * 2 ** (size + 1)
    palette, at = data[13:start], start
    while data[at] == 0x21:  # extensions of the single picture, left out
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    rows, columns = picture.shape[:2]
    descriptor = struct.pack("<BHHHHB", 0x2C, left, top, columns, rows, 0x80 | size)
    return descriptor + palette + data[at + 10 : -1]


def _palettised(picture: np.ndarray) -> Image.Image:
    """A picture in 256 colours: even steps of grey, and what covers its colours best."""
    coloured = (picture != picture[..., :1]).any(axis=-1)
    greys = _GREYS if coloured.any() else 256
    number = (picture[..., 0] * np.float32((greys - 1) / 255)).round().astype(np.uint8)
    palette = np.linspace(0, 255, greys).round().astype(np.uint8).repeat(3).tobytes()
    if coloured.any():
        row = Image.fromarray(np.ascontiguousarray(picture[coloured][None]))
        chosen = row.quantize(256 - greys, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        number[coloured] = greys + np.asarray(chosen)[0]
        palette += bytes(chosen.getpalette() or [])
    image = Image.fromarray(number)
    image.putpalette(palette)
    return image
