"""What the page asks for, taken from its messages and checked."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of
from diffus.frame import Frame
from diffus.probe import Probe
from diffus.settings import RenderSettings
from diffus.viewer.controls import turned
from diffus.viewer.scene import ViewerScene

KINDS = ("render", "register", "cancel")
_FIELDS = {
    "render": ("type", "id", "pose", "probe", "settings", "mri_from_ultrasound"),
    "register": ("type", "id", "pose", "probe", "settings", "mri_from_ultrasound"),
    "cancel": ("type", "id"),
}
_IDENTITY = torch.eye(4, dtype=torch.float64)


class MessageError(ValueError):
    """A message that is refused, with the number that it carried, if it could be read.

    Args:
        message: one clear line.
        id: of the message, or None.
    """

    def __init__(self, message: str, id: int | None = None) -> None:
        super().__init__(message)
        self.id = id


@dataclass(frozen=True, eq=False)
class View:
    """From where and how the page looks.

    Args:
        world_from_probe: pose of the probe.
        probe: with its controls as they are turned.
        settings: with theirs.
        mri_from_ultrasound: from the world of the real ultrasound to that of the MRI.
    """

    world_from_probe: Float64[Tensor, "4 4"]
    probe: Probe
    settings: RenderSettings
    mri_from_ultrasound: Float64[Tensor, "4 4"]

    @property
    def ultrasound_from_probe(self) -> Float64[Tensor, "4 4"]:
        """Where the probe stands in the world of the real ultrasound."""
        return pose.inverse(self.mri_from_ultrasound) @ self.world_from_probe

    def frame(self, scene: ViewerScene) -> Frame:
        """What is seen; raises as `render`."""
        return scene.frame_at(self.world_from_probe, self.probe, self.settings)


def read_message(text: str) -> dict[str, Any]:
    """A message as JSON, of a known kind and with known fields.

    Raises:
        MessageError: for anything else.
    """
    content = _json_object(text)
    number = content.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise MessageError(f"id must be a whole number, got {number!r}")
    try:
        require_one_of("type of message", content.get("type"), KINDS)
        for name in content:
            require_one_of(f"field of {content['type']}", name, _FIELDS[content["type"]])
    except ValueError as error:
        raise MessageError(str(error), number) from error
    return content


def view_of(content: dict[str, Any], scene: ViewerScene) -> View:
    """The pose and the controls of a message.

    Raises:
        ValueError: for a pose that is not rigid, a control there is not, or a value out of its range.
    """
    probe, settings = turned(scene.probe, scene.settings, content)
    moved = content.get("mri_from_ultrasound")
    return View(
        pose_of(content.get("pose"), "pose"),
        probe,
        settings,
        _IDENTITY if moved is None else pose_of(moved, "mri_from_ultrasound"),
    )


def pose_of(numbers: Any, name: str) -> Float64[Tensor, "4 4"]:
    """Sixteen numbers, row by row, as a pose.

    Raises:
        ValueError: when they are not sixteen finite numbers, or not rigid.
    """
    if not isinstance(numbers, list) or len(numbers) != 16:
        count = len(numbers) if isinstance(numbers, list) else type(numbers).__name__
        raise ValueError(f"{name}: expected sixteen numbers, a 4x4 row by row, got {count}")
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name}: expected finite numbers, got {value!r}")
    return pose.from_matrix(torch.tensor(numbers, dtype=torch.float64).reshape(4, 4))


def _json_object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"message is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise MessageError(f"message must be a JSON object, got {type(content).__name__}")
    return content
