"""Figures that do not touch the caller's matplotlib state."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffus.files import write_aside


def new_axes(width_in: float = 6.0, height_in: float = 5.5) -> Axes:
    """Axes on a figure of their own, which no window and no global list holds."""
    return Figure(figsize=(width_in, height_in), layout="compressed").add_subplot()


def new_panels(
    rows: int, columns: int, aspect: float, panel_in: float = 4.0, *, shared: bool = True
) -> tuple[Figure, np.ndarray]:
    """A figure whose panels fit what is drawn in them, so that little is left white.

    Args:
        rows: of panels.
        columns: of panels.
        aspect: height over width of what is drawn.
        panel_in: width of a panel in inches.
        shared: whether all panels have the same axes.

    Returns:
        The figure, and its axes, (rows, columns).
    """
    height = rows * (panel_in * aspect + 0.35) + 0.8
    figure = Figure(figsize=(columns * panel_in + 0.8, height), layout="compressed")
    return figure, figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False)


def save_figure(figure: object, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure, atomically, in the format of the extension.

    Raises:
        ValueError: when the place cannot be written.
    """
    assert isinstance(figure, Figure)
    with write_aside(path) as temporary:
        figure.savefig(temporary, dpi=dpi)
    return Path(path)
