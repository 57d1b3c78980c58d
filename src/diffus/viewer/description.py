"""What the page is told once: the volume, the probe, where it stands, and what can be turned."""

from __future__ import annotations

from typing import Any

import torch

from diffus.viewer.controls import controls
from diffus.viewer.live import MESSAGES_PER_SECOND, MOST_CLIENTS, MOST_MESSAGE_BYTES
from diffus.viewer.pictures import outline
from diffus.viewer.saving import FRAME_FORMATS, MOST_SCREENSHOT_BYTES
from diffus.viewer.scene import ViewerScene
from diffus.viewer.shown_volume import ShownVolume
from diffus.volume import Volume


def described(scene: ViewerScene, shown: ShownVolume) -> dict[str, Any]:
    """The scene as plain values for JSON.

    Args:
        scene: what is shown.
        shown: its volume as the page draws it.
    """
    real = scene.ultrasound
    return {
        "volume": {
            "name": scene.name,
            "shape": list(scene.image.shape),
            "spacing_mm": list(scene.image.spacing_mm),
            "bounds_mm": _bounds_mm(scene.image),
            "shown": {"shape": list(shown.shape), "spacing_mm": list(shown.spacing_mm)},
        },
        "probe": scene.probe.to_dict(),
        "pose": scene.world_from_probe.flatten().tolist(),
        "outline_mm": outline(scene.probe),
        "settings": {
            name: control.to_dict() for name, control in controls(scene.probe, scene.settings).items()
        },
        "ultrasound": None if real is None else real.to_dict(),
        "can_register": real is not None,
        "models": [scene.model],
        "frame_formats": list(FRAME_FORMATS),
        "limits": {
            "clients": MOST_CLIENTS,
            "message_bytes": MOST_MESSAGE_BYTES,
            "messages_per_second": MESSAGES_PER_SECOND,
            "screenshot_bytes": MOST_SCREENSHOT_BYTES,
        },
    }


def _bounds_mm(volume: Volume) -> list[list[float]]:
    """Smallest box along the world's axes that holds the voxels, edge to edge."""
    edges = torch.cartesian_prod(*(torch.tensor([-0.5, n - 0.5]) for n in volume.shape)).double()
    corners = edges @ volume.world_from_voxel[:3, :3].T + volume.world_from_voxel[:3, 3]
    return [corners.amin(dim=0).tolist(), corners.amax(dim=0).tolist()]
