"""A volume in the image plane of the probe, with the field of view drawn on it."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus import pose
from diffus.frame import Frame
from diffus.plot.bmode import bmode
from diffus.plot.figures import new_axes
from diffus.probe import Probe
from diffus.volume import Volume

_AXES = ("LR", "PA", "IS")


def fan_slice(
    volume: Volume,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    ax: Axes | None = None,
    *,
    margin_mm: float = 20.0,
    spacing_mm: float = 0.5,
    outline: bool = True,
    title: str = "slice in the image plane",
    colour: str = "#ffd54f",
) -> Axes:
    """Draw the volume in the plane of the scanlines, in the probe's own frame.

    Letters at the edges say where left, right, anterior, posterior, superior and inferior lie.

    Args:
        volume: what to cut.
        probe: whose field of view.
        world_from_probe: its pose.
        ax: where; by default on a new figure.
        margin_mm: tissue shown around the field of view.
        spacing_mm: side of a pixel.
        outline: whether to draw the field of view.
        title: of the axes.
        colour: of the outline and the letters.
    """
    ax = ax or new_axes()
    left, right, top, bottom = probe.plane_bounds_mm()
    edges = (left - margin_mm, right + margin_mm, top - margin_mm, bottom + margin_mm)
    x = torch.arange(edges[0] + spacing_mm / 2, edges[1], spacing_mm, dtype=torch.float64)
    z = torch.arange(edges[2] + spacing_mm / 2, edges[3], spacing_mm, dtype=torch.float64)
    grid_z, grid_x = torch.meshgrid(z, x, indexing="ij")
    points = torch.stack([grid_x, torch.zeros_like(grid_x), grid_z], dim=-1)
    world = pose.transform_points(world_from_probe.detach().cpu(), points.reshape(-1, 3)).reshape(
        points.shape
    )
    image = volume.sample(world.float())
    low, high = _window(volume)
    extent = (edges[0], edges[1], edges[3], edges[2])
    ax.imshow(image.numpy(), extent=extent, cmap="gray", vmin=low, vmax=high)
    if outline:
        border = probe.outline_mm()
        ax.plot(border[:, 0], border[:, 1], color=colour, linewidth=1.2)
    ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)", title=title)
    _draw_letters(ax, world_from_probe, colour)
    return ax


def side_by_side(volume: Volume, frame: Frame, *, spacing_mm: float | None = None) -> Figure:
    """The volume in the image plane beside the B-mode image, on the same scale.

    Args:
        volume: what to cut, mostly the MRI.
        frame: its first image is drawn.
        spacing_mm: side of a pixel of the B-mode image.
    """
    figure = Figure(figsize=(11.5, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    fan_slice(volume, frame.probe, frame.world_from_probe[0], ax=left)
    bmode(frame, ax=right, spacing_mm=spacing_mm)
    return figure


def _window(volume: Volume) -> tuple[float | None, float | None]:
    """Grey levels from the first to the 99.5th percentile of what is not background."""
    values = volume.data.flatten()
    values = values[:: max(1, values.numel() // 200_000)].float()
    inside = values[values > values.min()]
    if inside.numel() == 0:
        return None, None
    low, high = torch.quantile(inside, torch.tensor([0.01, 0.995])).tolist()
    return min(low, 0.0), high


def _draw_letters(ax: Axes, world_from_probe: Float64[Tensor, "4 4"], colour: str) -> None:
    x, z = world_from_probe[:3, 0].tolist(), world_from_probe[:3, 2].tolist()
    places = {
        (0.99, 0.5): (x, "right", "center"),
        (0.01, 0.5): ([-v for v in x], "left", "center"),
        (0.5, 0.01): (z, "center", "bottom"),
        (0.5, 0.99): ([-v for v in z], "center", "top"),
    }
    for (across, up), (direction, horizontal, vertical) in places.items():
        ax.text(
            across,
            up,
            _letters(direction),
            transform=ax.transAxes,
            ha=horizontal,
            va=vertical,
            color=colour,
            fontweight="bold",
        )


def _letters(direction: list[float]) -> str:
    """Anatomical letters of a world direction, the largest component first, small ones left out."""
    order = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(_AXES[axis][direction[axis] > 0] for axis in order if abs(direction[axis]) > 0.35)
