"""The landscape of a registration: similarity along each degree of freedom, and over two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.checks import require_shape
from diffus.plot.figures import new_axes
from diffus.registration.landscape import DEGREES_OF_FREEDOM, Landscape, LandscapePlane

_GIVEN, _BEST, _PATH = "tab:red", "tab:blue", "white"


def landscape(
    curves: Landscape, axes: Sequence[Axes] | None = None, *, score_name: str = "similarity"
) -> Figure:
    """Draw the score along each degree of freedom, axes in degrees or mm, with a mark at the given pose.

    Args:
        curves: from `diffus.registration.landscape.landscape`.
        axes: one for each degree of freedom; by default on a new figure, in rows of three.
        score_name: what the score is.

    Raises:
        ValueError: for another number of axes.
    """
    if axes is None:
        axes = _new_panels(len(curves.names))
    expected = f"({len(curves.names)},), one for each degree of freedom"
    require_shape("axes", (len(axes),), expected, len(axes) == len(curves.names))
    for number, (ax, name) in enumerate(zip(axes, curves.names, strict=True)):
        offsets, scores = curves.offsets[number].numpy(), curves.scores[number].numpy()
        ax.axvline(0, color=_GIVEN, linewidth=1.0, linestyle="--", label="given pose")
        ax.plot(offsets, scores, color="black", linewidth=1.4)
        best = curves.best(name)
        if np.isfinite(best):
            ax.plot(best, np.nanmax(scores), "o", color=_BEST, label="best")
            ax.set_title(f"best at {best:+.1f} {_unit(name)}", fontsize="small")
        _shade_unseen(ax, offsets, scores)
        ax.set_xlabel(_label(name))
        ax.grid(alpha=0.3)
    for ax in axes[::3]:
        ax.set_ylabel(score_name)
    axes[0].legend(fontsize="small", loc="best", framealpha=0.7)
    figure = axes[0].get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def landscape_plane(
    plane: LandscapePlane,
    ax: Axes | None = None,
    *,
    path: Float64[Tensor, "T 4 4"] | None = None,
    score_name: str = "similarity",
    **contour_options: Any,
) -> Axes:
    """Draw the score over two degrees of freedom as filled contours, axes in degrees or mm.

    Args:
        plane: from `diffus.registration.landscape.landscape_plane`.
        ax: where; by default on a new figure.
        path: poses on the way of a descent, as ``result.trajectory``, drawn as their two offsets are.
        score_name: what the score is.
        **contour_options: passed on to ``contourf``.
    """
    ax = ax or new_axes()
    first, second, scores = plane.first.numpy(), plane.second.numpy(), plane.scores.numpy()
    if np.isfinite(scores).any():
        options = {"levels": 24, "cmap": "viridis"} | contour_options
        drawn = ax.contourf(first, second, np.ma.masked_invalid(scores).T, **options)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.85, label=score_name)
    ax.set_facecolor("0.85")
    ax.plot(0, 0, "*", color=_GIVEN, markersize=13, markeredgecolor="white", label="given pose")
    best = plane.best()
    if np.isfinite(best[0]):
        label = f"best, {best[0]:+.1f} {_unit(plane.names[0])}, {best[1]:+.1f} {_unit(plane.names[1])}"
        ax.plot(*best, "o", color=_BEST, markeredgecolor="white", label=label)
    if path is not None:
        _draw_path(ax, plane.place(path).numpy())
    ax.set(xlabel=_label(plane.names[0]), ylabel=_label(plane.names[1]))
    ax.set(xlim=(first[0], first[-1]), ylim=(second[0], second[-1]))
    if _unit(plane.names[0]) == _unit(plane.names[1]):
        ax.set_aspect("equal")
    ax.legend(fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.01), ncols=3, facecolor="0.75")
    return ax


def _new_panels(count: int) -> list[Axes]:
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten().tolist()
    for spare in axes[count:]:
        spare.remove()
    return axes[:count]


def _shade_unseen(ax: Axes, offsets: np.ndarray, scores: np.ndarray) -> None:
    """Grey where less than a tenth of the sector sees the volume."""
    unseen = np.isnan(scores)
    if unseen.any():
        where = ax.get_xaxis_transform()
        ax.fill_between(offsets, 0, 1, where=unseen, transform=where, color="0.85", label="out of view")


def _draw_path(ax: Axes, places: np.ndarray) -> None:
    ax.plot(places[:, 0], places[:, 1], color=_PATH, linewidth=1.4, marker=".", label="descent")
    ax.plot(*places[0], "s", color=_PATH, markersize=7, markeredgecolor="black", label="its start")
    ax.plot(*places[-1], "D", color=_PATH, markersize=7, markeredgecolor="black", label="its end")


def _label(name: str) -> str:
    return f"{DEGREES_OF_FREEDOM[name]} ({_unit(name)})"


def _unit(name: str) -> str:
    return name.rsplit("_", 1)[1]
