"""Maps of a medium in a plane: impedance, attenuation and backscatter, each with its unit."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.checks import require_one_of
from diffus.medium import Medium
from diffus.mixing import CHANNELS
from diffus.plot.fan import draw_fan
from diffus.plot.figures import new_axes, new_panels
from diffus.plot.levels import draw_letters
from diffus.plot.plane import Plane
from diffus.probe import Probe

_SPAN_DB = 50.0
"""Of backscatter, down from the largest in the plane."""
_OUTSIDE = "#cfd8dc"
"""A colour of none of the maps, where there is no medium."""


class _Look(NamedTuple):
    unit: str
    colours: str


_LOOKS = {
    "impedance": _Look("MRayl", "viridis"),
    "attenuation": _Look("dB/cm/MHz", "magma"),
    "backscatter": _Look("dB re plane reflector", "gray"),
}


def tissue_map(
    medium: Medium,
    channel: str,
    plane: Plane,
    ax: Axes | None = None,
    *,
    probe: Probe | None = None,
    world_from_probe: Float64[Tensor, "4 4"] | None = None,
    limits: tuple[float, float] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw one map of a medium in a plane, with a bar in its unit.

    Impedance is drawn in MRayl, attenuation in dB/cm/MHz, backscatter in dB of the
    echo of a perfect plane reflector, black where there is none. Only
    the pixels are sampled.

    Args:
        medium: what to cut.
        channel: impedance, attenuation or backscatter.
        plane: where; see `Plane.of_fan` and `Plane.anatomical`.
        ax: where to draw; by default on a new figure.
        probe: draws its field of view.
        world_from_probe: pose of the probe.
        limits: values of both ends of the bar; by default the 0.5th and 99.5th percentile in the plane.
        title: by default the channel.

    Raises:
        ValueError: for an unknown channel, or a plane that does not meet the medium.
    """
    require_one_of("channel", channel, CHANNELS)
    values = plane.sample(medium.volume(channel)).numpy()
    if not np.isfinite(values).any():
        raise ValueError(
            f"the plane ({plane.name}) does not meet {medium!r}: give a pose or a point inside it"
        )
    if channel == "backscatter":
        values = _decibel(values)
    ax = ax or new_axes()
    low, high = limits or _limits(values, channel)
    look = _LOOKS[channel]
    drawn = ax.imshow(
        np.ma.masked_invalid(values), extent=plane.extent_mm, cmap=look.colours, vmin=low, vmax=high
    )
    ax.set_facecolor(_OUTSIDE)
    below, above = np.nanmin(values) < low, np.nanmax(values) > high
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.8, extend=beyond[bool(below), bool(above)])
    bar.set_label(look.unit)
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1], title=channel if title is None else title)
    around = ax.get_xlim(), ax.get_ylim()
    if probe is not None and world_from_probe is not None:
        draw_fan(probe, world_from_probe, plane, ax, colour="white")
    draw_letters(plane, ax, "white")
    ax.set(xlim=around[0], ylim=around[1])
    return ax


def tissue_maps(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    plane: Plane | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """The three maps side by side, in the image plane of the probe or in any other, with the field of view.

    Args:
        medium: what to cut.
        probe: whose field of view is drawn.
        world_from_probe: its pose.
        plane: where; by default the image plane, with 5 mm around the field of view.
        title: of the figure; by default the name of the plane.

    Raises:
        ValueError: for a pose that is not a rigid (4, 4), or a plane that does not meet the medium.
    """
    cut = Plane.of_fan(probe, world_from_probe, margin_mm=5.0) if plane is None else plane
    figure, axes = new_panels(1, len(CHANNELS), 0.8 * cut.aspect, 5.0)  # the bars take a fifth of the width
    for ax, channel in zip(axes[0], CHANNELS, strict=True):
        tissue_map(medium, channel, cut, ax, probe=probe, world_from_probe=world_from_probe)
        ax.label_outer()
        ax.set_xlabel(cut.labels[0])
    figure.suptitle(cut.name if title is None else title, fontweight="bold")
    return figure


def _decibel(amplitude: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        decibel = 20 * np.log10(amplitude)
    return np.where(np.isneginf(decibel), -math.inf, decibel).clip(-240.0)  # NaN, outside, stays


def _limits(values: np.ndarray, channel: str) -> tuple[float, float]:
    low, high = (float(v) for v in np.nanquantile(values, [0.005, 0.995]))
    if channel == "backscatter":
        low = max(low, high - _SPAN_DB)
    return (low, high) if high > low else (low - 0.5, low + 0.5)
