"""Slices of a volume: anatomical planes and the image plane of the probe, with the field of view on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus import pose
from diffus.frame import Frame
from diffus.plot.bmode import bmode
from diffus.plot.fan import FAN_COLOUR, draw_fan
from diffus.plot.figures import new_axes
from diffus.plot.levels import draw_letters, grey_levels
from diffus.plot.pictures import OUTSIDE
from diffus.plot.plane import Plane, point_in, single_pose, world_bounds_mm
from diffus.probe import Probe
from diffus.scalars import number
from diffus.volume import Volume

ORIENTATIONS = ("axial", "coronal", "sagittal")


def volume_slice(
    volume: Volume,
    plane: Plane,
    ax: Axes | None = None,
    *,
    levels: tuple[float, float] | None = None,
    title: str | None = None,
    colour: str = FAN_COLOUR,
    **image_options: Any,
) -> Axes:
    """Draw a volume in any plane, axes in mm, with letters that say where the edges lie in the body.

    The plane is sampled, whatever way the voxels are turned; the volume is not copied.

    Args:
        volume: what to cut.
        plane: where.
        ax: where to draw; by default on a new figure.
        levels: values of black and white; by default `grey_levels` of the volume.
        title: by default the name of the plane.
        colour: of the letters.
        **image_options: passed on to ``imshow``.

    Raises:
        ValueError: when the plane does not meet the volume.
    """
    values = plane.sample(volume).numpy()
    if not np.isfinite(values).any():
        middle = ", ".join(f"{v:.0f}" for v in volume.centre_mm.tolist())
        raise ValueError(
            f"the plane ({plane.name}) does not meet {volume!r}, whose middle lies at ({middle}) mm: "
            "give a pose or a point inside the volume"
        )
    ax = ax or new_axes(6.5, min(max(6.0 * plane.aspect + 0.7, 4.5), 9.0))
    low, high = levels or grey_levels(volume)
    options = {"cmap": "gray", "vmin": low, "vmax": high} | image_options
    ax.imshow(np.ma.masked_invalid(values), extent=plane.extent_mm, **options)
    ax.set_facecolor(OUTSIDE)
    ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1], title=plane.name if title is None else title)
    draw_letters(plane, ax, colour)
    return ax


def fan_slice(
    volume: Volume,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    ax: Axes | None = None,
    *,
    margin_mm: float = 20.0,
    spacing_mm: float = 0.5,
    outline: bool = True,
    levels: tuple[float, float] | None = None,
    title: str = "slice in the image plane",
    colour: str = FAN_COLOUR,
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
        levels: values of black and white; by default `grey_levels` of the volume.
        title: of the axes.
        colour: of the outline and the letters.

    Raises:
        ValueError: for a pose that is not a rigid (4, 4), or a plane that does not meet the volume.
    """
    plane = Plane.of_fan(probe, world_from_probe, margin_mm, spacing_mm)
    ax = volume_slice(volume, plane, ax, levels=levels, title=title, colour=colour)
    if outline:
        border = probe.outline_mm()
        ax.plot(border[:, 0], border[:, 1], color=colour, linewidth=1.2)
    return ax


def orthogonal_slice(
    volume: Volume,
    orientation: str,
    point_mm: Any = None,
    ax: Axes | None = None,
    *,
    probe: Probe | None = None,
    world_from_probe: Float64[Tensor, "4 4"] | None = None,
    convention: str = "radiological",
    crosshair: bool = True,
    levels: tuple[float, float] | None = None,
    spacing_mm: float | None = None,
    title: str | None = None,
) -> Axes:
    """Draw an axial, coronal or sagittal slice; its axes are world RAS mm.

    In the radiological convention, 3D Slicer's default, axial and coronal slices have the patient's right on
    the left, and sagittal ones the face; in the neurological convention both are on the right.

    Args:
        volume: what to cut.
        orientation: axial, coronal or sagittal.
        point_mm: world point in the plane; by default the middle of the field of view, or of the volume
            where there is no probe.
        ax: where; by default on a new figure.
        probe: draws its field of view: solid where it crosses the plane, dashed its projection.
        world_from_probe: pose of the probe.
        convention: radiological or neurological.
        crosshair: whether to mark the point.
        levels: values of black and white; by default `grey_levels` of the volume.
        spacing_mm: side of a pixel; by default the smallest spacing of the volume.
        title: by default the orientation and where the plane lies.

    Raises:
        ValueError: for an unknown orientation or convention, a point outside the volume, or a probe without
            a pose.
    """
    at = _pose_of(probe, world_from_probe)
    point = _point(volume, point_mm, probe, at)
    plane = Plane.anatomical(orientation, point, volume, convention, spacing_mm)
    ax = volume_slice(volume, plane, ax, levels=levels, title=title)
    around = ax.get_xlim(), ax.get_ylim()
    if crosshair:
        _draw_crosshair(plane, point, ax)
    if probe is not None and at is not None:
        draw_fan(probe, at, plane, ax)
    ax.set(xlim=around[0], ylim=around[1])
    return ax


def orthogonal_slices(
    volume: Volume,
    point_mm: Any = None,
    *,
    probe: Probe | None = None,
    world_from_probe: Float64[Tensor, "4 4"] | None = None,
    convention: str = "radiological",
    crosshair: bool = True,
    levels: tuple[float, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Axial, coronal and sagittal slices through one point and, with a probe, the slice in its image plane.

    Args:
        volume: what to cut.
        point_mm: world point in all planes; by default the middle of the field of view, or of the volume
            where there is no probe.
        probe: draws its field of view on every slice.
        world_from_probe: pose of the probe.
        convention: radiological or neurological, see `orthogonal_slice`.
        crosshair: whether to mark the point.
        levels: values of black and white; by default `grey_levels` of the volume.
        title: of the figure; by default says which side is which.

    Raises:
        ValueError: as `orthogonal_slice`.
    """
    at = _pose_of(probe, world_from_probe)
    point = _point(volume, point_mm, probe, at)
    low_high = levels or grey_levels(volume)
    figure, axes = _three(volume) if probe is None else _four()
    for ax, orientation in zip(axes, ORIENTATIONS, strict=False):
        orthogonal_slice(
            volume, orientation, point, ax, probe=probe, world_from_probe=at, convention=convention,
            crosshair=crosshair, levels=low_high,
        )  # fmt: skip
    if probe is not None and at is not None:
        fan_slice(volume, probe, at, ax=axes[3], levels=low_high)
        x, _, z = pose.transform_points(pose.inverse(at), point[None])[0].tolist()
        if crosshair:
            axes[3].plot(x, z, "+", color="white", markersize=9, alpha=0.8)
        lines = {line.get_label(): line for ax in axes[:3] for line in ax.get_legend_handles_labels()[0]}
        figure.legend(
            handles=list(lines.values()),
            loc="outside lower center",
            ncols=2,
            facecolor="0.25",
            labelcolor="white",
        )
    side = "left" if convention == "radiological" else "right"
    figure.suptitle(
        f"{convention}: the patient's right is on the {side}" if title is None else title, fontweight="bold"
    )
    return figure


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


def _three(volume: Volume) -> tuple[Figure, list[Axes]]:
    """Panels in which a mm is as long in each."""
    low, high = world_bounds_mm(volume)
    right, anterior, superior = (b - a for a, b in zip(low, high, strict=True))
    widths = [right, right, anterior]
    height = 13.0 * max(anterior, superior) / sum(widths) + 1.2
    figure = Figure(figsize=(14.0, height), layout="compressed")
    return figure, list(figure.subplots(1, 3, width_ratios=widths))


def _four() -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(10.5, 10.5), layout="constrained")
    return figure, list(figure.subplots(2, 2).flat)


def _pose_of(
    probe: Probe | None, world_from_probe: Float64[Tensor, "4 4"] | None
) -> Float64[Tensor, "4 4"] | None:
    if (probe is None) != (world_from_probe is None):
        given, missing = ("a pose", "probe") if probe is None else ("a probe", "world_from_probe")
        raise ValueError(f"got {given} without its {missing}: give both, or neither")
    return None if world_from_probe is None else single_pose(world_from_probe)


def _point(
    volume: Volume, point_mm: Any, probe: Probe | None, world_from_probe: Float64[Tensor, "4 4"] | None
) -> Float64[Tensor, "3"]:
    if point_mm is not None:
        return point_in(volume, point_mm)
    if probe is None or world_from_probe is None:
        return volume.centre_mm
    down = world_from_probe[:3, 2] * (0.0 if probe.wraps else number(probe.depth_mm) / 2)
    return point_in(volume, world_from_probe[:3, 3] + down)


def _draw_crosshair(plane: Plane, point_mm: Float64[Tensor, "3"], ax: Axes) -> None:
    """Thin lines through the point, open in the middle so that they hide nothing there."""
    u, v, _ = plane.coordinates(point_mm[None])[0].tolist()
    left, right, bottom, top = plane.extent_mm
    gap = 0.03 * max(abs(right - left), abs(top - bottom))
    style = {"color": "#80d8ff", "linewidth": 0.7, "alpha": 0.8}
    for end, sign in ((left, -1), (right, 1)):
        ax.plot([u + sign * gap * (1 if right > left else -1), end], [v, v], **style)
    for end, sign in ((bottom, -1), (top, 1)):
        ax.plot([u, u], [v + sign * gap, end], **style)
