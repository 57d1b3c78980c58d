"""Where a registration begins: a rigid transform from any of the files that one may have."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float64
from torch import Tensor

from diffus.io.matrix import is_itk, read_rigid


def initial_pose(path: Path, carried: Float64[Tensor, "4 4"] | None) -> Float64[Tensor, "4 4"]:
    """Where one frame is looked for.

    A matrix is the pose of the probe. An ITK transform takes the world that the frame's own pose is in to
    that of the MRI, as a tracker's registration does, and so is applied to that pose.

    Args:
        path: see `diffus.io.matrix.read_matrix`.
        carried: the pose that the frame has, or None.

    Raises:
        ValueError: when it is not rigid, or an ITK transform has no pose to be applied to.
    """
    if not is_itk(path):
        return read_rigid(path)
    if carried is None:
        raise ValueError(
            f"{path.name} takes one world to another, and the image has no pose in either: give --initial "
            "as the probe's pose, a 4x4 in text, JSON or .npz"
        )
    return read_rigid(path) @ carried


def initial_transform(path: Path) -> Float64[Tensor, "4 4"]:
    """Where a sweep or a volume is looked for: from its own world to that of the MRI.

    Raises:
        ValueError: when it is not rigid.
    """
    return read_rigid(path)
