"""The B-mode image, in its sector or on its scanlines."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from diffus.checks import require_one_of
from diffus.frame import Frame
from diffus.plot.figures import new_axes
from diffus.plot.pictures import Picture, picture
from diffus.probe import Probe
from diffus.scalars import number, on_curve, plain

VIEWS = ("sector", "scanlines")


def bmode(
    frame: Frame,
    ax: Axes | None = None,
    *,
    which: int = 0,
    view: str = "sector",
    spacing_mm: float | None = None,
    decibel_bar: bool = True,
    title: str | None = None,
    **image_options: Any,
) -> Axes:
    """Draw one image of a frame: axes in mm, black where there is no image.

    The sector view is what a scanner shows: lateral position across, depth down, square pixels. The scanline
    view shows the samples as they are computed: depth along the scanline down, and across the angle of each
    scanline in degrees, or its place on the face in mm where the face is flat and all run in parallel.

    Args:
        frame: what to draw.
        ax: where; by default on a new figure.
        which: image of the batch.
        view: sector or scanlines.
        spacing_mm: side of a pixel of the sector view.
        decibel_bar: whether to draw the grey scale in dB.
        title: by default the probe and its frequency.
        **image_options: passed on to ``imshow``.

    Raises:
        ValueError: for an unknown view, or a spacing that is not above zero.
    """
    require_one_of("view", view, VIEWS)
    one = frame[which].detach()
    name = f"{one.probe.kind} probe, {number(one.probe.frequency_mhz):g} MHz" if title is None else title
    if view == "sector":
        ax = picture(Picture.of_frame(one, spacing_mm=spacing_mm), ax, title=name, **image_options)
    else:
        ax = ax or new_axes()
        _draw_scanlines(one, ax, name, image_options)
    if decibel_bar:
        _draw_bar(one, ax.images[-1], ax)
    return ax


def _draw_scanlines(frame: Frame, ax: Axes, title: str, image_options: dict[str, Any]) -> None:
    across, label = _across(frame.probe)
    step = (across[-1] - across[0]) / (len(across) - 1) if len(across) > 1 else 1.0
    depth = number(frame.probe.depth_mm)
    extent = (across[0] - step / 2, across[-1] + step / 2, depth, 0.0)
    options = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0, "aspect": "auto"} | image_options
    ax.imshow(frame.scanlines[0].numpy().T, extent=extent, **options)
    ax.set(xlabel=label, ylabel="depth along the scanline (mm)", title=title)


def _across(probe: Probe) -> tuple[list[float], str]:
    """Place of each scanline, and what is counted."""
    lines = probe.scanlines()
    x, _, z = lines.directions.detach().unbind(-1)
    angles = np.rad2deg(np.unwrap(torch.atan2(x, z).numpy()))
    if len(angles) > 1 and np.ptp(angles) > 1e-6:
        return angles.tolist(), "scanline angle (deg)"
    return lines.origins_mm[:, 0].detach().tolist(), "lateral x on the face (mm)"


def _draw_bar(frame: Frame, image: AxesImage, ax: Axes) -> None:
    """Grey scale in dB, through the grey map where there is one."""
    span = float(np.atleast_1d(plain(frame.settings.dynamic_range_db))[0])
    levels = [
        level for level in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(-span, 0.0) if -span <= level <= 0
    ]
    greys = torch.tensor([1 + level / span for level in levels], dtype=torch.float64)
    if frame.settings.grey_map is not None:
        greys = on_curve(frame.settings.grey_map, greys).detach()
    bar = ax.figure.colorbar(image, ax=ax, ticks=greys.tolist(), shrink=0.8)
    bar.ax.set_yticklabels([f"{level:.0f}".replace("-", "\N{MINUS SIGN}") for level in levels])
    bar.set_label("dB, 0 is white")
