"""Flat pictures in space: the B-mode image in its sector, and slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of, require_positive
from diffus.extras import import_extra
from diffus.frame import Frame
from diffus.probe import Probe
from diffus.scene.levels import Levels
from diffus.scene.parts import Picture
from diffus.scene.shapes import stitched
from diffus.segmentation import morphology
from diffus.volume import Volume

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The world axis that each orthogonal plane stands on."""

_CUT_MM = 1.5
"""Side of the squares from which the outline of a slice is cut."""
_CLEFT = 4
"""Half the width, in such squares, of the clefts that count as part of a slice."""


def frame_picture(frame: Frame, which: int = 0, spacing_mm: float | None = None) -> Picture:
    """A B-mode image in its sector, where the pose puts it.

    Only the sector is there, outlined by the scanlines' own starts and ends. The image is that of
    `Frame.cartesian`.

    Args:
        frame: whose image.
        which: image of the batch.
        spacing_mm: side of a pixel.
    """
    one = frame[which].detach()
    grid = one.grid(spacing_mm)
    flat = sector_points(one.probe)
    shape = stitched(flat, closed=False)
    left, right, top, bottom = grid.edges_mm()
    places = (shape.points[:, [0, 2]] - [left, top]) / [right - left, bottom - top]
    image = (one.cartesian(spacing_mm)[0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    world = pose.transform_points(one.world_from_probe[0], torch.from_numpy(shape.points)).numpy()
    return Picture("B-mode", world, shape.triangles, places, image)


def sector_points(probe: Probe, most: int = 129) -> Float64[np.ndarray, "2 lines 3"]:
    """Starts and ends of the scanlines, of many only some, in the probe frame."""
    lines = probe.scanlines()
    count = min(probe.n_scanlines, most)
    pick = torch.linspace(0, probe.n_scanlines - 1, count).round().long()
    if probe.wraps:
        pick = torch.cat([pick, pick[:1]])
    starts, directions = lines.origins_mm[pick].detach(), lines.directions[pick].detach()
    depth = float(torch.as_tensor(probe.depth_mm, dtype=torch.float64).detach())
    return torch.stack([starts, starts + depth * directions]).numpy()


def slice_picture(
    volume: Volume,
    levels: Levels,
    plane: str,
    at_mm: Sequence[float] | Float[Tensor, "3"],
    spacing_mm: float,
) -> Picture | None:
    """An axial, coronal or sagittal slice through a point; None where the plane misses the volume.

    Args:
        volume: what to cut.
        levels: its grey values and what is air in it.
        plane: axial, coronal or sagittal (planes of the world, RAS+).
        at_mm: a point of the plane.
        spacing_mm: side of a pixel.
    """
    require_one_of("plane", plane, PLANES)
    normal = PLANES[plane]
    first, second = (axis for axis in range(3) if axis != normal)
    place = torch.eye(4, dtype=torch.float64)
    place[:3, 0], place[:3, 1] = torch.eye(3)[first].double(), torch.eye(3)[second].double()
    place[:3, 2] = torch.linalg.cross(place[:3, 0], place[:3, 1])
    place[normal, 3] = float(at_mm[normal])
    corners = corners_mm(volume)
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    if not float(low[normal]) <= float(at_mm[normal]) <= float(high[normal]):
        return None
    bounds = (float(low[first]), float(high[first]), float(low[second]), float(high[second]))
    return _cut(volume, levels, place, bounds, spacing_mm, plane)


def fan_picture(
    volume: Volume,
    levels: Levels,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    margin_mm: float,
    spacing_mm: float,
) -> Picture | None:
    """The volume in the plane of a probe's scanlines; None where it holds nothing there.

    Args:
        volume: what to cut.
        levels: its grey values and what is air in it.
        probe: whose plane.
        world_from_probe: its pose.
        margin_mm: how far beyond the field of view.
        spacing_mm: side of a pixel.
    """
    left, right, top, bottom = probe.plane_bounds_mm()
    bounds = (left - margin_mm, right + margin_mm, top - margin_mm, bottom + margin_mm)
    place = world_from_probe.detach().cpu()[:, [0, 2, 1, 3]].clone()
    return _cut(volume, levels, place, bounds, spacing_mm, "slice in the image plane")


def corners_mm(volume: Volume) -> Float64[Tensor, "8 3"]:
    """The centres of a volume's corner voxels."""
    index = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0], dtype=torch.float64) for n in volume.shape))
    return index @ volume.world_from_voxel[:3, :3].T + volume.world_from_voxel[:3, 3]


def _cut(
    volume: Volume,
    levels: Levels,
    place: Float64[Tensor, "4 4"],
    bounds: tuple[float, float, float, float],
    spacing_mm: float,
    name: str,
) -> Picture | None:
    """A slice whose first and second axis are the columns of ``place``, trimmed to what is not air."""
    require_positive("slice", spacing_mm=spacing_mm)
    low_u, high_u, low_v, high_v = bounds
    u = torch.arange(low_u + spacing_mm / 2, high_u, spacing_mm, dtype=torch.float64)
    v = torch.arange(low_v + spacing_mm / 2, high_v, spacing_mm, dtype=torch.float64)
    image = levels.grey(_values(volume, place, u, v))
    coarse_u = torch.arange(low_u - _CUT_MM, high_u + 2 * _CUT_MM, _CUT_MM, dtype=torch.float64)
    coarse_v = torch.arange(low_v - _CUT_MM, high_v + 2 * _CUT_MM, _CUT_MM, dtype=torch.float64)
    solid = _solid(_values(volume, place, coarse_u, coarse_v) > levels.air)
    solid[:, (coarse_u < low_u) | (coarse_u > high_u)] = False
    solid[(coarse_v < low_v) | (coarse_v > high_v)] = False
    if not bool(solid.any()):
        return None
    flat, triangles = _trimmed(solid, coarse_u, coarse_v)
    span = np.array([len(u), len(v)]) * spacing_mm
    places = (flat - [low_u, low_v]) / span
    world = flat @ place[:3, :2].numpy().T + place[:3, 3].numpy()
    return Picture(name, world, triangles, places, image, behind=True)


def _values(
    volume: Volume, place: Float64[Tensor, "4 4"], u: Float64[Tensor, " U"], v: Float64[Tensor, " V"]
) -> Float[Tensor, "V U"]:
    """Samples on a plane, in the volume's own precision, so that it is not copied."""
    grid_v, grid_u = torch.meshgrid(v, u, indexing="ij")
    points = grid_u[..., None] * place[:3, 0] + grid_v[..., None] * place[:3, 1] + place[:3, 3]
    return volume.sample(points.to(volume.data.dtype if volume.data.is_floating_point() else torch.float32))


def _solid(mask: Bool[Tensor, "V U"]) -> Bool[Tensor, "V U"]:
    """The largest piece, with its clefts and what it encloses: an ear or a sinus is no hole in a slice."""
    image = sitk.GetImageFromArray(mask.numpy().astype("uint8"))
    largest = sitk.RelabelComponent(sitk.ConnectedComponent(image)) == 1
    filled = sitk.BinaryFillhole(sitk.BinaryMorphologicalClosing(largest, [_CLEFT] * 2))
    return torch.from_numpy(sitk.GetArrayFromImage(filled)).bool()


def _trimmed(
    solid: Bool[Tensor, "V U"], u: Float64[Tensor, " U"], v: Float64[Tensor, " V"]
) -> tuple[Float64[np.ndarray, "P 2"], np.ndarray]:
    """The part of a plane that is solid, its outline smoothed to half a square: corners (u, v), triangles."""
    pyvista = import_extra("pyvista", "scene", "a 3D scene")
    soft = (
        morphology.smooth(solid[None].float(), (1.0, 1.0, 1.0), 0.7)[0] if len(solid) > 3 else solid.float()
    )
    plane = pyvista.ImageData(dimensions=(len(u), len(v), 1), spacing=(_CUT_MM, _CUT_MM, 1.0))
    plane.point_data["solid"] = (soft * solid.any()).numpy().ravel()
    plane.origin = (float(u[0]), float(v[0]), 0.0)
    surface = plane.extract_surface(algorithm=None)
    kept = surface.clip_scalar(scalars="solid", invert=False, value=0.5).triangulate()
    return np.asarray(kept.points, dtype=np.float64)[:, :2], kept.regular_faces.astype(np.int64)
