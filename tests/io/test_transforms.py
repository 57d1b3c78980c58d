"""Transforms and displacement fields in ITK's files, against what SimpleITK makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.support import placed
from torch import Tensor

from diffus import pose
from diffus.bspline import BSplineDisplacement
from diffus.io.transforms import (
    load_displacement_field,
    load_transform,
    save_displacement_field,
    save_transform,
)

RIGID = pose.exp(torch.tensor([12.0, -25.0, 40.0, 3.0, -7.0, 11.0]))
AFFINE = RIGID @ torch.tensor(
    [[1.1, 0.05, 0, 2], [0, 0.9, -0.1, 0], [0.02, 0, 1.05, -1], [0, 0, 0, 1]], dtype=torch.float64
)
GRID, SHAPE = placed(), (21, 24, 13)


def spline() -> BSplineDisplacement:
    rest = BSplineDisplacement.at_rest(GRID, SHAPE, spacing_mm=6.0)
    return rest.with_coefficients(3 * torch.randn(rest.coefficients.shape, dtype=torch.float64))


def points_inside(count: int = 50) -> Tensor:
    index = torch.rand(count, 3, dtype=torch.float64) * (torch.tensor(SHAPE) - 1)
    return index @ GRID[:3, :3].T + GRID[:3, 3]


def by_itk(transform: sitk.Transform, points_ras: Tensor) -> Tensor:
    """ITK's answer, in RAS."""
    flip = np.array([-1.0, -1.0, 1.0])
    found = [
        np.array(transform.TransformPoint((point * flip).tolist())) * flip for point in points_ras.numpy()
    ]
    return torch.from_numpy(np.stack(found))


@pytest.mark.parametrize("extension", [".tfm", ".h5", ".txt"])
@pytest.mark.parametrize(
    ("matrix", "kind"), [(RIGID, "Euler3DTransform"), (AFFINE, "AffineTransform")], ids=["rigid", "affine"]
)
def test_itk_moves_points_as_the_matrix_does(
    tmp_path: Path, extension: str, matrix: Tensor, kind: str
) -> None:
    path = save_transform(tmp_path / f"found{extension}", matrix)
    read = sitk.ReadTransform(str(path))
    assert kind in read.Downcast().GetName()
    points = points_inside()
    assert torch.allclose(by_itk(read, points), pose.transform_points(matrix, points), atol=1e-9)
    assert torch.allclose(load_transform(path).moving_from_fixed, matrix, atol=1e-9)


@pytest.mark.parametrize("extension", [".tfm", ".h5"])
def test_itk_moves_points_as_the_spline_does(tmp_path: Path, extension: str) -> None:
    free = spline()
    path = save_transform(tmp_path / f"found{extension}", AFFINE, free)
    points = points_inside()
    moved = pose.transform_points(AFFINE, points + free.at(points))
    assert torch.allclose(by_itk(sitk.ReadTransform(str(path)), points), moved, atol=1e-7)
    read = load_transform(path)
    assert read.displacement is not None
    assert torch.allclose(read.displacement.coefficients, free.coefficients, atol=1e-9)
    assert torch.allclose(read.displacement.world_from_control, free.world_from_control, atol=1e-6)


def test_transform_with_a_centre_is_read_as_itk_applies_it(tmp_path: Path) -> None:
    made = sitk.Euler3DTransform((10.0, -20.0, 30.0), 0.1, -0.3, 0.2, (1.0, 2.0, -3.0))
    sitk.WriteTransform(made, str(tmp_path / "centred.tfm"))
    read = load_transform(tmp_path / "centred.tfm")
    points = points_inside()
    assert torch.allclose(
        pose.transform_points(read.moving_from_fixed, points), by_itk(made, points), atol=1e-9
    )


@pytest.mark.parametrize("extension", [".nii.gz", ".nrrd", ".mha"])
def test_itk_moves_points_by_the_field(tmp_path: Path, extension: str) -> None:
    field = torch.randn(*SHAPE, 3, dtype=torch.float64)
    path = save_displacement_field(tmp_path / f"field{extension}", field, GRID)
    back, affine = load_displacement_field(path)
    # NIfTI keeps places in single precision.
    assert torch.allclose(affine, GRID, atol=1e-4)
    assert torch.allclose(back, field, atol=1e-6)
    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    voxel = torch.tensor([[5, 7, 3], [20, 0, 12], [1, 23, 6]])
    points = voxel.double() @ affine[:3, :3].T + affine[:3, 3]
    moved = points + field[tuple(voxel.T)]
    assert torch.allclose(by_itk(transform, points), moved, atol=1e-2)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown extension for a transform, expected one of \.tfm"):
        save_transform(tmp_path / "found.json", RIGID)
    with pytest.raises(ValueError, match="no affine transform"):
        save_transform(tmp_path / "found.tfm", torch.zeros(4, 4))
    with pytest.raises(FileNotFoundError, match="no such transform file"):
        load_transform(tmp_path / "absent.tfm")
    (tmp_path / "broken.tfm").write_text("not a transform", encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.tfm"):
        load_transform(tmp_path / "broken.tfm")
    sitk.WriteTransform(sitk.ScaleTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "scale.tfm"))
    with pytest.raises(ValueError, match="ScaleTransform: expected Euler3DTransform"):
        load_transform(tmp_path / "scale.tfm")
    with pytest.raises(ValueError, match="NaN or Inf"):
        save_displacement_field(tmp_path / "field.mha", torch.full((2, 2, 2, 3), torch.nan), GRID)
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkFloat32), str(tmp_path / "scalar.mha"))
    with pytest.raises(ValueError, match="no displacement field"):
        load_displacement_field(tmp_path / "scalar.mha")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.tfm", "scalar.mha", "scale.tfm"]
