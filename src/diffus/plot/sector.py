"""A B-mode image with the sector that was found in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from diffus.checks import require_shape
from diffus.imaging.sector import Sector
from diffus.plot.figures import new_axes


def sector_outline(
    image: Float[Tensor, "H W"] | np.ndarray,
    sector: Sector,
    ax: Axes | None = None,
    *,
    pixels: bool = False,
    whole: bool = True,
    colour: str = "#ffd54f",
    title: str | None = None,
    **image_options: Any,
) -> Axes:
    """Draw an image, the outline of its sector, the central scanline and the apex.

    Args:
        image: grey values, rows by columns, as given to `find_sector`.
        sector: what was found.
        ax: where; by default on a new figure.
        pixels: whether the axes count pixels; they do in any case where the pixel spacing is not known.
        whole: whether to show the apex and the whole sector where they reach beyond the image.
        colour: of the outline.
        title: by default the opening, the radii and the overlap.
        **image_options: passed on to ``imshow``.
    """
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else np.asarray(image)
    require_shape("image", values.shape, "(rows, columns)", values.ndim == 2)
    ax = ax or new_axes()
    spacing = np.array(sector.spacing_mm or (1.0, 1.0))
    unit = "pixels" if pixels or sector.spacing_mm is None else "mm"
    scale = spacing if unit == "pixels" else np.ones(2)
    pitch = spacing / scale
    rows, columns = values.shape
    extent = (-0.5 * pitch[1], (columns - 0.5) * pitch[1], (rows - 0.5) * pitch[0], -0.5 * pitch[0])
    options = {"cmap": "gray", "vmin": values.min(), "vmax": np.quantile(values, 0.999)} | image_options
    ax.imshow(values, extent=extent, **options)
    outline = sector.outline_mm().numpy() / scale
    apex = np.array(sector.apex_mm) / scale
    angle = math.radians(sector.axis_deg)
    axis = np.array([math.cos(angle), math.sin(angle)])
    far = (np.array(sector.apex_mm) + sector.outer_radius_mm * axis) / scale
    ax.plot(outline[:, 1], outline[:, 0], color=colour, linewidth=1.2)
    ax.plot([apex[1], far[1]], [apex[0], far[0]], color=colour, linewidth=0.7, linestyle=":")
    ax.plot(apex[1], apex[0], color=colour, marker="+")
    points = np.vstack([outline, apex[None]]) if whole else np.empty((0, 2))
    corners = np.vstack([points, [[extent[3], extent[0]], [extent[2], extent[1]]]])
    ax.set_facecolor("black")
    ax.set(xlim=(corners[:, 1].min(), corners[:, 1].max()), ylim=(corners[:, 0].max(), corners[:, 0].min()))
    ax.set(xlabel=f"columns ({unit})", ylabel=f"rows ({unit})", title=title or _title(sector))
    return ax


def _title(sector: Sector) -> str:
    unit = "px" if sector.spacing_mm is None else "mm"
    radii = f"{sector.inner_radius_mm:.1f} and {sector.outer_radius_mm:.1f} {unit}"
    return f"{sector.opening_deg:.1f}°, radii {radii}, overlap {sector.overlap:.1%}"
