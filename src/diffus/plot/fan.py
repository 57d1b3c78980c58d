"""The probe's field of view on any plane: where it crosses, and its outline seen along the normal."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from torch import Tensor

from diffus import pose
from diffus.plot.levels import OUTLINED
from diffus.plot.plane import Plane, single_pose
from diffus.probe import Probe

FAN_COLOUR = "#ffd54f"
_IN_PLANE_MM = 0.5
"""Distance from a plane up to which the whole field of view counts as lying in it."""
_STEP_MM = 0.05


def fan_outline_mm(
    probe: Probe, world_from_probe: Float64[Tensor, "4 4"], plane: Plane
) -> Float64[Tensor, "P 3"]:
    """Closed outline of the field of view: u, v and the distance from the plane of each point."""
    return plane.coordinates(_in_world(probe.outline_mm(), world_from_probe))


def fan_crossing_mm(
    probe: Probe, world_from_probe: Float64[Tensor, "4 4"], plane: Plane
) -> list[Float64[Tensor, "K 2"]]:
    """The pieces in which the field of view crosses a plane, as points (u, v) to be joined.

    Where the fan lies in the plane this is its outline; where the fan does not reach it, nothing. The ends
    are exact to a twentieth of a mm.

    Args:
        probe: whose field of view.
        world_from_probe: its pose.
        plane: what is crossed.
    """
    at = single_pose(world_from_probe)
    outline = fan_outline_mm(probe, at, plane)
    if float(outline[:, 2].abs().max()) < _IN_PLANE_MM:
        return [outline[:, :2]]
    # In the fan's own x and z, the plane is the line slope . (x, z) = offset.
    slope = at[:3, [0, 2]].T @ plane.normal
    offset = float((plane.world_from_plane[:3, 3] - at[:3, 3]) @ plane.normal)
    steepness = float(slope.norm())
    if steepness < 1e-9:
        return []
    across = slope / steepness
    along = torch.stack([-across[1], across[0]])
    corners = torch.tensor(probe.plane_bounds_mm(), dtype=torch.float64).reshape(2, 2)
    middle, reach = corners.mean(dim=1), float((corners[:, 1] - corners[:, 0]).norm()) / 2
    start = middle + (offset / steepness - float(across @ middle)) * across
    steps = torch.arange(-reach, reach + _STEP_MM, _STEP_MM, dtype=torch.float64)
    points = start + steps[:, None] * along
    inside = probe.field_of_view_mask(points[:, 0], points[:, 1])
    change = torch.diff(inside.int(), prepend=torch.zeros(1).int(), append=torch.zeros(1).int())
    firsts, lasts = (change == 1).nonzero()[:, 0], (change == -1).nonzero()[:, 0] - 1
    ends = [points[[first, last]] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)]
    return [plane.coordinates(_in_world(pair, at))[:, :2] for pair in ends]


def draw_fan(
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    plane: Plane,
    ax: Axes,
    *,
    colour: str = FAN_COLOUR,
) -> Axes:
    """Draw a field of view on a slice: solid where it crosses the plane, dashed its outline seen from above.

    A dot marks the middle of the transducer's face.

    Args:
        probe: whose field of view.
        world_from_probe: its pose.
        plane: of the slice.
        ax: the axes of the slice.
        colour: of the lines.
    """
    at = single_pose(world_from_probe)
    outline = fan_outline_mm(probe, at, plane)
    if float(outline[:, 2].abs().max()) >= _IN_PLANE_MM:
        ax.plot(
            outline[:, 0], outline[:, 1], color=colour, linewidth=1.1, linestyle=(0, (4, 2.5)), alpha=0.9,
            path_effects=OUTLINED, label="field of view, projected",
        )  # fmt: skip
    name = "field of view in this plane"
    for piece in fan_crossing_mm(probe, at, plane):
        ax.plot(piece[:, 0], piece[:, 1], color=colour, linewidth=1.8, path_effects=OUTLINED, label=name)
        name = "_"
    face = plane.coordinates(at[None, :3, 3])[0]
    ax.plot(face[0], face[1], "o", color=colour, markersize=4, markeredgecolor="black", markeredgewidth=0.6)
    return ax


def _in_world(
    points_mm: Float64[Tensor, "P 2"], world_from_probe: Float64[Tensor, "4 4"]
) -> Float64[Tensor, "P 3"]:
    x, z = points_mm.unbind(-1)
    return pose.transform_points(world_from_probe, torch.stack([x, torch.zeros_like(x), z], dim=-1))
