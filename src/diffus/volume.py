"""Volume: voxels in the file's own order and where they lie in the world (RAS+, mm)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.affine import check_affine, orientation_of, spacing_of
from diffus.checks import require_shape
from diffus.sampling import inside_grid, sample_trilinear


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image with its place in the world.

    Args:
        data: voxels (I, J, K) in the order of the file; floating point, boolean or integer.
        world_from_voxel: (4, 4), ``world = world_from_voxel @ [i, j, k, 1]`` in RAS+ millimetres, voxel
            centres at integer indices. Kept as float64 on the CPU. May be oblique, anisotropic and
            left-handed; not singular and not sheared.

    Raises:
        ValueError: when the data are not 3D or are empty, hold NaN or Inf, or when the affine is not a
            finite (4, 4) with orthogonal, non-zero columns.
    """

    data: Tensor
    world_from_voxel: Float64[Tensor, "4 4"]

    def __post_init__(self) -> None:
        data = torch.as_tensor(self.data)
        require_shape("Volume data", data.shape, "(I, J, K)", data.ndim == 3)
        if data.numel() == 0:
            raise ValueError(f"Volume data is empty: shape {tuple(data.shape)}")
        if data.is_floating_point():
            lowest, highest = torch.aminmax(data.detach())  # NaN comes through; no copy of the volume is made
            if not (torch.isfinite(lowest) and torch.isfinite(highest)):
                bad = data.numel() - int(torch.isfinite(data).sum())
                raise ValueError(
                    f"Volume data holds {bad} NaN or infinite voxels of {data.numel()}: "
                    "replace them (numpy.nan_to_num) before use"
                )
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "world_from_voxel", check_affine(self.world_from_voxel))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Volume:
        """Read NIfTI, NRRD, MHA/MHD or a folder holding one DICOM series, as float32.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it cannot be read as one 3D image.
        """
        from diffus.io.volumes import load_volume

        return load_volume(path)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write NIfTI, NRRD or MHA by the file's extension; opens in 3D Slicer at its place.

        Raises:
            ValueError: for an unknown extension or a place that cannot be written.
        """
        from diffus.io.volumes import save_volume

        return save_volume(self, path)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along i, j and k."""
        return spacing_of(self.world_from_voxel)

    @property
    def orientation(self) -> str:
        """Where i, j and k grow to, nearest anatomical directions, as ``"RAS"``."""
        return orientation_of(self.world_from_voxel)

    @property
    def voxel_from_world(self) -> Float64[Tensor, "4 4"]:
        """The inverse of ``world_from_voxel``, inverted in float64."""
        return torch.linalg.inv(self.world_from_voxel)

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Edge to edge size along i, j and k."""
        i, j, k = (n * s for n, s in zip(self.shape, self.spacing_mm, strict=True))
        return i, j, k

    @property
    def centre_mm(self) -> Float64[Tensor, "3"]:
        """World position of the middle of the grid."""
        middle = (torch.tensor(self.shape, dtype=torch.float64) - 1) / 2
        return self.world_from_voxel[:3, :3] @ middle + self.world_from_voxel[:3, 3]

    def sample(self, points_mm: Float[Tensor, "*points 3"]) -> Float[Tensor, "*points"]:
        """Trilinear interpolation at world points; zero outside the grid."""
        matrix = self.voxel_from_world.to(points_mm)
        index = points_mm @ matrix[:3, :3].T + matrix[:3, 3]
        data = self.data.to(points_mm.dtype) if self.data.is_floating_point() else self.data
        values = sample_trilinear(data[..., None], index)[..., 0]
        return values * inside_grid(index, self.shape)

    def contains(self, points_mm: Float[Tensor, "*points 3"]) -> Bool[Tensor, "*points"]:
        """Whether world points lie between the outermost voxel centres."""
        matrix = self.voxel_from_world.to(points_mm)
        return inside_grid(points_mm @ matrix[:3, :3].T + matrix[:3, 3], self.shape)

    def resample(
        self, shape: tuple[int, int, int], world_from_voxel: Float64[Tensor, "4 4"], chunk: int = 2**20
    ) -> Volume:
        """Trilinear resampling onto another grid; zero outside this one.

        Args:
            shape: voxels of the new grid.
            world_from_voxel: place of the new grid.
            chunk: points sampled at a time, which bounds the memory.
        """
        affine = check_affine(world_from_voxel)
        index_from_index = self.voxel_from_world @ affine
        dtype = self.data.dtype if self.data.is_floating_point() else torch.float32
        values = torch.empty(shape, dtype=dtype)
        flat = values.view(-1)
        for start in range(0, flat.numel(), chunk):
            linear = torch.arange(start, min(start + chunk, flat.numel()))
            new = torch.stack(torch.unravel_index(linear, shape), dim=-1).double()
            old = (new @ index_from_index[:3, :3].T + index_from_index[:3, 3]).to(dtype)
            sampled = sample_trilinear(self.data[..., None], old)[..., 0]
            flat[start : start + len(linear)] = sampled * inside_grid(old, self.shape)
        return Volume(values, affine)

    def crop(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Volume:
        """The voxels ``start <= index < stop``, which keep their place in the world.

        Raises:
            ValueError: when the box is empty or reaches outside the grid.
        """
        if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True)):
            raise ValueError(f"crop from {start} to {stop} does not fit in a volume of shape {self.shape}")
        affine = self.world_from_voxel.clone()
        affine[:3, 3] += affine[:3, :3] @ torch.tensor(start, dtype=torch.float64)
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        return Volume(self.data[box], affine)

    def same_grid(self, other: Volume) -> bool:
        """Whether both have one shape and places that agree within a hundredth of a voxel."""
        if self.shape != other.shape:
            return False
        tolerance = 0.01 * min(self.spacing_mm)
        corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0]) for n in self.shape)).double()
        corners = torch.cat([corners, torch.ones(8, 1, dtype=torch.float64)], dim=1)
        difference = (self.world_from_voxel - other.world_from_voxel) @ corners.T
        return bool(difference[:3].norm(dim=0).max() <= tolerance)

    def __repr__(self) -> str:
        from diffus.reprs.facts import paragraph, volume_facts

        return paragraph(self, volume_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import volume_page

        return volume_page(self)

    def _repr_png_(self) -> bytes | None:
        from diffus.reprs.pictures import volume_picture

        return volume_picture(self)
