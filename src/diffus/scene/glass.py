"""Translucent surfaces as glass: clear where they face the eye, denser towards their rims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int

from diffus.scene.camera import Camera
from diffus.scene.parts import Mesh
from diffus.scene.shapes import Shape, joined

FACING = 0.45
"""Share of its opacity that a surface keeps where it faces the eye, so that what lies behind is legible."""
RIM_POWER = 2.5
"""How narrow the rim is: exponent of 1 - cos, which is 5 in Schlick's law of reflection on glass (Computer
Graphics Forum 13, 1994) and less here, for a rim that is seen."""


class Glass(NamedTuple):
    """Translucent triangles from back to front, with colour and opacity at the corners."""

    points: Float64[np.ndarray, "P 3"]
    triangles: Int[np.ndarray, "T 3"]
    normals: Float64[np.ndarray, "P 3"]
    colours: Float64[np.ndarray, "P 4"]


def rim_opacity(
    normals: Float64[np.ndarray, "P 3"], towards_eye: Float64[np.ndarray, " 3"], opacity: float
) -> Float64[np.ndarray, " P"]:
    """Opacity at corners with these normals: ``opacity`` at the rim, less where they face the eye."""
    facing = np.abs(normals @ towards_eye)
    return opacity * (FACING + (1 - FACING) * (1 - facing) ** RIM_POWER)


def glass_of(meshes: Sequence[Mesh], camera: Camera) -> Glass | None:
    """All translucent meshes as one, as a camera sees them; None where there are none.

    Drawn in this order each triangle covers those behind it in part, on any graphics card and on none.
    """
    clear = [mesh for mesh in meshes if mesh.opacity < 1]
    if not clear:
        return None
    whole = joined([Shape(mesh.points, mesh.triangles) for mesh in clear])
    normals = np.concatenate([mesh.normals() for mesh in clear])
    colours = []
    for mesh in clear:
        own = (
            mesh.point_colours
            if mesh.point_colours is not None
            else np.tile(mesh.colour, (len(mesh.points), 1))
        )
        alpha = rim_opacity(mesh.normals(), camera.towards_eye, mesh.opacity)
        colours.append(np.concatenate([own, alpha[:, None]], axis=1))
    depth = (whole.points @ camera.towards_eye)[whole.triangles].sum(axis=1)
    order = np.argsort(depth, kind="stable")
    return Glass(whole.points, whole.triangles[order], normals, np.concatenate(colours))
