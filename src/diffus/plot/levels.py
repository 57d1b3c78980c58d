"""Grey levels and lettering that slices share."""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from diffus.plot.plane import Plane
from diffus.volume import Volume

_ENOUGH = 200_000
"""Voxels that tell the grey levels of a volume."""
OUTLINED = [withStroke(linewidth=2.0, foreground="black", alpha=0.7)]
"""Makes light lines and letters stand out on a light image."""


def grey_levels(volume: Volume) -> tuple[float, float]:
    """Values of black and white: the first and the 99.5th percentile of what is not background.

    They come from voxels at even steps along every index, without a copy of the volume.
    """
    step = max(1, math.ceil((volume.data.numel() / _ENOUGH) ** (1 / 3)))
    values = volume.data.detach()[::step, ::step, ::step].flatten().float().cpu()
    inside = values[values > values.min()]
    if inside.numel() == 0:
        return float(values[0]) - 1.0, float(values[0]) + 1.0
    low, high = torch.quantile(inside, torch.tensor([0.01, 0.995])).tolist()
    low = min(low, 0.0)
    return low, high if high > low else low + 1.0


def draw_letters(plane: Plane, ax: Axes, colour: str) -> None:
    """Say at the edges of a slice where left, right, anterior, posterior, superior and inferior lie."""
    places = {
        "right": (0.99, 0.5, "right", "center"),
        "left": (0.01, 0.5, "left", "center"),
        "bottom": (0.5, 0.01, "center", "bottom"),
        "top": (0.5, 0.99, "center", "top"),
    }
    letters = plane.edge_letters()
    for edge, (across, up, horizontal, vertical) in places.items():
        ax.text(
            across,
            up,
            letters[edge],
            transform=ax.transAxes,
            ha=horizontal,
            va=vertical,
            color=colour,
            fontweight="bold",
            path_effects=OUTLINED,
        )
