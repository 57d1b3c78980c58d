"""Parts that mark places: the probe, the outline of its field of view, paths of poses, landmarks."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from matplotlib import colormaps
from torch import Tensor

from diffus import pose
from diffus.probe import Probe, RadialProbe
from diffus.scalars import number
from diffus.scene.parts import Colour, Label, Mesh
from diffus.scene.planes import sector_points
from diffus.scene.probe_body import face, housing, marker
from diffus.scene.shapes import arrow, ball, joined, tube

PROBE_COLOUR: Colour = (0.93, 0.53, 0.05)
"""Of outline and beam axis, unless another is given."""

_HOUSING: Colour = (0.80, 0.82, 0.85)
_LENS: Colour = (0.24, 0.26, 0.30)
_MARKER: Colour = (0.10, 0.62, 0.32)
_LINE_SHARE = 0.006
_LEAST_LINE_MM = 0.35
_BEYOND = 1.08


def probe_parts(probe: Probe, world_from_probe: Float64[Tensor, "4 4"]) -> list[Mesh]:
    """Housing, face and orientation marker."""
    pieces = {
        "probe": (housing(probe), _HOUSING),
        "face": (face(probe), _LENS),
        "marker (first scanline)": (marker(probe), _MARKER),
    }
    return [
        Mesh(name, _moved(shape.points, world_from_probe), shape.triangles, colour, listed=name[0] == "m")
        for name, (shape, colour) in pieces.items()
    ]


def outline_parts(
    probe: Probe, world_from_probe: Float64[Tensor, "4 4"], colour: Colour, name: str | None
) -> list[Mesh]:
    """The border of the field of view and, unless it looks all round, the beam axis beyond it."""
    starts, ends = sector_points(probe)
    depth = number(probe.depth_mm)
    radius = max(_LEAST_LINE_MM, _LINE_SHARE * depth)
    if isinstance(probe, RadialProbe):
        lines = [starts, ends]
    else:
        lines = [np.concatenate([starts, ends[::-1], starts[:1]])]
    shapes = [tube(_moved(line, world_from_probe), radius) for line in lines]
    parts = [Mesh(name or "field of view", *joined(shapes), colour, listed=name is not None)]
    if not isinstance(probe, RadialProbe):
        middle = probe.scanlines()
        half = torch.tensor([(probe.n_scanlines - 1) // 2, probe.n_scanlines // 2])
        start, direction = (values[half].mean(dim=0).detach().numpy() for values in middle)
        axis = _moved(np.stack([start, start + _BEYOND * depth * direction]), world_from_probe)
        parts.append(Mesh("beam axis", *arrow(axis[0], axis[1], 0.5 * radius, 0.06 * depth), colour))
    return parts


def path_parts(
    poses: Float64[np.ndarray, "B 4 4"],
    beam_mm: float,
    radius_mm: float,
    most_arrows: int,
    labels: tuple[str, str] | None,
) -> list[Mesh | Label]:
    """A tube through the origins of the poses and arrows along their beams, coloured by order."""
    origins, beams = poses[:, :3, 3], poses[:, :3, 2]
    shades = colormaps["plasma"](np.linspace(0.0, 0.86, len(poses)))[:, :3]
    parts: list[Mesh | Label] = []
    length = float(np.linalg.norm(np.diff(origins, axis=0), axis=1).sum())
    if length > 1e-6:
        path = tube(origins, radius_mm)
        # Each corner takes the colour of the pose that it is nearest to.
        nearest = np.array([((origins - point) ** 2).sum(axis=1).argmin() for point in path.points])
        parts.append(Mesh("path", *path, _colour(shades[-1]), point_colours=shades[nearest]))
    for index in np.unique(np.linspace(0, len(poses) - 1, min(len(poses), most_arrows)).round().astype(int)):
        shape = arrow(
            origins[index], origins[index] + beam_mm * beams[index], 0.6 * radius_mm, 0.35 * beam_mm
        )
        parts.append(Mesh(f"pose {index}", *shape, _colour(shades[index])))
        parts.append(Mesh(f"pose {index}", *ball(origins[index], 1.6 * radius_mm), _colour(shades[index])))
    if labels is not None:
        ends = {0: labels[0], len(poses) - 1: labels[1]}
        parts += [Label(text, origins[at], _colour(0.85 * shades[at])) for at, text in ends.items()]
    return parts


def middle_mm(probe: Probe, world_from_probe: Float64[Tensor, "4 4"]) -> Float64[np.ndarray, " 3"]:
    """Middle of the box around the field of view."""
    left, right, top, bottom = probe.plane_bounds_mm()
    middle = np.array([[(left + right) / 2, 0.0, (top + bottom) / 2]])
    return _moved(middle, world_from_probe)[0]


def balls(points: Float64[np.ndarray, "L 3"], radius_mm: float, colour: Colour, name: str) -> Mesh:
    """A ball at every point."""
    return Mesh(name, *joined([ball(point, radius_mm) for point in points]), colour, listed=True)


def _moved(
    points: Float64[np.ndarray, "P 3"], world_from_probe: Float64[Tensor, "4 4"]
) -> Float64[np.ndarray, "P 3"]:
    return pose.transform_points(world_from_probe, torch.from_numpy(np.ascontiguousarray(points))).numpy()


def _colour(values: Float64[np.ndarray, " 3"]) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
