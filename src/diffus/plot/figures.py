"""Figures that do not touch the caller's matplotlib state."""

from __future__ import annotations

import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffus.files import write_aside


def new_axes(width_in: float = 6.0, height_in: float = 5.5) -> Axes:
    """Axes on a figure of their own, which no window and no global list holds."""
    return Figure(figsize=(width_in, height_in), layout="constrained").add_subplot()


def save_figure(figure: object, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure, atomically, in the format of the extension.

    Raises:
        ValueError: when the place cannot be written.
    """
    assert isinstance(figure, Figure)
    with write_aside(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    return Path(path)
