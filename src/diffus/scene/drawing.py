"""Drawing: parts of a scene, and how they are shown: picture, web page, notebook."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from torch import Tensor

from diffus.checks import require_one_of, require_positive
from diffus.extras import require_extra
from diffus.files import write_aside, write_text
from diffus.scene.camera import Camera, camera_for
from diffus.scene.html import page_of
from diffus.scene.offscreen import draw
from diffus.scene.overlay import write_over
from diffus.scene.parts import Colour, Label, Part

BACKGROUNDS: dict[str, Colour] = {
    "light": (0.965, 0.968, 0.972),
    "white": (1.0, 1.0, 1.0),
    "dark": (0.07, 0.08, 0.10),
}
"""Backgrounds by name."""
_LARGEST_PICTURE = 8192


class Drawing:
    """Parts in the world (RAS+, mm) and the ways to look at them; `diffus.scene.Scene` adds the parts.

    Args:
        background: light, white or dark.

    Raises:
        ValueError: for another background, or when pyvista is not installed.
    """

    def __init__(self, background: str = "light") -> None:
        require_one_of("background", background, BACKGROUNDS)
        require_extra("pyvista", "scene", "a 3D scene")
        self.background = BACKGROUNDS[background]
        self.parts: list[Part] = []
        self.world_from_probe: Float64[Tensor, "4 4"] | None = None
        """Pose of the first probe or frame that was added, by which views of the probe go."""
        self.middle_mm: Float64[np.ndarray, " 3"] | None = None
        """Middle of its field of view, about which pictures are enlarged."""

    def camera(
        self,
        view: str | Sequence[float] = "oblique",
        size: tuple[int, int] = (1200, 900),
        zoom: float = 1.0,
    ) -> Camera:
        """The camera of a view.

        Args:
            view: as in `screenshot`.
            size: of the picture.
            zoom: 1 shows everything in the scene; more enlarges the middle of the first field of view.

        Raises:
            ValueError: as `screenshot`.
        """
        require_positive("camera", zoom=zoom)
        if not self.parts:
            raise ValueError("the scene is empty: add a surface, a frame or a probe first")
        shown = [part.at_mm[None] if isinstance(part, Label) else part.points for part in self.parts]
        whole = camera_for(np.concatenate(shown), view, self.world_from_probe, size)
        if zoom == 1.0:
            return whole
        middle = whole.centre_mm if self.middle_mm is None else self.middle_mm
        return Camera(middle, whole.towards_eye, whole.up, whole.half_height_mm / zoom)

    def image(
        self,
        size: tuple[int, int] = (1200, 900),
        view: str | Sequence[float] | Camera = "oblique",
        zoom: float = 1.0,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The scene as an image; arguments and refusals are those of `screenshot`."""
        if len(size) != 2 or not all(isinstance(n, int) and 1 < n <= _LARGEST_PICTURE for n in size):
            raise ValueError(
                f"size must be a width and a height in pixels from 2 to {_LARGEST_PICTURE}, got {size}"
            )
        camera = view if isinstance(view, Camera) else self.camera(view, size, zoom)
        drawn = draw(self.parts, camera, size, self.background)
        return write_over(drawn, self.parts, camera, self.background)

    def screenshot(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int] = (1200, 900),
        view: str | Sequence[float] | Camera = "oblique",
        zoom: float = 1.0,
    ) -> Path:
        """Write the scene as a PNG, with its axes (right, anterior, superior), a scale bar and the legend.

        The projection is parallel: the scale bar holds everywhere.

        Args:
            path: ``.png`` file.
            size: width and height in pixels.
            view: where it is seen from: left, right, anterior, posterior, superior, inferior; ``probe`` from
                behind the probe; ``image`` square onto the B-mode image, as a scanner shows it; ``oblique``;
                a world direction from the scene to the eye; or a `Camera`.
            zoom: 1 shows everything; more enlarges the middle of the first field of view.

        Raises:
            ValueError: for an unknown view, an empty scene, another extension, or a place that cannot be
                written.
        """
        from PIL import Image

        _require_extension(path, ".png")
        picture = Image.fromarray(self.image(size, view, zoom))
        with write_aside(path) as temporary:
            picture.save(temporary)
        return Path(path)

    def html(self, title: str = "DiffUS scene") -> str:
        """The scene as one web page that needs nothing else, neither files nor a network."""
        return page_of(self.parts, self.camera(), self.world_from_probe, self.background, title)

    def save_html(self, path: str | os.PathLike[str], title: str = "DiffUS scene") -> Path:
        """Write the scene as a web page, to be turned, shifted and enlarged by mouse, touch or keys.

        The page needs a browser with WebGL 2, and no network.

        Args:
            path: ``.html`` file.
            title: of the page.

        Raises:
            ValueError: for an empty scene, another extension, or a place that cannot be written.
        """
        _require_extension(path, ".html")
        return write_text(path, self.html(title))

    def show(self) -> Path:
        """Open the scene in the browser, from a temporary file, whose path is returned."""
        folder = Path(tempfile.mkdtemp(prefix="diffus-scene-"))
        path = self.save_html(folder / "scene.html")
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self) -> str:
        from html import escape

        return f'<iframe srcdoc="{escape(self.html())}" width="100%" height="560" style="border:0"></iframe>'

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(part.name for part in self.parts if not isinstance(part, Label)))
        return f"{type(self).__name__}({names or 'empty'})"


def _require_extension(path: str | os.PathLike[str], extension: str) -> None:
    if Path(path).suffix.lower() != extension:
        raise ValueError(f"cannot write {path}: expected a file that ends in {extension}")
