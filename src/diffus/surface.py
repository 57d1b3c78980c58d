"""Putting the transducer's face on a surface: the brain at a craniotomy, the skin of a belly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of
from diffus.volume import Volume

DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "left": (-1.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "anterior": (0.0, 1.0, 0.0),
    "posterior": (0.0, -1.0, 0.0),
    "superior": (0.0, 0.0, 1.0),
    "inferior": (0.0, 0.0, -1.0),
}
"""World directions by anatomical name (RAS+)."""

Vector = Sequence[float] | Float[Tensor, "3"]


def on_surface(
    mask: Volume,
    target_mm: Vector | None = None,
    side: str | Vector = "left",
    *,
    standoff_mm: float = 0.0,
    lateral: Vector | None = None,
    roll_deg: float = 0.0,
) -> Float64[Tensor, "4 4"]:
    """Stand the probe on the surface of a mask, looking in at a target.

    The face's middle is where the ray from the target towards ``side`` leaves the mask for the last time,
    found to a tenth of a voxel on the half level of the trilinearly interpolated mask.

    Args:
        mask: non-zero inside the body that is touched.
        target_mm: world point on the central beam; by default the mask's centre of mass.
        side: where the probe stands as seen from the target: left, right, anterior, posterior, superior,
            inferior, or a world direction.
        standoff_mm: gap left between surface and face, for gel or saline.
        lateral: as in `pose.look_at`.
        roll_deg: as in `pose.look_at`.

    Raises:
        ValueError: when the mask is empty, or the ray from the target does not meet it.
    """
    target = _centre_of_mass(mask) if target_mm is None else torch.as_tensor(target_mm, dtype=torch.float64)
    direction = _direction(side)
    step = 0.1 * min(mask.spacing_mm)
    corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0], dtype=torch.float64) for n in mask.shape))
    world_corners = corners @ mask.world_from_voxel[:3, :3].T + mask.world_from_voxel[:3, 3]
    reach = float((world_corners - target).norm(dim=-1).max())
    distances = torch.arange(0.0, reach + step, step, dtype=torch.float64)
    occupied = Volume(mask.data != 0, mask.world_from_voxel)  # a mask may be 255 or a label inside
    inside = occupied.sample(target + distances[:, None] * direction) >= 0.5
    if not bool(inside.any()):
        raise ValueError(
            f"the ray from target {[round(v, 1) for v in target.tolist()]} mm towards "
            f"{[round(v, 2) for v in direction.tolist()]} does not meet the mask: "
            "give a target inside the body, or another side"
        )
    last = distances[inside.nonzero()[-1, 0]]
    entry = target + (last + standoff_mm) * direction
    return pose.look_at(entry, entry - direction, lateral=lateral, roll_deg=roll_deg)


def _direction(side: str | Vector) -> Float64[Tensor, "3"]:
    if isinstance(side, str):
        require_one_of("side", side, DIRECTIONS)
        return torch.tensor(DIRECTIONS[side], dtype=torch.float64)
    direction = torch.as_tensor(side, dtype=torch.float64)
    if direction.shape != (3,) or not bool(direction.norm() > 0):
        names = ", ".join(DIRECTIONS)
        raise ValueError(f"side must be a name of {names} or a non-zero direction, got {side}")
    return direction / direction.norm()


def _centre_of_mass(mask: Volume) -> Float64[Tensor, "3"]:
    occupied = mask.data != 0
    total = int(occupied.sum())
    if total == 0:
        raise ValueError("the mask is empty: there is no surface to stand on")
    index = torch.empty(3, dtype=torch.float64)
    for axis, size in enumerate(mask.shape):
        others = tuple(other for other in range(3) if other != axis)
        counts = occupied.sum(dim=others).double()
        index[axis] = (counts * torch.arange(size, dtype=torch.float64)).sum() / total
    return mask.world_from_voxel[:3, :3] @ index + mask.world_from_voxel[:3, 3]
