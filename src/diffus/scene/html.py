"""A scene as one web page: its parts as numbers and images inside it, and a small viewer in WebGL 2."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from diffus.scene.camera import VIEWS, Camera, camera_for
from diffus.scene.overlay import AXIS_COLOURS
from diffus.scene.parts import Colour, Label, Part, Picture

_SCRIPTS = ("viewer_parts.js", "viewer.js")
_SIZE = (1200, 900)
"""Shape of the window that the named views are made for; the viewer fits them to the one it has."""


def page_of(
    parts: Sequence[Part],
    camera: Camera,
    world_from_probe: Float64[Tensor, "4 4"] | None,
    background: Colour,
    title: str,
) -> str:
    """The page.

    Args:
        parts: of the scene.
        camera: what it first shows.
        world_from_probe: pose that the views of the probe go by.
        background: colour behind the scene.
        title: of the page.
    """
    # Numbers count from the middle of the scene, where single precision is finest.
    centre = camera.centre_mm
    content = {
        "parts": [_part(part, centre) for part in parts],
        "views": _views(parts, world_from_probe, centre),
        "first": _view(camera, centre),
        "axes": AXIS_COLOURS,
        "background": background,
    }
    folder = resources.files("diffus.scene")
    page = (folder / "viewer.html").read_text(encoding="utf-8")
    script = "".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    # "</script" inside the data would end it.
    data = json.dumps(content).replace("</", "<\\/")
    ink = "#1a1a1f" if sum(background) > 1.5 else "#ededf2"
    values = {
        "TITLE": escape(title),
        "BACKGROUND": "rgb({})".format(",".join(str(round(255 * value)) for value in background)),
        "INK": ink,
        "SCENE": data,
        "SCRIPT": script,
    }
    for name, value in values.items():
        page = page.replace("{{" + name + "}}", value)
    return page


def _views(
    parts: Sequence[Part], world_from_probe: Tensor | None, centre: Float64[np.ndarray, " 3"]
) -> dict[str, Any]:
    points = np.concatenate([part.points for part in parts if not isinstance(part, Label)])
    names = VIEWS if world_from_probe is not None else [v for v in VIEWS if v not in ("probe", "image")]
    return {name: _view(camera_for(points, name, world_from_probe, _SIZE), centre) for name in names}


def _view(camera: Camera, centre: Float64[np.ndarray, " 3"]) -> dict[str, Any]:
    return {
        "centre": (camera.centre_mm - centre).tolist(),
        "eye": camera.towards_eye.tolist(),
        "up": camera.up.tolist(),
        "half": camera.half_height_mm,
    }


def _part(part: Part, centre: Float64[np.ndarray, " 3"]) -> dict[str, Any]:
    if isinstance(part, Label):
        return {
            "kind": "label",
            "name": part.name,
            "at": (part.at_mm - centre).tolist(),
            "colour": part.colour,
        }
    content: dict[str, Any] = {
        "name": part.name,
        "points": _packed((part.points - centre).astype("<f4")),
        "triangles": _packed(part.triangles.astype("<u4")),
    }
    if isinstance(part, Picture):
        image = _png(part.image)
        return content | {
            "kind": "picture",
            "places": _packed(part.places.astype("<f4")),
            "image": image,
            "behind": part.behind,
        }
    content |= {"kind": "mesh", "colour": part.colour, "opacity": part.opacity, "listed": part.listed}
    content["normals"] = _packed((part.normals() * 32767).round().astype("<i2"))
    if part.point_colours is not None:
        content["colours"] = _packed((part.point_colours * 255).round().astype("u1"))
    return content


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def _png(image: np.ndarray) -> str:
    from PIL import Image

    memory = io.BytesIO()
    Image.fromarray(image).save(memory, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode("ascii")
