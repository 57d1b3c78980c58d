"""Poses of the probe: rigid transforms ``world_from_probe``, float64, (4, 4) or (B, 4, 4).

A tangent is six numbers in the probe frame: a rotation vector in degrees, then a translation in mm. Rotation
and translation are taken apart (SO(3) x R^3, not the screw motion of SE(3)), so that each number can be read
off as degrees and millimetres. Everything is differentiable.

The mathematics of rotations is roma's, imported where it is used: its import takes over a second.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.checks import require_shape
from diffus.files import read_json, write_json

__all__ = [
    "compose",
    "distance",
    "exp",
    "from_euler",
    "from_matrix",
    "inverse",
    "load",
    "log",
    "look_at",
    "perturb",
    "save",
    "transform_points",
]

FILE_FORMAT = "diffus-pose"
FILE_VERSION = 1
RIGID_TOLERANCE = 1e-4
"""Largest departure of R^T R from the identity that still counts as rounding (float32 files)."""

Vector = Sequence[float] | Float[Tensor, "3"] | Float[Tensor, "B 3"]


def look_at(
    entry_mm: Vector, target_mm: Vector, lateral: Vector | None = None, roll_deg: float | Tensor = 0.0
) -> Float64[Tensor, "*B 4 4"]:
    """Put the middle of the transducer's face at a point, looking at another.

    Args:
        entry_mm: world position of the middle of the face, (3,) or (B, 3).
        target_mm: world point on the central beam.
        lateral: world direction that the image's x axis should follow as nearly as it can. By default
            anterior, (0, 1, 0); where the beam itself runs within 25 degrees of anterior-posterior, right.
        roll_deg: further turn about the beam, from x towards y.

    Returns:
        ``world_from_probe``, (4, 4) or (B, 4, 4).

    Raises:
        ValueError: when entry and target coincide, or the beam runs along ``lateral``.
    """
    import roma

    entry, target = _vector(entry_mm, "entry_mm"), _vector(target_mm, "target_mm")
    beam = target - entry
    length = beam.norm(dim=-1, keepdim=True)
    if bool((length < 1e-9).any()):
        raise ValueError(
            f"look_at: entry_mm and target_mm coincide at {entry.tolist()}: the beam has no direction"
        )
    z = beam / length
    hint = _default_lateral(z) if lateral is None else _vector(lateral, "lateral")
    x = hint - (hint * z).sum(-1, keepdim=True) * z
    x_length = x.norm(dim=-1, keepdim=True)
    if bool((x_length < 1e-6 * hint.norm(dim=-1, keepdim=True).clamp_min(1e-300)).any()):
        raise ValueError(
            "look_at: the beam runs along `lateral`, which leaves the roll open: give another direction"
        )
    x = x / x_length
    rotation = torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)
    roll = torch.deg2rad(torch.as_tensor(roll_deg, dtype=torch.float64, device=z.device))
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64, device=z.device)
    return _assemble(rotation @ roma.rotvec_to_rotmat(roll[..., None] * axis), entry)


def from_euler(
    angles_deg: Vector, translation_mm: Vector, convention: str = "xyz"
) -> Float64[Tensor, "*B 4 4"]:
    """Build a pose from Euler angles.

    Args:
        angles_deg: three angles in the order of ``convention``, (3,) or (B, 3).
        translation_mm: world position of the middle of the face.
        convention: axes as in scipy and roma: lower case turns about fixed world axes, upper case about the
            moving axes of the probe.

    Raises:
        ValueError: for a convention that is not three of xyz or XYZ.
    """
    import roma

    angles = _vector(angles_deg, "angles_deg")
    if len(convention) != 3 or not (set(convention) <= set("xyz") or set(convention) <= set("XYZ")):
        raise ValueError(
            f"unknown Euler convention {convention!r}: three letters of 'xyz' (fixed) or 'XYZ' (moving)"
        )
    rotation = roma.euler_to_rotmat(convention, angles, degrees=True)
    return _assemble(rotation, _vector(translation_mm, "translation_mm"))


def as_batch(matrix: Any) -> Float64[Tensor, "B 4 4"]:
    """Take a 4x4, or a batch of them, as a batch of poses; see `from_matrix`."""
    pose = from_matrix(matrix)
    return pose[None] if pose.ndim == 2 else pose


def from_matrix(matrix: Any) -> Float64[Tensor, "*B 4 4"]:
    """Take a 4x4 as a pose, after checking that it is rigid.

    Raises:
        ValueError: for a wrong shape, NaN or Inf, a last row other than 0 0 0 1, scaling, shear or a
            reflection.
    """
    pose = torch.as_tensor(matrix, dtype=torch.float64)
    require_shape(
        "pose", pose.shape, "(4, 4) or (B, 4, 4)", pose.ndim in (2, 3) and pose.shape[-2:] == (4, 4)
    )
    values = pose.detach()
    if not torch.isfinite(values).all():
        raise ValueError("pose holds NaN or Inf")
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64, device=values.device)
    if not torch.allclose(values[..., 3, :], last.expand_as(values[..., 3, :]), atol=1e-6):
        raise ValueError(f"pose: the last row must be 0 0 0 1, got {values[..., 3, :].tolist()}")
    rotation = values[..., :3, :3]
    departure = (rotation.mT @ rotation - torch.eye(3, dtype=torch.float64, device=values.device)).abs()
    if departure.numel() and float(departure.max()) > RIGID_TOLERANCE:
        raise ValueError(
            f"pose is not rigid: its 3x3 departs from a rotation by {float(departure.max()):.3g}; "
            "scaling and shear belong into the volume, not the pose"
        )
    if bool((torch.linalg.det(rotation) < 0).any()):
        raise ValueError("pose is a reflection (determinant -1): the probe frame is right-handed")
    return pose


def exp(tangent: Float[Tensor, "*B 6"]) -> Float64[Tensor, "*B 4 4"]:
    """The rigid transform of a tangent: rotation vector in degrees, then translation in mm."""
    import roma

    values = torch.as_tensor(tangent, dtype=torch.float64)
    require_shape("tangent", values.shape, "(6,) or (B, 6)", values.ndim in (1, 2) and values.shape[-1] == 6)
    return _assemble(roma.rotvec_to_rotmat(torch.deg2rad(values[..., :3])), values[..., 3:])


def log(transform: Float[Tensor, "*B 4 4"]) -> Float64[Tensor, "*B 6"]:
    """The tangent of a rigid transform: the inverse of `exp` for turns below 180 degrees."""
    import roma

    pose = torch.as_tensor(transform, dtype=torch.float64)
    rotation = torch.rad2deg(roma.rotmat_to_rotvec(pose[..., :3, :3]))
    return torch.cat([rotation, pose[..., :3, 3]], dim=-1)


def perturb(
    world_from_probe: Float[Tensor, "*#B 4 4"], tangent: Float[Tensor, "*#B 6"]
) -> Float64[Tensor, "*B 4 4"]:
    """Move a pose by a tangent in the probe's own frame: ``world_from_probe @ exp(tangent)``.

    Args:
        world_from_probe: pose or poses to move.
        tangent: rotation vector in degrees, then translation in mm, in the probe frame.
    """
    return compose(world_from_probe, exp(tangent))


def compose(*transforms: Float[Tensor, "*#B 4 4"]) -> Float64[Tensor, "*B 4 4"]:
    """Chain transforms: ``compose(a_from_b, b_from_c)`` is ``a_from_c``. Batches broadcast.

    Raises:
        ValueError: when none is given.
    """
    if not transforms:
        raise ValueError("compose needs at least one transform")
    result = torch.as_tensor(transforms[0], dtype=torch.float64)
    for transform in transforms[1:]:
        result = result @ torch.as_tensor(transform, dtype=torch.float64)
    return result


def inverse(transform: Float[Tensor, "*B 4 4"]) -> Float64[Tensor, "*B 4 4"]:
    """``b_from_a`` of a rigid ``a_from_b``."""
    pose = torch.as_tensor(transform, dtype=torch.float64)
    rotation = pose[..., :3, :3].mT
    return _assemble(rotation, -(rotation @ pose[..., :3, 3:])[..., 0])


def distance(
    a: Float[Tensor, "*#B 4 4"], b: Float[Tensor, "*#B 4 4"]
) -> tuple[Float64[Tensor, "*B"], Float64[Tensor, "*B"]]:
    """How far two poses lie apart: distance of the origins in mm, geodesic angle in degrees."""
    import roma

    first, second = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    translation = (first[..., :3, 3] - second[..., :3, 3]).norm(dim=-1)
    angle = roma.rotmat_geodesic_distance(*torch.broadcast_tensors(first[..., :3, :3], second[..., :3, :3]))
    return translation, torch.rad2deg(angle)


def transform_points(
    a_from_b: Float[Tensor, "*#B 4 4"], points_b: Float[Tensor, "*#B P 3"]
) -> Float64[Tensor, "*B P 3"]:
    """Points of frame b, in frame a."""
    pose = torch.as_tensor(a_from_b, dtype=torch.float64)
    return torch.as_tensor(points_b, dtype=torch.float64) @ pose[..., :3, :3].mT + pose[..., None, :3, 3]


def save(world_from_probe: Float[Tensor, "*B 4 4"], path: str | os.PathLike[str]) -> Path:
    """Write a pose, or a batch of them, as JSON with frame, unit and version."""
    return write_json(path, to_dict(world_from_probe))


def to_dict(world_from_probe: Float[Tensor, "*B 4 4"]) -> dict[str, Any]:
    """The content of a pose file: matrix with frame, unit and version."""
    return {
        "format": FILE_FORMAT,
        "version": FILE_VERSION,
        "transform": "world_from_probe",
        "frame": "RAS+",
        "unit": "mm",
        "matrix": from_matrix(world_from_probe).detach().cpu().tolist(),
    }


def load(path: str | os.PathLike[str]) -> Float64[Tensor, "*B 4 4"]:
    """Read what `save` wrote.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not a pose file, is of a newer version, or in another frame or unit.
    """
    content = read_json(path, "pose")
    if not isinstance(content, dict) or content.get("format") != FILE_FORMAT or "matrix" not in content:
        raise ValueError(
            f"{path} is not a pose file: expected a JSON object with format {FILE_FORMAT!r} and a matrix"
        )
    expected = {"transform": "world_from_probe", "frame": "RAS+", "unit": "mm"}
    for key, value in expected.items():
        if content.get(key) != value:
            raise ValueError(f"{path}: expected {key} {value!r}, got {content.get(key)!r}")
    version = content.get("version")
    if not isinstance(version, int) or version > FILE_VERSION:
        raise ValueError(
            f"{path}: pose file version {version!r}, this program reads up to {FILE_VERSION}: update diffus"
        )
    try:
        return from_matrix(torch.tensor(content["matrix"], dtype=torch.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _vector(value: Any, name: str) -> Float64[Tensor, "*B 3"]:
    vector = torch.as_tensor(value, dtype=torch.float64)
    require_shape(name, vector.shape, "(3,) or (B, 3)", vector.ndim in (1, 2) and vector.shape[-1] == 3)
    if not torch.isfinite(vector).all():
        raise ValueError(f"{name} holds NaN or Inf: {vector.tolist()}")
    return vector


def _default_lateral(beam: Float64[Tensor, "*B 3"]) -> Float64[Tensor, "*B 3"]:
    anterior = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64, device=beam.device)
    right = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, device=beam.device)
    along_anterior = beam.detach()[..., 1:2].abs() > 0.906  # cos 25 degrees
    return torch.where(along_anterior, right, anterior)


def _assemble(
    rotation: Float64[Tensor, "*#B 3 3"], translation: Float64[Tensor, "*#B 3"]
) -> Float64[Tensor, "*B 4 4"]:
    batch = torch.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    top = torch.cat([rotation.expand(*batch, 3, 3), translation.expand(*batch, 3)[..., None]], dim=-1)
    last = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64, device=top.device)
    return torch.cat([top, last.expand(*batch, 1, 4)], dim=-2)
