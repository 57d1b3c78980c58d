"""A medium carried into the world of the ultrasound by a transform that is not rigid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.medium import Medium
from diffus.registration.rendered_sweep import decibel_levels, without_trend
from diffus.registration.virtual_sweep import VirtualSweep, frame_points
from diffus.sampling import inside_grid, sample_trilinear
from diffus.settings import RenderSettings
from diffus.similarity import Similarity

_MARGIN_MM = 2.0
"""How far the grid reaches beyond the frames."""


@dataclass(frozen=True, eq=False)
class WarpGrid:
    """A regular grid around the frames of a sweep, along the axes of its middle frame.

    Args:
        world_from_voxel: of the grid, (4, 4).
        shape: of the grid.
    """

    world_from_voxel: Float64[Tensor, "4 4"]
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, sweep: VirtualSweep, spacing_mm: float = 0.7) -> WarpGrid:
        """The grid that holds all samples of a sweep."""
        axes = sweep.world_from_probe[len(sweep.world_from_probe) // 2]
        points = frame_points(sweep.probe, sweep.world_from_probe).reshape(-1, 3) @ axes[:3, :3]
        low = points.amin(dim=0) - _MARGIN_MM
        count = ((points.amax(dim=0) + _MARGIN_MM - low) / spacing_mm).ceil().long() + 1
        affine = torch.eye(4, dtype=torch.float64)
        affine[:3, :3] = axes[:3, :3] * spacing_mm
        affine[:3, 3] = axes[:3, :3] @ low
        i, j, k = count.tolist()
        return cls(affine, (i, j, k))

    def points_mm(self) -> Float64[Tensor, "I J K 3"]:
        """World positions of the grid's points."""
        index = torch.stack(
            torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in self.shape), indexing="ij"), dim=-1
        )
        return index @ self.world_from_voxel[:3, :3].T + self.world_from_voxel[:3, 3]


@dataclass(frozen=True, eq=False)
class WarpedSweep:
    """Score of a deformation, given by where it takes the points of a grid.

    Args:
        sweep: frames of the ultrasound.
        medium: in the world of the MRI.
        grid: in the world of the ultrasound.
        similarity: of (B, P, S, N) frames.
        settings: of the renderer.
    """

    sweep: VirtualSweep
    medium: Medium
    grid: WarpGrid
    similarity: Similarity
    settings: RenderSettings

    def __call__(self, mri_points_mm: Float[Tensor, "I J K 3"]) -> Float[Tensor, ""]:
        """Score of the frames rendered from the medium as it lies in the ultrasound.

        Args:
            mri_points_mm: where the deformation takes each point of the grid.
        """
        matrix = self.medium.voxel_from_world
        index = mri_points_mm.double() @ matrix[:3, :3].T + matrix[:3, 3]
        channels = sample_trilinear(self.medium.channels, index.to(self.medium.impedance))
        carried = Medium.from_channels(channels, self.grid.world_from_voxel)
        level = decibel_levels(carried, self.sweep.probe, self.sweep.world_from_probe, self.settings)
        weights = (self.sweep.weights * self._inside(index.detach())).to(level)
        fixed = without_trend(self.sweep.image, self.sweep.weights, self.sweep).to(level)
        return self.similarity(without_trend(level, weights, self.sweep)[None], fixed[None], weights[None])[0]

    def _inside(self, index: Float64[Tensor, "I J K 3"]) -> Float[Tensor, "P S N"]:
        """1 where a sample of the frames comes from the medium's grid, else 0."""
        matrix = torch.linalg.inv(self.grid.world_from_voxel)
        places = (
            frame_points(self.sweep.probe, self.sweep.world_from_probe) @ matrix[:3, :3].T + matrix[:3, 3]
        )
        inside = inside_grid(index, self.medium.shape).to(torch.float32)
        return (sample_trilinear(inside[..., None], places.float())[..., 0] > 0.99).float()
