"""Frames of a tracked sweep put together into a volume, as navigation systems do it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.affine import check_affine
from diffus.checks import require_positive, require_shape
from diffus.imaging.scan_conversion import sample_scanlines
from diffus.probe import Probe
from diffus.scalars import as_scalar
from diffus.volume import Volume


class Reconstruction:
    """A volume that fills up frame by frame: each voxel is the mean of the frames that pass nearby.

    A voxel-based method with interpolation in the planes (Solberg et al., Ultrasound Med Biol 33, 2007). A
    frame counts for voxels up to half a thickness away from its plane, by a weight that falls linearly to
    zero there.

    Args:
        shape: voxels along i, j and k.
        world_from_voxel: place of the grid, (4, 4), RAS+ mm.
        thickness_mm: of the slice that a frame stands for.

    Raises:
        ValueError: for a thickness that is not above zero or an affine that is refused.
    """

    def __init__(
        self, shape: tuple[int, int, int], world_from_voxel: Float64[Tensor, "4 4"], thickness_mm: float
    ) -> None:
        require_positive("Reconstruction", thickness_mm=thickness_mm)
        self.shape = shape
        self.world_from_voxel = check_affine(world_from_voxel)
        self.half_mm = thickness_mm / 2
        self._sum = torch.zeros(math.prod(shape))
        self._weight = torch.zeros(math.prod(shape))

    def add(
        self, images: Float[Tensor, "B S N"], probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]
    ) -> None:
        """Add frames.

        Args:
            images: grey values on scanlines.
            probe: their geometry.
            world_from_probe: a pose for each.
        """
        require_shape(
            "images",
            images.shape,
            f"({len(world_from_probe)}, {probe.n_scanlines}, {probe.n_samples})",
            images.shape == (len(world_from_probe), probe.n_scanlines, probe.n_samples),
        )
        for image, at in zip(images, world_from_probe, strict=True):
            near = self._near(probe, at)
            points = near.points_mm
            line, depth = probe.scanline_coordinates(points[:, 0], points[:, 2])
            sample = depth / as_scalar(probe.sample_spacing_mm, depth) - 0.5
            values = sample_scanlines(image[None].float(), line, sample, probe.wraps)[0]
            weight = 1 - points[:, 1].abs() / self.half_mm
            self._sum.index_add_(0, near.voxels, weight * values)
            self._weight.index_add_(0, near.voxels, weight)

    @property
    def support(self) -> Bool[Tensor, "I J K"]:
        """Voxels that some frame has passed."""
        return (self._weight > 0).reshape(self.shape)

    def volume(self) -> Volume:
        """Mean of the frames in each voxel, zero where none has passed."""
        mean = self._sum / self._weight.clamp_min(torch.finfo(self._weight.dtype).tiny)
        return Volume(mean.reshape(self.shape), self.world_from_voxel)

    def _near(self, probe: Probe, world_from_probe: Float64[Tensor, "4 4"]) -> _Near:
        """Voxels within half the thickness of a frame and inside its field of view."""
        probe_from_voxel = torch.linalg.inv(world_from_probe.double().cpu()) @ self.world_from_voxel
        slope = probe_from_voxel[1, :3]
        # Along the axis that crosses the plane most steeply each column has a few voxels near it.
        across = int(slope.abs().argmax())
        box = self._box(probe, torch.linalg.inv(probe_from_voxel))
        ranges = [torch.arange(*box[axis]) for axis in range(3) if axis != across]
        columns = torch.cartesian_prod(*ranges).double()
        voxels = columns.new_zeros(len(columns), 3)
        voxels[:, [axis for axis in range(3) if axis != across]] = columns
        crossing = -(voxels @ slope + probe_from_voxel[1, 3]) / slope[across]
        reach = math.ceil(self.half_mm / float(slope[across].abs()))
        voxels = voxels.repeat(2 * reach + 1, 1)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64).repeat_interleave(len(columns))
        voxels[:, across] = crossing.round().repeat(2 * reach + 1) + steps
        points = (voxels @ probe_from_voxel[:3, :3].T + probe_from_voxel[:3, 3]).float()
        kept = (points[:, 1].abs() < self.half_mm) & probe.field_of_view_mask(points[:, 0], points[:, 2])
        kept &= (voxels[:, across] >= 0) & (voxels[:, across] < self.shape[across])
        i, j, k = voxels[kept].long().unbind(dim=-1)
        return _Near((i * self.shape[1] + j) * self.shape[2] + k, points[kept])

    def _box(self, probe: Probe, voxel_from_probe: Float64[Tensor, "4 4"]) -> list[tuple[int, int]]:
        """First and last-but-one index along each axis around a frame and its thickness."""
        left, right, top, bottom = probe.plane_bounds_mm()
        sides = [(left, right), (-self.half_mm, self.half_mm), (top, bottom)]
        corners = torch.cartesian_prod(*(torch.tensor(side, dtype=torch.float64) for side in sides))
        index = corners @ voxel_from_probe[:3, :3].T + voxel_from_probe[:3, 3]
        lows, highs = index.min(dim=0).values.floor().tolist(), index.max(dim=0).values.ceil().tolist()
        bounds = zip(lows, highs, self.shape, strict=True)
        return [(min(max(int(low), 0), n), max(min(int(high) + 1, n), 0)) for low, high, n in bounds]


class _Near(NamedTuple):
    """Flat numbers of voxels and where they lie in the probe's frame."""

    voxels: Tensor
    points_mm: Float[Tensor, "V 3"]
