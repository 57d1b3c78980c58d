"""What several test files need: placed grids that are awkward on purpose, and calls as a user makes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping
import torch
from scipy.spatial.transform import Rotation


def placed(
    spacing_mm: tuple[float, float, float] = (0.7, 0.8, 1.9),
    origin_mm: tuple[float, float, float] = (-31.25, 17.5, 90.125),
    *,
    turn: tuple[float, float, float] = (0.3, -0.2, 0.5),
    left_handed: bool = False,
) -> torch.Tensor:
    """An oblique, anisotropic world-from-voxel matrix."""
    affine = torch.eye(4, dtype=torch.float64)
    axes = torch.tensor([-1.0 if left_handed else 1.0, 1.0, 1.0], dtype=torch.float64) * torch.tensor(
        spacing_mm
    )
    affine[:3, :3] = torch.from_numpy(Rotation.from_rotvec(turn).as_matrix()) * axes
    affine[:3, 3] = torch.tensor(origin_mm, dtype=torch.float64)
    return affine


@contextmanager
def as_users_run() -> Iterator[None]:
    """Without the shape checks that only the tests have, so that the code's own refusals are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
