"""A hand-held sweep through a craniotomy: where the probe stands on a brain, and how it moves."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.surface import on_surface
from diffus.volume import Volume

APPROACHES = (
    (-1.0, 0.0, 0.3),
    (1.0, 0.0, 0.3),
    (-0.6, 0.5, 0.8),
    (0.6, 0.5, 0.8),
    (-0.5, -0.6, 0.8),
    (0.5, -0.6, 0.8),
)
"""Directions from the middle of the brain to usual craniotomies: temporal, frontal and parietal, both sides.
"""
SPREAD = 0.15
"""Standard deviation of each component of the direction about these."""
STANDOFF_MM = 2.0
"""Saline between the face and the brain, at the middle of the sweep."""
CURVATURE_MM = 90.0
"""Radius of the arc that the probe follows: about that of a head."""
WOBBLE_MM, WOBBLE_DEG = 0.4, 0.6
"""Standard deviations of a steady hand's slow departures from the arc."""
_SLOW = 12
"""Frames over which the hand's departures vary."""


def craniotomy_pose(brain: Volume, generator: torch.Generator) -> Float64[Tensor, "4 4"]:
    """A pose on the surface of the brain at a random place of a usual craniotomy, looking inwards.

    Args:
        brain: mask.
        generator: of the random numbers.

    Raises:
        ValueError: for an empty mask.
    """
    which = int(torch.randint(len(APPROACHES), (), generator=generator))
    towards = torch.tensor(APPROACHES[which], dtype=torch.float64)
    towards += SPREAD * _normal(3, generator)
    roll = 180 * float(torch.rand((), generator=generator)) - 90
    return on_surface(brain, None, towards, standoff_mm=STANDOFF_MM, roll_deg=roll)


def sweep_poses(
    middle: Float64[Tensor, "4 4"], count: int, length_mm: float, generator: torch.Generator
) -> Float64[Tensor, "F 4 4"]:
    """Poses of a sweep along the elevation of its middle pose: over an arc, with a slow wobble of the hand.

    Args:
        middle: pose half-way.
        count: frames.
        length_mm: way of the face.
        generator: of the wobble.
    """
    way = length_mm * ((torch.arange(count, dtype=torch.float64) + 0.5) / count - 0.5)
    turn = torch.rad2deg(way / CURVATURE_MM)
    tangents = torch.zeros(count, 6, dtype=torch.float64)
    tangents[:, :3] = WOBBLE_DEG * _slow(count, generator)
    tangents[:, 3:] = WOBBLE_MM * _slow(count, generator)
    # The arc: a turn about the middle of the head, deep below the face.
    pivot = torch.eye(4, dtype=torch.float64)
    pivot[2, 3] = CURVATURE_MM
    arc = torch.zeros(count, 6, dtype=torch.float64)
    arc[:, 0] = turn
    return pose.compose(middle, pivot, pose.exp(arc), pose.inverse(pivot), pose.exp(tangents))


def rigid_offset(
    sigma_mm: float, sigma_deg: float, about_mm: Float64[Tensor, "3"], generator: torch.Generator
) -> Float64[Tensor, "4 4"]:
    """A random rigid motion: a turn about a point, and a shift.

    Args:
        sigma_mm: standard deviation of each component of the shift.
        sigma_deg: and of the rotation vector.
        about_mm: what the turn leaves in place.
        generator: of the random numbers.
    """
    sigmas = torch.tensor([sigma_deg] * 3 + [sigma_mm] * 3, dtype=torch.float64)
    moved = pose.exp(sigmas * _normal(6, generator))
    there = torch.eye(4, dtype=torch.float64)
    there[:3, 3] = about_mm
    return pose.compose(there, moved, pose.inverse(there))


def oblique_grid(
    shape: tuple[int, int, int],
    spacing_mm: float,
    centre_mm: Float64[Tensor, "3"],
    sigma_deg: float,
    generator: torch.Generator,
) -> Float64[Tensor, "4 4"]:
    """``world_from_voxel`` of a grid around a point, its axes turned at random, as scanners place slices."""
    turn = pose.exp(torch.cat([sigma_deg * _normal(3, generator), torch.zeros(3, dtype=torch.float64)]))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = turn[:3, :3] * spacing_mm
    half = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    affine[:3, 3] = centre_mm - affine[:3, :3] @ half
    return affine


def _slow(count: int, generator: torch.Generator) -> Float64[Tensor, "F 3"]:
    """Smooth random curves of unit variance."""
    width = min(_SLOW, count)
    white = torch.randn(count + width - 1, 3, generator=generator, dtype=torch.float64)
    summed = white.unfold(0, width, 1).sum(dim=-1)
    return summed / math.sqrt(width)


def _normal(count: int, generator: torch.Generator) -> Float64[Tensor, " n"]:
    return torch.randn(count, generator=generator, dtype=torch.float64)
