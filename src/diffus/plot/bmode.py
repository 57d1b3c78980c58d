"""The B-mode image in its sector."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from diffus.frame import Frame
from diffus.plot.figures import new_axes
from diffus.scalars import number, plain


def bmode(
    frame: Frame,
    ax: Axes | None = None,
    *,
    which: int = 0,
    spacing_mm: float | None = None,
    decibel_bar: bool = True,
    title: str | None = None,
    **image_options: Any,
) -> Axes:
    """Draw one image of a frame: lateral and depth axes in mm, black where there is no image.

    Args:
        frame: what to draw.
        ax: where; by default on a new figure.
        which: image of the batch.
        spacing_mm: side of a pixel.
        decibel_bar: whether to draw the grey scale in dB.
        title: by default the probe and its frequency.
        **image_options: passed on to ``imshow``.
    """
    ax = ax or new_axes()
    one = frame[which].detach()
    image = one.cartesian(spacing_mm)[0].numpy()
    left, right, top, bottom = one.grid(spacing_mm).edges_mm()
    options = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0} | image_options
    drawn = ax.imshow(image, extent=(left, right, bottom, top), **options)
    ax.set_facecolor("black")
    ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)")
    ax.set_title(title or f"{one.probe.kind} probe, {number(one.probe.frequency_mhz):g} MHz")
    if decibel_bar:
        span = np.atleast_1d(plain(one.settings.dynamic_range_db))[0]
        ticks = np.linspace(0, 1, 7)
        bar = ax.figure.colorbar(drawn, ax=ax, ticks=ticks, shrink=0.8)
        bar.ax.set_yticklabels([f"{(tick - 1) * span:.0f}" for tick in ticks])
        bar.set_label("dB below white")
    return ax
