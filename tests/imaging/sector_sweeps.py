"""Swept volumes of known geometry: a sector carried past a grid, plane by plane."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from tests.support import placed

from diffus import Volume, pose


class Sweep(NamedTuple):
    """What was swept and how.

    Args:
        opening_deg, radius_mm, depth_mm: the sector.
        length_mm: way of the face.
        rock_deg: turn about x from the first plane to the last.
    """

    opening_deg: float = 52.0
    radius_mm: float = 22.0
    depth_mm: float = 42.0
    length_mm: float = 34.0
    rock_deg: float = 0.0


def swept_volume(sweep: Sweep, spacing_mm: float = 1.0, seed: int = 0) -> tuple[Volume, torch.Tensor]:
    """Speckle that is finer along the scanlines than across, on a turned grid, and the middle plane's pose.

    Each plane of the sweep is drawn by pushing its points into the grid, nearest voxel first come.
    """
    middle = pose.from_euler((20.0, -35.0, 50.0), (12.0, -7.0, 30.0))
    lines = torch.linspace(-0.5, 0.5, 181, dtype=torch.float64) * math.radians(sweep.opening_deg)
    depths = torch.arange(0, sweep.depth_mm, 0.25 * spacing_mm, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    radius = sweep.radius_mm + depths[:, None]
    x, z = radius * lines.sin(), radius * lines.cos() - sweep.radius_mm
    plane = torch.stack([x, torch.zeros_like(x), z], dim=-1).reshape(-1, 3)
    pivot = torch.tensor([0.0, 0.0, sweep.depth_mm / 2], dtype=torch.float64)
    points, values = [], []
    n_planes = round(sweep.length_mm / (0.3 * spacing_mm))
    cells = torch.rand(n_planes // 10 + 1, len(depths) // 6 + 1, 12, generator=generator)
    for number in range(n_planes):
        share = (number + 0.5) / n_planes - 0.5
        turn = pose.exp(torch.tensor([sweep.rock_deg * share, 0, 0, 0, 0, 0], dtype=torch.float64))
        moved = pose.transform_points(turn, plane - pivot) + pivot
        moved[:, 1] += share * sweep.length_mm
        texture = cells[number // 10].repeat_interleave(6, 0)[: len(depths)].repeat_interleave(16, 1)
        points.append(pose.transform_points(middle, moved))
        values.append((20 + 200 * texture[:, : len(lines)]).reshape(-1))
    world = torch.cat(points)
    affine = placed((spacing_mm, spacing_mm, spacing_mm), turn=(0.2, 0.1, -0.3))
    turned = torch.linalg.inv(affine)[:3, :3]
    low = (world @ turned.T).amin(0) - 3
    affine[:3, 3] = affine[:3, :3] @ low
    index = ((world - affine[:3, 3]) @ turned.T).round().long()
    data = torch.zeros(*(index.amax(0) + 4).tolist())
    data[tuple(index.T)] = torch.cat(values).float()
    return Volume(data, affine), middle


def angle_deg(one: torch.Tensor, other: torch.Tensor) -> float:
    """Angle between two directions."""
    cosine = float(one.double() @ other.double() / (one.norm() * other.norm()))
    return math.degrees(math.acos(float(np.clip(cosine, -1, 1))))
