"""The one folder that the viewer writes to: poses, frames and screenshots, each moved into place whole."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from diffus import pose
from diffus.checks import require_one_of
from diffus.files import read_json, write_aside
from diffus.viewer.requests import View
from diffus.viewer.scene import ViewerScene

FRAME_FORMATS = ("png", "npz", "nii.gz")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_SCREENSHOT_BYTES = 16 * 2**20
MOST_SCREENSHOT_SIDE = 8192
MOST_FILES = 10_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OutputFolder:
    """Writes under names of letters, digits, - and _ only, so that nothing leaves the folder.

    A name that is None is made from a number; any other is checked. What is there already is kept.

    Args:
        folder: made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._writing = threading.Lock()

    def save_pose(self, view: View, name: Any) -> Path:
        """Write a pose as `diffus render --pose` reads it."""
        with self._writing:
            return pose.save(view.world_from_probe, self._path("pose", name, ".json"))

    def save_frame(self, view: View, scene: ViewerScene, name: Any, extension: Any) -> Path:
        """Render and write a frame; see `Frame.save` for the formats."""
        require_one_of("format of a frame", extension, FRAME_FORMATS)
        frame = view.frame(scene)
        with self._writing:
            return frame.save(self._path("frame", name, f".{extension}"))

    def save_screenshot(self, image: bytes, name: Any) -> Path:
        """Write a PNG that the page made.

        Raises:
            ValueError: when it is not a whole PNG, or too large.
        """
        _require_png(image)
        with self._writing:
            path = self._path("screenshot", name, ".png")
            with write_aside(path) as temporary:
                temporary.write_bytes(image)
        return path

    def poses(self) -> list[dict[str, str]]:
        """The poses there are, by name."""
        found = sorted(path.stem for path in self.folder.glob("*.json") if _NAME.fullmatch(path.stem))
        return [{"name": name} for name in found if self._is_pose(name)]

    def read_pose(self, name: str) -> dict[str, Any]:
        """A pose file's content, checked.

        Raises:
            FileNotFoundError: when there is none of that name.
            ValueError: for a name that may not be, or another kind of file.
        """
        return pose.to_dict(pose.load(self.folder / f"{checked_name(name)}.json"))

    def _is_pose(self, name: str) -> bool:
        try:
            content = read_json(self.folder / f"{name}.json", "pose")
        except (ValueError, OSError):
            return False
        return isinstance(content, dict) and content.get("format") == pose.FILE_FORMAT

    def _path(self, kind: str, name: Any, extension: str) -> Path:
        if self.folder.is_dir() and sum(1 for _ in self.folder.iterdir()) >= MOST_FILES:
            raise ValueError(f"{self.folder} holds {MOST_FILES} files: clear it, or start with another --out")
        if name is not None:
            path = self.folder / f"{checked_name(name)}{extension}"
            if path.exists():
                raise ValueError(f"{path.name} is there already: choose another name")
            return path
        number = 1
        while (path := self.folder / f"{kind}_{number:03d}{extension}").exists():
            number += 1
        return path


def checked_name(name: Any) -> str:
    """A name that is safe as a file's.

    Raises:
        ValueError: for anything but 1 to 64 letters, digits, - and _.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name must be 1 to 64 letters, digits, - or _, got {name!r}")
    return name


def _require_png(image: bytes) -> None:
    if not image.startswith(PNG_SIGNATURE):
        raise ValueError("screenshot is not a PNG image: its signature is missing")
    if len(image) > MOST_SCREENSHOT_BYTES:
        raise ValueError(f"screenshot is larger than {MOST_SCREENSHOT_BYTES // 2**20} MB")
    try:
        with Image.open(io.BytesIO(image), formats=["PNG"]) as opened:
            if max(opened.size) > MOST_SCREENSHOT_SIDE:
                raise ValueError(
                    f"screenshot is {opened.size[0]} x {opened.size[1]} pixels, expected at most "
                    f"{MOST_SCREENSHOT_SIDE} a side"
                )
            opened.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"screenshot is not a whole PNG image: {error}") from error
