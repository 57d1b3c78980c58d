"""Pictures of the study: rendered sectors beside real ones, after the same observation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffus import Probe, plot
from diffus.imaging.scan_conversion import PixelGrid, sample_scanlines

from .sampling import STEP_MM, LineGrid
from .scanline_image import MAIN_BANG_MM, ScanlineImage

DPI = 70
PIXEL_MM = 0.2


def draw_sector(image: ScanlineImage, probe: Probe, ax: Axes, title: str) -> None:
    """One image in its sector, axes in mm."""
    grid = PixelGrid.around(probe, PIXEL_MM)
    x, z = grid.centres_mm()
    line, depth = probe.scanline_coordinates(x, z)
    first, last = _outer_lines(probe)
    lines = (line - first) / (last - first) * (image.grey.shape[0] - 1)
    samples = (depth - MAIN_BANG_MM) / STEP_MM
    both = torch.stack([image.grey * image.mask, image.mask.to(image.grey)])
    grey, inside = sample_scanlines(both, lines.to(both), samples.to(both), False)
    within = (lines >= 0) & (lines <= both.shape[1] - 1) & (samples >= 0) & (samples <= both.shape[2] - 1)
    shown = np.ma.masked_array(grey.numpy(), ~(within & (inside > 0.5)).numpy())
    left, right, top, bottom = grid.edges_mm()
    ax.imshow(shown, extent=(left, right, bottom, top), cmap="gray", vmin=0, vmax=1)
    ax.set_facecolor("black")
    ax.set_title(title, fontsize=9)
    ax.set(xlabel="x (mm)", ylabel="z (mm)")


def draw_rows(
    rows: Mapping[str, Sequence[tuple[ScanlineImage, Probe]]], path: Path, shown_white: float
) -> None:
    """A row of sectors for each name.

    Args:
        rows: images with the probe of their sector.
        path: of the picture.
        shown_white: grey that is drawn white; the real frames are dark on the page.
    """
    columns = max(len(images) for images in rows.values())
    figure = Figure(figsize=(3.4 * columns, 3.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for (name, images), line in zip(rows.items(), axes, strict=True):
        for ax in line[len(images) :]:
            ax.set_axis_off()
        for (image, probe), ax in zip(images, line, strict=False):
            draw_sector(image, probe, ax, name)
            ax.images[0].set_clim(0, shown_white)
    plot.save_figure(figure, path, dpi=DPI)


def _outer_lines(probe: Probe) -> tuple[float, float]:
    """Fractional scanlines of the probe on which the outermost lines of its `LineGrid` lie."""
    points = LineGrid.of(probe).points_mm[[0, -1], -1]
    line, _ = probe.scanline_coordinates(points[:, 0], points[:, 2])
    return float(line[0]), float(line[1])
