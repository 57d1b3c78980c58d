"""Animations from figures or images, written frame by frame as GIF or MP4, and shown in notebooks."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from diffus.checks import require_positive, require_shape
from diffus.files import write_aside
from diffus.frame import Frame
from diffus.plot.gif import GifWriter
from diffus.plot.mp4 import Mp4Writer

Shown = Figure | Frame | Tensor | np.ndarray
"""A figure, a frame (its image as a scanner shows it), or pixels (H, W) or (H, W, 3): bytes, or 0 to 1."""
DPI = 80
MOST_INLINE_BYTES = 64 * 2**20
"""Larger files are named in a notebook, not embedded."""


_WRITERS: dict[str, Callable[[Path, float], GifWriter | Mp4Writer]] = {".gif": GifWriter, ".mp4": Mp4Writer}


@dataclass(frozen=True)
class Animation:
    """An animation on disk. It is a path to whatever opens files, and plays in a notebook.

    Args:
        path: the file.
        count: its frames.
        size: columns and rows of pixels.
        per_second: frames a second.
    """

    path: Path
    count: int
    size: tuple[int, int]
    per_second: float

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def _repr_html_(self) -> str:
        """The animation itself, embedded."""
        name = html.escape(str(self.path))
        if not self.path.is_file():
            return f"<p>{name} is no longer there</p>"
        if self.path.stat().st_size > MOST_INLINE_BYTES:
            return f"<p>{name}: {self.path.stat().st_size / 2**20:.0f} MB, too large to embed</p>"
        data = base64.b64encode(self.path.read_bytes()).decode()
        width = f'style="max-width: 100%" width="{self.size[0]}"'
        if self.path.suffix.lower() == ".gif":
            return f'<img alt="{name}" {width} src="data:image/gif;base64,{data}">'
        return f'<video controls autoplay loop muted {width} src="data:video/mp4;base64,{data}"></video>'


def animate(
    frames: Iterable[Shown], path: str | os.PathLike[str], *, per_second: float = 10.0, dpi: int = DPI
) -> Animation:
    """Write an animation.

    Pictures are taken one by one and not kept: a generator may redraw and yield the same figure again and
    again.

    Args:
        frames: figures, frames or pixels, all of one size; a `Frame` of several images gives one picture
            each.
        path: ``.gif``, which repeats for ever, or ``.mp4``, which needs the extra ``[video]``.
        per_second: frames a second; of a GIF at most 50.
        dpi: pixels per inch of figures.

    Raises:
        ValueError: for another extension, no frames, pictures of different sizes, a missing extra (naming
            it), or a place that cannot be written.
    """
    with recorded(path, per_second=per_second, dpi=dpi) as recorder:
        for shown in frames:
            recorder.add(shown)
    return recorder.animation()


@contextmanager
def recorded(path: str | os.PathLike[str], *, per_second: float = 10.0, dpi: int = DPI) -> Iterator[Recorder]:
    """An animation to which a loop adds; arguments and refusals are those of `animate`.

    The file is in place when the block ends, and not if it fails.
    """
    target = Path(path)
    if target.suffix.lower() not in _WRITERS:
        raise ValueError(f"{target.name}: an animation is saved as .gif or .mp4, got {target.suffix!r}")
    require_positive("animation", per_second=per_second, dpi=dpi)
    with write_aside(target) as temporary:
        writer = _WRITERS[target.suffix.lower()](temporary, per_second)
        recorder = Recorder(target, writer, per_second, dpi)
        try:
            yield recorder
        finally:
            writer.close()
        if recorder.animation().count == 0:
            raise ValueError(f"{target.name}: an animation needs at least one frame, got none")


class Recorder:
    """Takes the pictures of one animation; made by `recorded`."""

    def __init__(self, path: Path, writer: GifWriter | Mp4Writer, per_second: float, dpi: int) -> None:
        self._path, self._writer, self._per_second, self._dpi = path, writer, per_second, dpi
        self._count, self._shape = 0, (0, 0)

    def add(self, shown: Shown) -> None:
        """Add a figure, a frame or pixels.

        Raises:
            ValueError: for pixels of another shape or size than before.
        """
        for picture in _pictures(shown, self._dpi):
            if self._count and picture.shape[:2] != self._shape:
                now, before = (f"{columns} x {rows}" for rows, columns in (picture.shape[:2], self._shape))
                raise ValueError(
                    f"{self._path.name}: picture {self._count + 1} has {now} pixels, those before {before}: "
                    "an animation has one size"
                )
            self._writer.add(picture)
            self._count, self._shape = self._count + 1, (picture.shape[0], picture.shape[1])

    def animation(self) -> Animation:
        """What has been recorded."""
        return Animation(self._path, self._count, (self._shape[1], self._shape[0]), self._per_second)


def _pictures(shown: Shown, dpi: int) -> Iterator[np.ndarray]:
    """Bytes (H, W, 3) of each picture."""
    if isinstance(shown, Figure):
        yield _drawn(shown, dpi)
    elif isinstance(shown, Frame):
        yield from (_as_bytes(image) for image in shown.detach().cartesian().numpy())
    else:
        yield _as_bytes(shown.detach().cpu().numpy() if isinstance(shown, Tensor) else np.asarray(shown))


def _drawn(figure: Figure, dpi: int) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=dpi)
    columns = int(figure.get_figwidth() * dpi)
    return np.frombuffer(buffer.getbuffer(), dtype=np.uint8).reshape(-1, columns, 4)[..., :3]


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    fits = pixels.size > 0 and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3))
    require_shape("picture of an animation", pixels.shape, "(H, W) or (H, W, 3)", fits)
    values: Any = pixels
    if values.dtype != np.uint8:
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a picture of an animation holds NaN or Inf: replace them")
        values = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
