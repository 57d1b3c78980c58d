"""Planes through the world: where the pixels of a slice lie, and which way its axes run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of, require_positive, require_shape
from diffus.probe import Probe
from diffus.sampling import inside_grid, sample_trilinear
from diffus.volume import Volume

CONVENTIONS = ("radiological", "neurological")
"""Which side of an axial or coronal slice the patient's right is on: the left, or the right."""
MOST_PIXELS = 768
"""Of the longer side of an anatomical plane, unless a spacing is given."""
_AXES = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
_WORLD = ("R", "A", "S")
_LETTERS = ("LR", "PA", "IS")
_SMALL = 0.35
"""Share of a direction below which its letter is left out: about 20 degrees."""
_CHUNK = 2**16


@dataclass(frozen=True, eq=False)
class Plane:
    """A rectangle of the world with square pixels. Its two axes are in mm.

    Args:
        world_from_plane: rigid (4, 4); the point (u, v) mm of the plane lies at
            ``world_from_plane @ [u, v, 0, 1]``, RAS+ mm.
        extent_mm: u at the left and at the right edge, then v at the bottom and at the top edge, as they are
            drawn; either may fall.
        spacing_mm: side of a pixel.
        labels: of the horizontal and the vertical axis, with their unit.
        name: what the plane is, for a title.
    """

    world_from_plane: Float64[Tensor, "4 4"]
    extent_mm: tuple[float, float, float, float]
    spacing_mm: float
    labels: tuple[str, str]
    name: str

    @classmethod
    def of_fan(
        cls,
        probe: Probe,
        world_from_probe: Float64[Tensor, "4 4"],
        margin_mm: float = 20.0,
        spacing_mm: float = 0.5,
    ) -> Plane:
        """The plane of the scanlines in the probe's own frame: u is lateral x, v is depth z, downwards.

        Args:
            probe: whose field of view.
            world_from_probe: its pose.
            margin_mm: shown around the field of view.
            spacing_mm: side of a pixel.

        Raises:
            ValueError: for a pose that is not a rigid (4, 4), or a spacing that is not above zero.
        """
        require_positive("Plane", spacing_mm=spacing_mm)
        at = single_pose(world_from_probe)
        left, right, top, bottom = probe.plane_bounds_mm()
        matrix = torch.stack([at[:, 0], at[:, 2], -at[:, 1], at[:, 3]], dim=1)
        u = _whole(left - margin_mm, right + margin_mm, spacing_mm)
        v = _whole(top - margin_mm, bottom + margin_mm, spacing_mm)
        labels = ("lateral x (mm)", "depth z (mm)")
        return cls(matrix, (u[0], u[1], v[1], v[0]), spacing_mm, labels, "slice in the image plane")

    @classmethod
    def anatomical(
        cls,
        orientation: str,
        point_mm: Any,
        volume: Volume,
        convention: str = "radiological",
        spacing_mm: float | None = None,
    ) -> Plane:
        """An axial, coronal or sagittal plane, as large as the volume; its axes are world RAS mm.

        In the radiological convention, 3D Slicer's default, axial and coronal slices have the patient's right
        on the left, and sagittal ones the face. In the neurological convention both are on the right.

        Args:
            orientation: axial, coronal or sagittal.
            point_mm: world point in the plane.
            volume: how far the plane reaches, whatever way its voxels are turned.
            convention: radiological or neurological.
            spacing_mm: side of a pixel; by default the smallest spacing of the volume, or what makes
                `MOST_PIXELS` of the longer side.

        Raises:
            ValueError: for an unknown orientation or convention, a point outside the volume, or a spacing
                that is not above zero.
        """
        require_one_of("orientation", orientation, _AXES)
        require_one_of("convention", convention, CONVENTIONS)
        point = point_in(volume, point_mm)
        low, high = world_bounds_mm(volume)
        across, up = _AXES[orientation]
        longest = max(high[across] - low[across], high[up] - low[up])
        spacing = max(min(volume.spacing_mm), longest / MOST_PIXELS) if spacing_mm is None else spacing_mm
        require_positive("Plane", spacing_mm=spacing)
        (normal,) = {0, 1, 2} - {across, up}
        matrix = torch.zeros(4, 4, dtype=torch.float64)
        matrix[across, 0] = matrix[up, 1] = matrix[3, 3] = 1
        matrix[:3, 2] = torch.linalg.cross(matrix[:3, 0], matrix[:3, 1])
        matrix[normal, 3] = point[normal]
        u, v = (_whole(low[axis], high[axis], spacing) for axis in (across, up))
        if convention == "radiological":
            u = (u[1], u[0])
        labels = (f"world {_WORLD[across]} (mm)", f"world {_WORLD[up]} (mm)")
        name = f"{orientation}, {_WORLD[normal]} = {float(point[normal]):.1f} mm"
        return cls(matrix, (*u, *v), spacing, labels, name)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        left, right, bottom, top = self.extent_mm
        return round(abs(top - bottom) / self.spacing_mm), round(abs(right - left) / self.spacing_mm)

    @property
    def aspect(self) -> float:
        """Height over width."""
        left, right, bottom, top = self.extent_mm
        return abs(top - bottom) / abs(right - left)

    @property
    def normal(self) -> Float64[Tensor, "3"]:
        """World direction across the plane."""
        return self.world_from_plane[:3, 2]

    def centres_mm(self) -> tuple[Float64[Tensor, " W"], Float64[Tensor, " H"]]:
        """Positions u of the columns from the left and v of the rows from the top."""
        rows, columns = self.shape
        left, right, bottom, top = self.extent_mm
        u = left + (torch.arange(columns, dtype=torch.float64) + 0.5) * ((right - left) / columns)
        v = top + (torch.arange(rows, dtype=torch.float64) + 0.5) * ((bottom - top) / rows)
        return u, v

    def coordinates(self, points_mm: Float64[Tensor, "P 3"]) -> Float64[Tensor, "P 3"]:
        """World points as u, v and the distance from the plane, in mm."""
        return pose.transform_points(pose.inverse(self.world_from_plane), points_mm)

    def sample(self, volume: Volume) -> Shaped[Tensor, "H W"]:
        """Trilinear values of a volume at the pixels, first row at the top; NaN outside.

        Only the pixels are read: the volume is neither copied nor converted, unless it is in half precision.
        """
        data = volume.data.detach()
        if data.dtype in (torch.float16, torch.bfloat16):
            data = data.float()
        # Longest stride first, so that sampling can take the voxels as one row, whatever their order.
        order = sorted(range(3), key=lambda axis: -data.stride(axis))
        grid = data.permute(order)[..., None]

        def look_up(index: Tensor) -> Tensor:
            index = index.to(data.device, torch.float64 if data.dtype == torch.float64 else torch.float32)
            values = sample_trilinear(grid, index[..., order])[..., 0]
            return values.masked_fill(~inside_grid(index, volume.shape), math.nan)

        return self._looked_up(volume, look_up)

    def sample_nearest(self, labels: Volume) -> Shaped[Tensor, "H W"]:
        """The value of the nearest voxel at each pixel, for labels and masks; 0 outside."""
        data = labels.data.detach()
        last = torch.tensor(labels.shape) - 1

        def look_up(index: Tensor) -> Tensor:
            nearest = index.round().long()
            outside = ((nearest < 0) | (nearest > last)).any(dim=-1).to(data.device)
            i, j, k = nearest.clamp(torch.zeros_like(last), last).to(data.device).unbind(-1)
            return data[i, j, k].masked_fill(outside, 0)

        return self._looked_up(labels, look_up)

    def _looked_up(self, volume: Volume, look_up: Any) -> Tensor:
        voxel_from_plane = volume.voxel_from_world @ self.world_from_plane
        u, v = self.centres_mm()
        rows = max(1, _CHUNK // len(u))
        parts = []
        for some in v.split(rows):
            place = torch.stack(torch.broadcast_tensors(u, some[:, None]), dim=-1)
            parts.append(look_up(place @ voxel_from_plane[:3, :2].T + voxel_from_plane[:3, 3]).cpu())
        return torch.cat(parts)

    def edge_letters(self) -> dict[str, str]:
        """Where the left, right, bottom and top of the drawing lie in the body, as ``"R"`` or ``"AS"``."""
        left, right, bottom, top = self.extent_mm
        u = self.world_from_plane[:3, 0] * (1 if right > left else -1)
        v = self.world_from_plane[:3, 1] * (1 if top > bottom else -1)
        ways = {"left": -u, "right": u, "bottom": -v, "top": v}
        return {edge: _letters(way.tolist()) for edge, way in ways.items()}


def single_pose(world_from_probe: Any) -> Float64[Tensor, "4 4"]:
    """One pose without its graph, on the CPU.

    Raises:
        ValueError: when it is not a rigid (4, 4).
    """
    at = pose.from_matrix(world_from_probe).detach().cpu()
    require_shape("world_from_probe", at.shape, "(4, 4), one pose", at.ndim == 2)
    return at


def point_in(volume: Volume, point_mm: Any) -> Float64[Tensor, "3"]:
    """A world point that lies in a volume, up to the outer faces of its voxels.

    Raises:
        ValueError: when it is not three finite numbers, or lies outside.
    """
    point = torch.as_tensor(point_mm, dtype=torch.float64).detach().cpu()
    require_shape("point_mm", point.shape, "(3,)", point.shape == (3,))
    index = pose.transform_points(volume.voxel_from_world, point[None])[0]
    last = torch.tensor(volume.shape, dtype=torch.float64) - 0.5
    if not bool(((index >= -0.5 - 1e-6) & (index <= last + 1e-6)).all()):
        low, high = world_bounds_mm(volume)
        reach = ", ".join(f"{axis} {a:.1f} to {b:.1f}" for axis, a, b in zip(_WORLD, low, high, strict=True))
        given = ", ".join(f"{value:.1f}" for value in point.tolist())
        raise ValueError(f"the point ({given}) mm lies outside the volume, which reaches over {reach} mm")
    return point


def world_bounds_mm(volume: Volume) -> tuple[list[float], list[float]]:
    """Lowest and highest R, A and S that the voxels reach, outer faces included."""
    corners = torch.cartesian_prod(*(torch.tensor([-0.5, n - 0.5]).double() for n in volume.shape))
    world = pose.transform_points(volume.world_from_voxel, corners)
    return world.amin(dim=0).tolist(), world.amax(dim=0).tolist()


def _whole(low: float, high: float, spacing_mm: float) -> tuple[float, float]:
    """The range from ``low``, lengthened to whole pixels."""
    return low, low + max(1, math.ceil((high - low) / spacing_mm - 1e-6)) * spacing_mm


def _letters(direction: list[float]) -> str:
    """Anatomical letters of a world direction, the largest component first, small ones left out."""
    order = sorted(range(3), key=lambda axis: -abs(direction[axis]))
    return "".join(_LETTERS[axis][direction[axis] > 0] for axis in order if abs(direction[axis]) > _SMALL)
