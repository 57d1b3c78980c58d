"""The baselines: LC2 of the ultrasound on MRI intensity and gradient, without a renderer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import Volume
from diffus.registration.virtual_sweep import VirtualSweep, frame_points, support_of
from diffus.sampling import inside_grid, sample_trilinear
from diffus.similarity import lc2
from diffus.similarity.derivatives import gradient_magnitude

LEAST_COVERAGE = 0.5


@dataclass(frozen=True, eq=False)
class IntensityLC2:
    """LC2 (Wein et al. 2013) of each transform.

    Args:
        points_mm: where the ultrasound is compared.
        fixed: its grey values there.
        weights: where it counts.
        volumes: MRI by contrast, on one grid; each gives two regressors, its intensity and the length of its
            gradient.
        window: of the points, along each axis.
    """

    points_mm: Float64[Tensor, "A B C 3"]
    fixed: Float[Tensor, "A B C"]
    weights: Float[Tensor, "A B C"]
    volumes: Mapping[str, Volume]
    window: tuple[int, int, int]
    channels: Tensor = field(init=False)

    def __post_init__(self) -> None:
        maps = []
        for volume in self.volumes.values():
            image = volume.data.float()
            image = (image - image.mean()) / image.std()
            maps += [image, gradient_magnitude(image[None], volume.spacing_mm)[0]]
        object.__setattr__(self, "channels", torch.stack(maps, dim=-1))

    @classmethod
    def on_frames(
        cls, sweep: VirtualSweep, volumes: Mapping[str, Volume], window: tuple[int, int, int]
    ) -> IntensityLC2:
        """On the samples that our renderer's frames have, near field and rim left out as there."""
        points = frame_points(sweep.probe, sweep.world_from_probe)
        return cls(points, sweep.image, sweep.weights, volumes, window)

    @classmethod
    def on_grid(
        cls, ultrasound: Volume, volumes: Mapping[str, Volume], step: int, width: int
    ) -> IntensityLC2:
        """On every so many voxels of the ultrasound, in cubes, wherever it has an image."""
        axes = [torch.arange(0, size, step) for size in ultrasound.shape]
        index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        points = index.double() @ ultrasound.world_from_voxel[:3, :3].T + ultrasound.world_from_voxel[:3, 3]
        every = (slice(None, None, step),) * 3
        weights = support_of(ultrasound).data[every].float()
        return cls(points, ultrasound.data[every].float(), weights, volumes, (width, width, width))

    def __call__(self, mri_from_ultrasound: Float64[Tensor, "B 4 4"]) -> Float[Tensor, " B"]:
        """Score of each transform; -1 where it leaves less than half of the samples in the MRI."""
        grid = next(iter(self.volumes.values()))
        index_from_us = grid.voxel_from_world @ mri_from_ultrasound
        index = self.points_mm.reshape(-1, 3) @ index_from_us[:, :3, :3].mT + index_from_us[:, None, :3, 3]
        weights = self.weights * inside_grid(index, grid.shape).reshape(-1, *self.fixed.shape)
        kept = weights.flatten(1).sum(dim=1) >= LEAST_COVERAGE * self.weights.sum()
        scores = (0 * mri_from_ultrasound.sum(dim=(1, 2)) - 1).float()
        if not bool(kept.any()):
            return scores
        values = sample_trilinear(self.channels, index[kept].float())
        regressors = list(values.reshape(-1, *self.fixed.shape, values.shape[-1]).unbind(dim=-1))
        fixed = self.fixed.expand(regressors[0].shape)
        found = lc2(regressors, fixed, weights[kept], window=self.window)
        return scores.index_put((kept.nonzero()[:, 0],), found)
