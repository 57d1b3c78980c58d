"""Drawing the surfaces and pictures of a scene without a window, by VTK."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import UInt8

from diffus.extras import import_extra
from diffus.scene.camera import Camera
from diffus.scene.glass import glass_of
from diffus.scene.parts import Colour, Label, Mesh, Part, Picture

_WINDOW = "VTK_DEFAULT_OPENGL_WINDOW"
_LIGHTS = (((0.45, 0.7, 1.0), 0.75), ((0.0, 0.0, 1.0), 0.3))
"""Where the lights stand, as seen by the camera (right, up, towards the eye), and how bright they are."""
_LOOK = {"ambient": 0.28, "diffuse": 0.85, "specular": 0.12, "specular_power": 12.0}


def draw(
    parts: Sequence[Part], camera: Camera, size: tuple[int, int], background: Colour
) -> UInt8[np.ndarray, "H W 3"]:
    """What the camera sees, without words.

    Args:
        parts: of the scene.
        camera: where it is seen from.
        size: width and height in pixels.
        background: its colour.

    Raises:
        ValueError: when pyvista, which draws, is not installed, or there is neither a display nor EGL.
    """
    pyvista = import_extra("pyvista", "scene", "a 3D scene")
    with _no_display():
        plotter = pyvista.Plotter(off_screen=True, window_size=list(size), lighting="none")
        try:
            plotter.set_background(background)
            for position, intensity in _LIGHTS:
                light = {"light_type": "camera light", "position": position, "intensity": intensity}
                plotter.add_light(pyvista.Light(**light))
            for part in parts:
                if isinstance(part, Picture):
                    _add_picture(pyvista, plotter, part)
                elif isinstance(part, Mesh) and part.opacity >= 1:
                    _add_mesh(pyvista, plotter, part)
            _add_glass(pyvista, plotter, [part for part in parts if isinstance(part, Mesh)], camera)
            _aim(plotter, camera, parts)
            plotter.enable_anti_aliasing("ssaa")
            image = plotter.screenshot(return_img=True)
        finally:
            plotter.close()
    return np.ascontiguousarray(image[..., :3])


def _add_picture(pyvista: Any, plotter: Any, part: Picture) -> None:
    surface = pyvista.PolyData.from_regular_faces(part.points, part.triangles)
    # VTK counts the texture's second coordinate from below.
    surface.active_texture_coordinates = np.stack([part.places[:, 0], 1 - part.places[:, 1]], axis=1)
    image = part.image if part.image.ndim == 3 else np.repeat(part.image[..., None], 3, axis=2)
    texture = pyvista.Texture(np.ascontiguousarray(image))
    texture.interpolate = True
    texture.mipmap = True
    texture.repeat = False
    actor = plotter.add_mesh(surface, texture=texture, lighting=False, show_scalar_bar=False)
    if part.behind:
        mapper = actor.GetMapper()
        mapper.SetResolveCoincidentTopologyToPolygonOffset()
        mapper.SetRelativeCoincidentTopologyPolygonOffsetParameters(2.0, 4.0)


def _add_mesh(pyvista: Any, plotter: Any, part: Mesh) -> None:
    surface = pyvista.PolyData.from_regular_faces(part.points, part.triangles)
    surface.point_data.active_normals = part.normals()
    paint: dict[str, Any] = {"color": part.colour}
    if part.point_colours is not None:
        colours = (part.point_colours * 255).round().astype(np.uint8)
        paint = {"scalars": colours, "rgb": True, "show_scalar_bar": False}
    plotter.add_mesh(surface, smooth_shading=True, **paint, **_LOOK)


def _add_glass(pyvista: Any, plotter: Any, meshes: Sequence[Mesh], camera: Camera) -> None:
    glass = glass_of(meshes, camera)
    if glass is None:
        return
    surface = pyvista.PolyData.from_regular_faces(glass.points, glass.triangles)
    surface.point_data.active_normals = glass.normals
    colours = (glass.colours * 255).round().astype(np.uint8)
    actor = plotter.add_mesh(
        surface, scalars=colours, rgba=True, smooth_shading=True, show_scalar_bar=False, **_LOOK
    )
    actor.ForceTranslucentOn()
    # The triangles are sorted: they are to be drawn one over the other as they come.
    plotter.renderer.SetUseOIT(False)


def _aim(plotter: Any, camera: Camera, parts: Sequence[Part]) -> None:
    points = [part.points for part in parts if not isinstance(part, Label)]
    depths = np.concatenate(points) @ camera.towards_eye if points else np.zeros(1)
    reach = float(np.abs(depths - camera.centre_mm @ camera.towards_eye).max()) + 50.0
    plotter.enable_parallel_projection()
    view = plotter.camera
    view.position = tuple(camera.centre_mm + 2 * reach * camera.towards_eye)
    view.focal_point = tuple(camera.centre_mm)
    view.up = tuple(camera.up)
    view.parallel_scale = camera.half_height_mm
    view.clipping_range = (0.5 * reach, 3.5 * reach)


@contextmanager
def _no_display() -> Iterator[None]:
    """Let VTK draw through EGL where Linux has no display, before it complains that there is none."""
    alone = sys.platform.startswith("linux") and not os.environ.get("DISPLAY") and _WINDOW not in os.environ
    if alone:
        _require_egl()
        os.environ[_WINDOW] = "vtkEGLRenderWindow"
    try:
        yield
    finally:
        if alone:
            del os.environ[_WINDOW]


def _require_egl() -> None:
    """Refuse in words where VTK would end the process."""
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        raise ValueError(
            "a 3D scene is drawn without a display by EGL, which is not there: apt-get install libegl1 "
            "libgl1-mesa-dri (or the like), or draw where there is a display"
        ) from None
