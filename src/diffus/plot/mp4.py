"""MP4 written frame by frame through ffmpeg, which the extra ``[video]`` brings."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from diffus.extras import import_extra

MODULE, EXTRA, PURPOSE = "imageio_ffmpeg", "video", "MP4 animations"
_QUALITY = 8
"""Of imageio-ffmpeg's ten; speckle is hard to pack."""


class Mp4Writer:
    """Writes pictures of one size as H.264 in YUV 4:2:0, which every browser plays.

    That format has one colour for four pixels, so both sides must be even: an odd one gets its last row or
    column twice.

    Args:
        path: file to write.
        per_second: frames a second.

    Raises:
        ValueError: where the extra is not installed.
    """

    def __init__(self, path: Path, per_second: float) -> None:
        self._ffmpeg: Any = import_extra(MODULE, EXTRA, PURPOSE)
        self._path, self._per_second = path, per_second
        self._stream: Generator[None, Any, None] | None = None

    def add(self, picture: np.ndarray) -> None:
        """Add one picture, (H, W, 3) bytes."""
        even = np.pad(picture, [(0, size % 2) for size in picture.shape[:2]] + [(0, 0)], mode="edge")
        if self._stream is None:
            self._stream = self._opened(even.shape[1], even.shape[0])
        try:
            self._stream.send(np.ascontiguousarray(even))
        except OSError as error:
            raise ValueError(f"{self._path.name}: ffmpeg fails: {str(error).splitlines()[0]}") from error

    def close(self) -> None:
        """End the file."""
        if self._stream is not None:
            self._stream.close()

    def _opened(self, columns: int, rows: int) -> Generator[None, Any, None]:
        stream = self._ffmpeg.write_frames(
            str(self._path),
            (columns, rows),
            fps=self._per_second,
            codec="libx264",
            pix_fmt_out="yuv420p",
            quality=_QUALITY,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=["-movflags", "+faststart"],
        )
        stream.send(None)
        return stream
