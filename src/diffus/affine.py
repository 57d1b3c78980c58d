"""World-from-voxel matrices: checks, spacing and orientation."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_shape

SHEAR_TOLERANCE = 2e-3
"""Largest cosine between two voxel axes that still counts as rounding in a file's header."""


def check_affine(affine: Any) -> Float64[Tensor, "4 4"]:
    """Return the affine as float64 on the CPU, or refuse it.

    Raises:
        ValueError: when it is not (4, 4), not finite, singular, sheared, or its last row is not 0 0 0 1.
    """
    matrix = torch.as_tensor(affine, dtype=torch.float64).detach().cpu().clone()
    require_shape("world_from_voxel", matrix.shape, "(4, 4)", matrix.shape == (4, 4))
    if not torch.isfinite(matrix).all():
        raise ValueError(f"world_from_voxel holds NaN or Inf: {matrix.tolist()}")
    if not torch.allclose(matrix[3], torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)):
        raise ValueError(f"world_from_voxel: the last row must be 0 0 0 1, got {matrix[3].tolist()}")
    spacing = matrix[:3, :3].norm(dim=0)
    cosines = (matrix[:3, :3] / spacing).T @ (matrix[:3, :3] / spacing)
    singular = bool((spacing == 0).any()) or abs(float(torch.linalg.det(matrix[:3, :3] / spacing))) < 1e-6
    if singular:
        raise ValueError(
            f"world_from_voxel is singular (voxel axes {matrix[:3, :3].T.tolist()}): "
            "the file's header does not place its voxels in space; repair its sform or qform"
        )
    shear = float((cosines - torch.eye(3, dtype=torch.float64)).abs().max())
    if shear > SHEAR_TOLERANCE:
        raise ValueError(
            f"world_from_voxel is sheared: two voxel axes meet at a cosine of {shear:.3g} instead of 0; "
            "resample the image onto an orthogonal grid first"
        )
    return matrix


def spacing_of(affine: Float64[Tensor, "4 4"]) -> tuple[float, float, float]:
    """Distance in mm between voxel centres along each index."""
    i, j, k = affine[:3, :3].norm(dim=0).tolist()
    return i, j, k


def orientation_of(affine: Float64[Tensor, "4 4"]) -> str:
    """Anatomical direction that each index grows to, as ``"RAS"`` or ``"LPS"``."""
    from nibabel.orientations import aff2axcodes

    return "".join(str(code) for code in aff2axcodes(affine.numpy()))
