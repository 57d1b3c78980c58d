"""A figure of which few things change: the rest is drawn once, which makes long animations several times
faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Backdrop:
    """Pictures of a figure.

    Args:
        figure: with axes that stay where they are; no layout engine.
        dpi: pixels per inch.
    """

    def __init__(self, figure: Figure, dpi: int) -> None:
        figure.set_dpi(dpi)
        self._figure, self._canvas = figure, FigureCanvasAgg(figure)
        self._background: Any = None

    def picture(self, changing: Sequence[Artist]) -> np.ndarray:
        """The figure as bytes (H, W, 3).

        Args:
            changing: what may look otherwise in each picture, in the order in which it is laid over the rest.
                All else is drawn with the first picture.
        """
        if self._background is None:
            for artist in changing:
                artist.set_visible(False)
            self._canvas.draw()
            self._background = self._canvas.copy_from_bbox(self._figure.bbox)
            for artist in changing:
                artist.set_visible(True)
            self._figure.draw_without_rendering()  # titles lose their place while they are hidden
        self._canvas.restore_region(self._background)
        for artist in changing:
            self._figure.draw_artist(artist)
        return np.array(self._canvas.buffer_rgba())[..., :3]
