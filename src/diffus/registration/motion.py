"""Moving a pose about the middle of what is seen, so that turning and shifting hardly mix."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.probe import Probe

_ACROSS = 16


def sector_points(probe: Probe) -> Float64[Tensor, "P 3"]:
    """Points spread over the sector by scanline and depth, in the probe frame, mm."""
    sparse = probe.with_options(n_scanlines=min(_ACROSS, probe.n_scanlines), n_samples=_ACROSS)
    return sparse.sample_points_mm().flatten(0, 1).detach()


def pivot_of(points: Float64[Tensor, "P 3"]) -> Float64[Tensor, "4 4"]:
    """The transform that shifts the origin to the middle of points."""
    return pivot_at(points.mean(dim=0))


def pivot_at(point: Float64[Tensor, "3"]) -> Float64[Tensor, "4 4"]:
    """The transform that shifts the origin to a point."""
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = point
    return shift


def moved(
    poses: Float64[Tensor, "*#B 4 4"], tangent: Float[Tensor, "*#B 6"], pivot: Float64[Tensor, "4 4"]
) -> Float64[Tensor, "*B 4 4"]:
    """Poses turned about the pivot and shifted, in their own frame.

    Args:
        poses: ``a_from_b``.
        tangent: rotation vector in degrees, then translation in mm, along the axes of b.
        pivot: shift from the origin of b to the pivot.
    """
    return pose.compose(poses, pivot, pose.exp(tangent), pose.inverse(pivot))


def tangent_between(
    poses: Float64[Tensor, "*#B 4 4"], others: Float64[Tensor, "*#B 4 4"], pivot: Float64[Tensor, "4 4"]
) -> Float64[Tensor, "*B 6"]:
    """The tangent by which `moved` takes poses to others."""
    return pose.log(pose.compose(pose.inverse(pivot), pose.inverse(poses), others, pivot))


def displacement_mm(
    poses: Float64[Tensor, "*#B 4 4"],
    others: Float64[Tensor, "*#B 4 4"],
    points: Float64[Tensor, "P 3"],
) -> Float64[Tensor, "*B"]:
    """Mean distance between where two poses put the same points."""
    apart = pose.transform_points(poses, points) - pose.transform_points(others, points)
    return apart.norm(dim=-1).mean(dim=-1)
