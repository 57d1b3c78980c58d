"""Trajectories: poses that a hand takes the probe through, float64, (T, 4, 4).

The words are those that sonographers use (Bahner et al., "Language of transducer manipulation", J. Ultrasound
Med. 35(1), 2016): sliding, fanning (out of the image plane), rocking (within it) and turning about the beam.

Between two poses the middle of the face moves along a straight line while the probe turns about one axis
through it (spherical linear interpolation: Shoemake, SIGGRAPH 1985), both at constant speed. A hand steers
the face over the skin and tilts about it; the screw motion between the same two poses would swing the face
through or off the head along an arc. Where the face stays where it is, both are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_in_range, require_one_of, require_positive, require_shape
from diffus.gliding import Surface
from diffus.volume import Volume

__all__ = ["between", "fan", "rock", "slide", "through", "turn"]

ARM_MM = 40.0
"""Depth at which tissue is looked at: a turn counts as the way that it moves there."""
ALONG = {"elevation": 1, "lateral": 0}
"""Axes of the probe along which it slides: across the image plane, or within it."""
_NEARLY_OPPOSITE_DEG = 179.9


def between(start: Any, end: Any, count: int) -> Float64[Tensor, "T 4 4"]:
    """Poses from one to another: the face straight, the turn about one axis, both at constant speed.

    Args:
        start: first pose, (4, 4).
        end: last pose, (4, 4).
        count: how many poses, both ends among them.

    Raises:
        ValueError: for fewer than two poses, one that is not rigid, or turns of 180 degrees, whose axis is
            open.
    """
    return through([start, end], count)


def through(keys: Sequence[Any] | Tensor, count: int) -> Float64[Tensor, "T 4 4"]:
    """Poses along a way through several, at constant speed over the whole of it.

    The speed is that of the tissue seen at `ARM_MM`: shift and turn of a part are at constant speed, and
    parts get their share of the poses by ``shift_mm + turn_rad * ARM_MM``. The first and the last key are
    poses of the trajectory; those between are passed, and met exactly where a step falls on them.

    Args:
        keys: two or more poses, (4, 4) each.
        count: how many poses.

    Raises:
        ValueError: as `between`, and for fewer than two keys.
    """
    _require_count(count)
    poses = torch.stack([_one(key) for key in keys]) if len(keys) else torch.empty(0, 4, 4)
    if len(poses) < 2:
        raise ValueError(f"a trajectory needs at least two key poses, got {len(poses)}")
    shift, turned = pose.distance(poses[:-1], poses[1:])
    if bool((turned > _NEARLY_OPPOSITE_DEG).any()):
        part = int(turned.argmax())
        raise ValueError(
            f"key poses {part} and {part + 1} are turned by {float(turned[part]):.1f} degrees from one "
            "another, which leaves the way of the turn open: give a key pose between them"
        )
    ways = shift + torch.deg2rad(turned) * ARM_MM
    ends = ways.cumsum(0)
    at = torch.linspace(0.0, 1.0, count, dtype=torch.float64) * ends[-1]
    part = torch.searchsorted(ends, at).clamp(max=len(ways) - 1)
    share = ((at - (ends - ways)[part]) / ways[part].clamp_min(1e-12)).clamp(0.0, 1.0)
    placed = _along(poses[part], poses[part + 1], share)
    placed[0], placed[-1] = poses[0], poses[-1]
    return placed


def fan(middle: Any, angle_deg: float, count: int) -> Float64[Tensor, "T 4 4"]:
    """Tilt out of the image plane, about the long axis of the face, which stays where it is.

    Args:
        middle: pose in the middle of the trajectory, (4, 4).
        angle_deg: from the first pose to the last, in (0, 180]; half to each side. Positive angles tilt the
            image from -y towards +y at depth.
        count: how many poses.

    Raises:
        ValueError: for fewer than two poses, another angle, or a pose that is not rigid.
    """
    # A turn about +x takes z towards -y.
    return _tilted(middle, (-1.0, 0.0, 0.0), angle_deg, count, "fan", 180.0)


def rock(middle: Any, angle_deg: float, count: int) -> Float64[Tensor, "T 4 4"]:
    """Tilt within the image plane, about the middle of the face; arguments and refusals are those of `fan`.

    Positive angles tilt the beam from -x towards +x.
    """
    return _tilted(middle, (0.0, 1.0, 0.0), angle_deg, count, "rock", 180.0)


def turn(middle: Any, angle_deg: float, count: int) -> Float64[Tensor, "T 4 4"]:
    """Turn about the beam, up to 360 degrees; arguments and refusals are else those of `fan`.

    Positive angles turn the image's x axis towards y.
    """
    return _tilted(middle, (0.0, 0.0, 1.0), angle_deg, count, "turn", 360.0)


def slide(
    mask: Volume, middle: Any, length_mm: float, count: int, along: str = "elevation"
) -> Float64[Tensor, "T 4 4"]:
    """Slide over the surface of a head or a body; the face keeps its distance and its angle to the surface.

    The surface is the half level of the mask, smoothed as a face rests on it that is wider than a sulcus
    (`diffus.gliding.Surface`). The frame is carried along it without turning about the normal (parallel
    transport), in steps of equal length.

    Args:
        mask: non-zero inside what is touched.
        middle: pose in the middle of the trajectory, (4, 4).
        length_mm: way of the face from the first pose to the last, over the surface.
        count: how many poses.
        along: ``elevation`` (across the image plane, towards +y) or ``lateral`` (within it, towards +x).

    Raises:
        ValueError: for fewer than two poses, a length that is not above zero, another direction, a pose that
            is not rigid, or a face too far from the surface.
    """
    _require_count(count)
    require_positive("slide", length_mm=length_mm)
    require_one_of("direction to slide", along, ALONG)
    start = _one(middle)
    places = torch.linspace(-0.5, 0.5, count, dtype=torch.float64) * length_mm
    base, *frames = Surface(mask).frames(start, start[:3, ALONG[along]], places)
    return torch.stack(frames) @ pose.inverse(base) @ start


def _along(
    start: Float64[Tensor, "T 4 4"], end: Float64[Tensor, "T 4 4"], share: Float64[Tensor, " T"]
) -> Float64[Tensor, "T 4 4"]:
    """Each pose a share of the way from start to end."""
    tangent = pose.log(pose.inverse(start) @ end)
    tangent[:, 3:] = 0.0
    placed = start @ pose.exp(tangent * share[:, None])
    placed[:, :3, 3] = torch.lerp(start[:, :3, 3], end[:, :3, 3], share[:, None])
    return placed


def _tilted(
    middle: Any, axis: tuple[float, float, float], angle_deg: float, count: int, name: str, most_deg: float
) -> Float64[Tensor, "T 4 4"]:
    _require_count(count)
    require_positive(name, angle_deg=angle_deg)
    require_in_range(name, 0.0, most_deg, angle_deg=angle_deg)
    tangent = torch.zeros(count, 6, dtype=torch.float64)
    turned = torch.linspace(-0.5, 0.5, count, dtype=torch.float64) * angle_deg
    tangent[:, :3] = turned[:, None] * torch.tensor(axis, dtype=torch.float64)
    return pose.perturb(_one(middle), tangent)


def _one(given: Any) -> Float64[Tensor, "4 4"]:
    matrix = pose.from_matrix(given)
    require_shape("key pose", matrix.shape, "(4, 4), one pose", matrix.ndim == 2)
    return matrix.detach().cpu()


def _require_count(count: int) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 2:
        raise ValueError(f"count must be a whole number of poses, at least 2, got {count!r}")
