"""Surfaces of masks and labels: smooth, thinned out, in world mm."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from diffus.checks import require_one_of, require_positive
from diffus.extras import import_extra
from diffus.scene.levels import Levels
from diffus.scene.shapes import Shape
from diffus.segmentation import body_mask, brain_mask, morphology
from diffus.segmentation.grid import Factors, average_down, coarsening_factors
from diffus.volume import Volume

KINDS = ("mask", "brain", "head", "body")
"""What the surface of a volume may be of."""

_HEAD_MM = 2.0
_MARGIN = 2
_EDGE_DEG = 60.0


def mask_of(volume: Volume, kind: str, contrast: str) -> Volume:
    """The mask of what is to be shown of a volume.

    Args:
        volume: a mask, an MRI or a CT.
        kind: ``mask`` takes the volume as one (inside where it is not 0), ``brain`` and ``head`` find it in
            an MRI, ``body`` in a CT.
        contrast: of the MRI, as `brain_mask` knows it.

    Raises:
        ValueError: for an unknown kind, or where there is no such thing in the volume.
    """
    require_one_of("kind of surface", kind, KINDS)
    if kind == "mask":
        return volume
    if kind == "brain":
        return brain_mask(volume, contrast)
    coarse = average_down(volume, coarsening_factors(volume, _HEAD_MM))
    return body_mask(coarse) if kind == "body" else _head_mask(coarse)


def surface_of(mask: Volume, detail_mm: float, n_triangles: int, closed: bool = True) -> Shape:
    """The surface around a mask: at half of its smoothed values, smoothed, and thinned out.

    The mask is averaged down to voxels of about ``detail_mm`` block by block, never copied whole. The
    smoothing is that of Taubin (SIGGRAPH 1995) as a windowed sinc, which does not shrink; the triangles are
    thinned out by quadric errors (Garland and Heckbert, SIGGRAPH 1997).

    Args:
        mask: inside where it is not 0.
        detail_mm: voxels that the surface is found on.
        n_triangles: at most, nearly.
        closed: whether the surface is closed where the mask reaches the border of the grid, half a voxel
            beyond the last centres; else it is left open there.

    Raises:
        ValueError: when the mask is empty, or fills the grid and is to be left open.
    """
    require_positive("surface", detail_mm=detail_mm, n_triangles=n_triangles)
    factors = coarsening_factors(mask, detail_mm)
    share = _share_inside(mask, factors)[None, None]
    soft = torch.nn.functional.pad(share, [_MARGIN] * 6, mode="constant" if closed else "replicate")[0, 0]
    soft = morphology.smooth(soft, (1.0, 1.0, 1.0), 0.6)
    if not closed:
        soft = soft[1:-1, 1:-1, 1:-1]
    margin = _MARGIN if closed else _MARGIN - 1
    if not float(soft.min()) < 0.5 < float(soft.max()):
        raise ValueError(
            "there is no surface: the mask is empty, fills the grid, or is thinner than the detail of "
            f"{detail_mm:g} mm that was asked for"
        )
    points, triangles = _contour(soft)
    step, affine = np.array(factors), mask.world_from_voxel.numpy()
    voxels = (points - margin) * step + (step - 1) / 2
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    return _thinned(Shape(world, triangles), n_triangles)


def volume_mm3(shape: Shape) -> float:
    """Volume inside a closed surface (the divergence theorem); negative where its triangles face inwards."""
    away = shape.points - shape.points.mean(axis=0)
    a, b, c = (away[shape.triangles[:, corner]] for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def _share_inside(mask: Volume, factors: Factors) -> Float[Tensor, "a b c"]:
    """Share of every block of voxels that is inside; what a block has beyond the grid is outside."""
    _, *across = mask.shape
    margin = [0] * 6
    margin[3], margin[1] = (-size % factor for size, factor in zip(across, factors[1:], strict=True))
    blocks = []
    for start in range(0, mask.shape[0], factors[0]):
        slab = (mask.data[start : start + factors[0]] != 0).to(torch.float32)
        margin[5] = factors[0] - len(slab)
        padded = torch.nn.functional.pad(slab, margin)
        blocks.append(torch.nn.functional.avg_pool3d(padded[None, None], factors)[0, 0])
    return torch.cat(blocks)


def _contour(
    soft: Float[Tensor, "I J K"],
) -> tuple[Float64[np.ndarray, "P 3"], Int[np.ndarray, "T 3"]]:
    """Where values cross one half, in voxels of the grid."""
    pyvista = import_extra("pyvista", "scene", "a 3D scene")
    image = pyvista.ImageData(dimensions=tuple(soft.shape))
    # VTK counts its first axis fastest.
    image.point_data["soft"] = soft.permute(2, 1, 0).reshape(-1).numpy()
    found = image.contour([0.5], scalars="soft", method="flying_edges", compute_normals=False)
    return np.asarray(found.points, dtype=np.float64), found.regular_faces.astype(np.int64)


def _thinned(shape: Shape, n_triangles: int) -> Shape:
    pyvista = import_extra("pyvista", "scene", "a 3D scene")
    mesh = pyvista.PolyData.from_regular_faces(shape.points, shape.triangles)
    mesh = mesh.smooth_taubin(n_iter=20, pass_band=0.1, normalize_coordinates=True)
    if mesh.n_cells > n_triangles:
        mesh = mesh.decimate(1 - n_triangles / mesh.n_cells, volume_preservation=True)
    # Faces cut off by the border of the grid meet the rest at an edge, which is not to be shaded as round.
    mesh = mesh.compute_normals(split_vertices=True, feature_angle=_EDGE_DEG, consistent_normals=False)
    points = np.asarray(mesh.points, dtype=np.float64)
    thin = Shape(points, mesh.regular_faces.astype(np.int64))
    if volume_mm3(thin) < 0:
        thin = Shape(points, thin.triangles[:, ::-1].copy())
    return thin


def _head_mask(volume: Volume) -> Volume:
    """The head in an MRI: the largest piece that is not air, with what it encloses."""
    solid = volume.data > Levels.of(volume).air
    piece = morphology.open_largest(solid, volume.spacing_mm, 2.0)
    if not bool(piece.any()):
        raise ValueError("no head found: nothing in the volume is brighter than its background")
    return Volume(morphology.close(piece, volume.spacing_mm, 8.0), volume.world_from_voxel)
