"""Scenes in 3D: anatomy, probes, B-mode images and paths in world mm, as PNG and as a web page.

Needs the extra ``scene`` (pyvista). Pictures are drawn without a window; on Linux without a display VTK uses
EGL, in software where there is no GPU (Debian's packages libegl1 and libgl1-mesa-dri).
"""

from diffus.scene.camera import VIEWS, Camera
from diffus.scene.drawing import BACKGROUNDS
from diffus.scene.parts import Label, Mesh, Part, Picture
from diffus.scene.scene import Scene
from diffus.scene.shortcuts import of_frame, of_registration

__all__ = [
    "BACKGROUNDS",
    "VIEWS",
    "Camera",
    "Label",
    "Mesh",
    "Part",
    "Picture",
    "Scene",
    "of_frame",
    "of_registration",
]
