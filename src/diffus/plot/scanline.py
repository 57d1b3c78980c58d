"""One scanline in depth: from the tissue to the grey value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.checks import require_shape
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.plot.bmode import bmode
from diffus.plot.scanline_curves import ScanlineCurves, scanline_curves
from diffus.probe import Probe
from diffus.render import DEFAULT_SETTINGS, render
from diffus.scalars import number
from diffus.settings import RenderSettings

PANELS = ("impedance", "reflection", "echoes", "attenuation", "transmission", "envelope", "displayed")
"""What `scanline` draws, from above to below."""
LEAST_DB = -140.0
"""Echoes weaker than this are not shown."""
_MODEL_STYLES: dict[str, dict[str, Any]] = {
    "published": {"color": "0.55", "linewidth": 1.0, "label": "published (no echo train)"},
    "primary": {"color": "tab:orange", "linewidth": 2.6, "label": "primary"},
    "full": {"color": "tab:blue", "linewidth": 0.9, "label": "full"},
}
"""From the back to the front: primary and full mostly lie upon each other, and both must be seen."""
_COLOUR = "#ffd54f"


def scanline(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    index: int | None = None,
    *,
    settings: RenderSettings = DEFAULT_SETTINGS,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw what one scanline meets and what becomes of it, panel under panel over one depth axis in mm.

    Impedance, reflection coefficients, echoes by model of propagation, what absorption takes both ways, what
    the interfaces let through both ways, envelope, and displayed value. `scanline_curves` has the numbers.

    Args:
        medium: what the wave travels through.
        probe: whose scanline.
        world_from_probe: one pose.
        index: of the scanline, counted from the end when negative; by default the middle one.
        settings: how envelope and displayed values are computed.
        axes: one for each of `PANELS`; by default on a new figure, beside the image with the scanline in it.

    Raises:
        ValueError: for several poses, a scanline that the probe has not, another number of axes, and as
            `diffus.render`.
    """
    curves = scanline_curves(medium, probe, world_from_probe, index, settings)
    if axes is None:
        figure = Figure(figsize=(13.5, 10.5), layout="constrained")
        columns = figure.add_gridspec(len(PANELS), 2, width_ratios=(1.0, 1.25))
        with torch.no_grad():
            frame = render(medium, probe, world_from_probe, settings)
        _draw_image(figure.add_subplot(columns[:, 0]), frame, curves.index)
        axes = [figure.add_subplot(columns[row, 1]) for row in range(len(PANELS))]
    require_shape("axes", (len(axes),), f"({len(PANELS)},)", len(axes) == len(PANELS))
    by_name: dict[str, Axes] = dict(zip(PANELS, axes, strict=True))
    _draw_tissue(by_name, curves)
    _draw_echoes(by_name["echoes"], curves)
    _draw_image_values(by_name, curves, settings)
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.set_xlim(0, number(probe.depth_mm))
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    axes[-1].set_xlabel("depth along the scanline (mm)")
    axes[0].set_title(f"scanline {curves.index} (of 0 to {probe.n_scanlines - 1})")
    figure = axes[0].get_figure(root=True)
    assert isinstance(figure, Figure)
    figure.align_ylabels(axes)
    return figure


def _draw_image(ax: Axes, frame: Frame, index: int) -> None:
    bmode(frame, ax=ax, decibel_bar=False)
    ax.set_anchor("N")
    lines = frame.probe.scanlines()
    start = lines.origins_mm[index].detach()
    end = start + number(frame.probe.depth_mm) * lines.directions[index].detach()
    ax.plot([start[0], end[0]], [start[2], end[2]], color=_COLOUR, linewidth=1.2)


def _draw_tissue(axes: dict[str, Axes], curves: ScanlineCurves) -> None:
    """What the medium says: impedance, reflection, absorption, transmission."""
    depths = curves.depths_mm.numpy()
    axes["impedance"].plot(curves.node_depths_mm.numpy(), curves.impedance.numpy(), color="black")
    axes["impedance"].set_ylabel("impedance\n(MRayl)")
    axes["reflection"].vlines(depths, 0, curves.reflection.numpy(), color="tab:red", linewidth=0.9)
    axes["reflection"].axhline(0, color="0.4", linewidth=0.6)
    axes["reflection"].set_ylabel("reflection\ncoefficient")
    axes["attenuation"].plot(depths, curves.attenuation_db.numpy(), color="tab:purple")
    axes["attenuation"].set_ylabel("absorbed, there\nand back (dB)")
    axes["attenuation"].invert_yaxis()
    axes["transmission"].plot(depths, 100 * curves.transmission.numpy(), color="tab:green")
    axes["transmission"].set_ylabel("let through, there\nand back (%)")
    for name in ("impedance", "transmission"):
        axes[name].ticklabel_format(axis="y", useOffset=False)


def _draw_echoes(ax: Axes, curves: ScanlineCurves) -> None:
    depths = curves.depths_mm.numpy()
    for model, style in _MODEL_STYLES.items():
        level = curves.echoes_db(model).numpy()
        ax.plot(depths, np.where(level < LEAST_DB, np.nan, level), **style)
    ax.set_ylabel("echoes (dB of a\nperfect reflector)")
    ax.legend(ncols=3, fontsize="x-small", loc="upper right", framealpha=0.9)


def _draw_image_values(axes: dict[str, Axes], curves: ScanlineCurves, settings: RenderSettings) -> None:
    depths = curves.depths_mm.numpy()
    axes["envelope"].plot(depths, curves.envelope_db().numpy(), color="tab:blue")
    axes["envelope"].set_ylabel("envelope (dB of a\nperfect reflector)")
    if settings.noise_db is not None:
        noise = number(settings.noise_db)
        axes["envelope"].axhline(noise, color="0.5", linewidth=0.8, linestyle="--", label="noise")
        axes["envelope"].legend(fontsize="x-small", loc="upper right")
    axes["displayed"].plot(depths, curves.displayed.numpy(), color="black")
    axes["displayed"].fill_between(depths, curves.displayed.numpy(), color="0.8")
    axes["displayed"].set(ylabel="displayed\n(0 black, 1 white)", ylim=(0, 1))
