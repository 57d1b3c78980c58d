"""The level of CSF, read off the ventricles.

The darkest tail of a brain mask under T1 and FLAIR is not CSF but bone, dura and flowing blood on its rim,
and most other CSF shares its voxels with cortex. Only deep bodies of fluid show what CSF itself looks like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.segmentation import morphology
from diffus.segmentation.grid import average_down, coarsening_factors, sample_up_mask
from diffus.segmentation.intensity import Normalisation, spread_over
from diffus.segmentation.ventricles import WORKING_SPACING_MM, open_fluid
from diffus.volume import Volume

DEPTH_MM = 12.0
"""Least distance from the surface of the brain, as in `diffus.segmentation.ventricles`."""

LEAST_VOXELS = 20
"""Fewer coarse voxels than this (70 cubic mm) of undisturbed fluid give no level."""

SAMPLES = 20_000
"""Voxels that the intensity of fluid is taken of."""

NORMAL_MAD = 0.6745
"""Median absolute deviation of a normal distribution of unit standard deviation."""


@dataclass(frozen=True, eq=False)
class CoarseBrain:
    """Normalised intensities averaged over about 1.5 mm.

    Args:
        features: intensity in each contrast of the voxels within the brain.
        brain: boolean, which voxels those are.
    """

    features: Float[Tensor, "n D"]
    brain: Volume

    @classmethod
    def of(
        cls, volumes: Mapping[str, Volume], mask: Volume, normalisations: Sequence[Normalisation]
    ) -> CoarseBrain:
        """Average volumes down inside a mask."""
        factors = coarsening_factors(mask, WORKING_SPACING_MM)
        brain = average_down(mask, factors)
        inside = brain.data > 0.5
        means = [
            n.averaged(v, factors)[inside] for n, v in zip(normalisations, volumes.values(), strict=True)
        ]
        return cls(torch.stack(means, dim=1), Volume(inside, brain.world_from_voxel))

    def fluid_core(self, csf: Float[Tensor, " n"], level: float) -> Bool[Tensor, "a b c"]:
        """Deep bodies of voxels with more CSF than the level, without their outermost layer."""
        spacing = self.brain.spacing_mm
        fluid = on_grid(csf, self.brain.data) > level
        deep = morphology.erode(self.brain.data, spacing, DEPTH_MM)
        return morphology.erode(fluid, spacing, max(spacing)) & deep


def deep_pools(csf: Float[Tensor, " n"], brain: Volume) -> Float[Tensor, "a b c"]:
    """Share of open fluid on the brain's grid, also where the field of view cuts the brain.

    `open_fluid` looks for fluid deep below the surface; the border of the field is none, so the grid is first
    continued beyond it.

    Args:
        csf: fraction of CSF of the voxels within the brain.
        brain: boolean, which voxels those are.
    """
    margin = math.ceil(DEPTH_MM / min(brain.spacing_mm)) + 1
    affine = brain.world_from_voxel.clone()
    affine[:3, 3] -= margin * affine[:3, :3].sum(dim=1)
    grids = torch.stack([on_grid(csf, brain.data), brain.data.float()])
    padded = torch.nn.functional.pad(grids[None], [margin] * 6, mode="replicate")[0]
    pools = open_fluid(Volume(padded[0], affine), Volume(padded[1], affine))
    return pools.resample(brain.shape, brain.world_from_voxel).data


def fluid_intensity(
    core: Bool[Tensor, "a b c"],
    volumes: Mapping[str, Volume],
    mask: Volume,
    normalisations: Sequence[Normalisation],
) -> tuple[Float64[Tensor, " D"], Float64[Tensor, "D D"]] | None:
    """Mean and covariance of fluid at full resolution, robustly; None when the core is too small."""
    if int(core.sum()) < LEAST_VOXELS:
        return None
    factors = coarsening_factors(mask, WORKING_SPACING_MM)
    fine = sample_up_mask(core.float(), factors, mask.shape, 0.9) & mask.data
    if not bool(fine.any()):
        return None
    chosen = spread_over(fine, SAMPLES)
    values = [n.at(v, chosen) for n, v in zip(normalisations, volumes.values(), strict=True)]
    samples = torch.stack(values, dim=1).double()
    median = samples.median(dim=0).values
    deviation = (samples - median).abs().median(dim=0).values / NORMAL_MAD
    near = samples[((samples - median).abs() <= 3 * deviation).all(dim=1)]
    return median, (near - median).T @ (near - median) / max(1, len(near))


def on_grid(values: Float[Tensor, " n"], inside: Bool[Tensor, "I J K"]) -> Float[Tensor, "I J K"]:
    """Values of the voxels of a mask, back on its grid; zero elsewhere."""
    grid = torch.zeros(inside.shape, dtype=values.dtype)
    grid[inside] = values
    return grid
