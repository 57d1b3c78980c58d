"""Masks and labels over a slice: translucent inside, sharp at the edge, with their names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation
from torch import Tensor

from diffus.checks import require_in_range
from diffus.frame import Frame
from diffus.labels import LabelTable
from diffus.plot.pictures import Picture, as_picture
from diffus.plot.plane import Plane
from diffus.volume import Volume

PALETTE = (
    "#e6550d", "#31a9e0", "#74c476", "#ffd92f", "#c994c7", "#e7298a",
    "#a6761d", "#66c2a5", "#8da0cb", "#fb8072", "#b3de69", "#bc80bd",
)  # fmt: skip
"""Colours of labels 1, 2, ..., that stand out on grey; more follow by the golden ratio of the hues."""

_GOLDEN = 0.618034
_OPAQUE = 0.75
_FEW = 6


def mask_overlay(
    mask: Volume,
    plane: Plane,
    ax: Axes,
    *,
    name: str = "mask",
    colour: str = PALETTE[0],
    alpha: float = 0.25,
) -> Axes:
    """Draw a mask over a slice: its inside translucent, its edge as a line, its name in the legend.

    The value of the nearest voxel is drawn, so that the edge is that of the voxels.

    Args:
        mask: non-zero inside; on any grid.
        plane: of the slice.
        ax: the axes of the slice.
        name: in the legend.
        colour: of the mask.
        alpha: opacity of the inside, in [0, 1].

    Raises:
        ValueError: for a mask that is zero everywhere.
    """
    if not bool(mask.data.any()):
        raise ValueError(f"the mask {name!r} is empty: all voxels of {mask!r} are zero")
    inside = (plane.sample_nearest(mask) != 0).int()
    return _draw(inside, {1: (name, colour)}, plane, ax, alpha)


def label_overlay(
    labels: Volume,
    plane: Plane,
    ax: Axes,
    *,
    names: Mapping[int, str] | LabelTable | None = None,
    colours: Mapping[int, str] | None = None,
    background: int = 0,
    alpha: float = 0.35,
) -> Axes:
    """Draw a label map over a slice, each label in its colour, with a legend of those that the slice shows.

    Args:
        labels: whole numbers; on any grid.
        plane: of the slice.
        ax: the axes of the slice.
        names: of the labels; of those without one the number is given.
        colours: of the labels; by default from `PALETTE`, the same in every plane.
        background: label that is not drawn.
        alpha: opacity of the inside, in [0, 1].

    Raises:
        ValueError: for values that are not whole numbers in the slice, or labels that are all background.
    """
    if bool((labels.data.amin() == background) & (labels.data.amax() == background)):
        raise ValueError(f"the label map is empty: all voxels of {labels!r} are background, {background}")
    seen = plane.sample_nearest(labels)
    if seen.is_floating_point() and bool((seen != seen.round()).any()):
        raise ValueError("the label map holds fractions, expected whole numbers: is this an image?")
    given = {label: row.name for label, row in names.rows.items()} if isinstance(names, LabelTable) else names
    looks = {}
    for label in sorted(int(value) for value in seen.unique().tolist() if value != background):
        colour = (colours or {}).get(label) or _colour_of(label)
        looks[label] = ((given or {}).get(label, f"label {label}").replace("_", " "), colour)
    return _draw(seen.int(), looks, plane, ax, alpha)


def bmode_overlay(
    shown: Frame | Picture, ax: Axes, *, colours: str = "hot", opacity: float = _OPAQUE
) -> Axes:
    """Lay a B-mode image over the slice in its image plane: the brighter, the less is seen through it.

    Args:
        shown: what to lay over; of a frame its first image.
        ax: the axes of a slice in the probe's own frame, as `fan_slice` draws it.
        colours: a colour map of matplotlib.
        opacity: of what is white, in [0, 1].

    Raises:
        ValueError: for an opacity outside [0, 1].
    """
    require_in_range("bmode_overlay", 0.0, 1.0, opacity=opacity)
    over = as_picture(shown)
    around = ax.get_xlim(), ax.get_ylim()
    grey = np.where(over.mask, over.values, 0.0).clip(0, 1)
    ax.imshow(grey, extent=over.extent_mm, cmap=colours, vmin=0, vmax=1, alpha=opacity * grey)
    ax.set(xlim=around[0], ylim=around[1])
    return ax


def _draw(
    seen: Shaped[Tensor, "H W"], looks: Mapping[int, tuple[str, str]], plane: Plane, ax: Axes, alpha: float
) -> Axes:
    require_in_range("overlay", 0.0, 1.0, alpha=alpha)
    around = ax.get_xlim(), ax.get_ylim()
    u, v = (axis.numpy() for axis in plane.centres_mm())
    paint = np.zeros((*seen.shape, 4), dtype=np.float32)
    # A border of background lets the edges of what is cut off by the slice close.
    border = torch.nn.functional.pad(seen, (1, 1, 1, 1)).numpy()
    wide_u, wide_v = (np.concatenate([[2 * a[0] - a[1]], a, [2 * a[-1] - a[-2]]]) for a in (u, v))
    for label, (_, colour) in looks.items():
        inside = (seen == label).numpy()
        paint[inside] = to_rgba(colour, alpha)
        if inside.any():
            ax.contour(
                wide_u, wide_v, (border == label).astype(np.float32), levels=[0.5], colors=[colour],
                linewidths=1.1,
            )  # fmt: skip
    ax.imshow(paint, extent=plane.extent_mm, interpolation="nearest")
    ax.set(xlim=around[0], ylim=around[1])
    _add_to_legend([Patch(edgecolor=c, facecolor=to_rgba(c, alpha), label=n) for n, c in looks.values()], ax)
    return ax


def _colour_of(label: int) -> str:
    """The same in every plane and every figure."""
    if 1 <= label <= len(PALETTE):
        return PALETTE[label - 1]
    hue, saturation = label * _GOLDEN % 1, (0.85, 0.55)[label % 2]
    red, green, blue = hsv_to_rgb((hue, saturation, (0.95, 0.75)[label // 2 % 2])).tolist()
    return to_hex((red, green, blue))


def _add_to_legend(patches: list[Patch], ax: Axes) -> None:
    """Outside, where it hides nothing, with what other overlays put there: few names beside, many below."""
    legend = ax.get_legend()
    before = [] if legend is None else [h for h in legend.legend_handles if isinstance(h, Patch)]
    handles = [*before, *patches]
    if not handles:
        return
    if len(handles) <= _FEW:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    else:
        below = ax.transAxes + ScaledTranslation(0, -0.55, _root(ax).dpi_scale_trans)
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0), "bbox_transform": below, "ncols": 3}
    ax.legend(handles=handles, frameon=False, fontsize="small", borderaxespad=0.0, **place)


def _root(ax: Axes) -> Figure:
    figure = ax.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure
