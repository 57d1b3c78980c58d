"""Transforms between volumes in ITK's files, and displacement fields.

ITK's transforms take points of the **fixed** image to the **moving** one, in LPS millimetres. Here fixed is
the ultrasound and moving the MRI, so that 3D Slicer, ANTs and SimpleITK resample the MRI onto the ultrasound
with such a file. In memory transforms are ``moving_from_fixed`` in RAS+ millimetres.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.bspline import ORDER, BSplineDisplacement
from diffus.checks import require_shape
from diffus.files import write_aside
from diffus.io.itk import flip_lps_ras, place_image, quiet
from diffus.pose import RIGID_TOLERANCE

EXTENSIONS = (".tfm", ".txt", ".h5", ".hdf5")
"""What ITK writes transforms to: text, or HDF5."""
FIELD_EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".mha")

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_LINEAR = ("Euler3DTransform", "VersorRigid3DTransform", "AffineTransform")


class SavedTransform(NamedTuple):
    """A transform as read from a file: points go to ``moving_from_fixed (x + displacement(x))``.

    Args:
        moving_from_fixed: linear part, (4, 4), RAS+ mm.
        displacement: free-form part in the world of the fixed image, or None.
    """

    moving_from_fixed: Float64[Tensor, "4 4"]
    displacement: BSplineDisplacement | None


def save_transform(
    path: str | os.PathLike[str],
    moving_from_fixed: Float[Tensor, "4 4"] | Any,
    displacement: BSplineDisplacement | None = None,
) -> Path:
    """Write a transform as ITK, 3D Slicer and ANTs read it.

    A rigid matrix becomes an Euler3DTransform, any other an AffineTransform, and a displacement a
    BSplineTransform that is applied first, in one CompositeTransform.

    Args:
        path: ``.tfm`` or ``.txt`` (text), ``.h5`` or ``.hdf5``; made whole beside it, then moved into place.
        moving_from_fixed: (4, 4), RAS+ mm.
        displacement: free-form part in the world of the fixed image.

    Raises:
        ValueError: for an unknown extension, or a matrix that is no affine transform.
    """
    target = Path(path)
    _require_extension(target, EXTENSIONS)
    linear = _linear_to_itk(_checked(moving_from_fixed))
    whole: sitk.Transform = linear
    if displacement is not None:
        # The last of a composite is applied first.
        whole = sitk.CompositeTransform([linear, _spline_to_itk(displacement)])
    with write_aside(target) as temporary, quiet(target):
        sitk.WriteTransform(whole, str(temporary))
    return target


def load_transform(path: str | os.PathLike[str]) -> SavedTransform:
    """Read what `save_transform` wrote, or any rigid, affine or cubic B-spline transform of ITK.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no 3D transform of these kinds, or their order is not B-spline first.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no such transform file: {source}")
    _require_extension(source, EXTENSIONS)
    with quiet(source):
        whole = sitk.ReadTransform(str(source))
    parts = [part.Downcast() for part in _flat(whole)]
    displacement = None
    if parts and isinstance(parts[-1], sitk.BSplineTransform):
        displacement = _spline_from_itk(source, parts.pop())
    matrix = np.eye(4)
    for part in parts:
        matrix = matrix @ _linear_from_itk(source, part)
    return SavedTransform(torch.from_numpy(_FLIP @ matrix @ _FLIP), displacement)


def save_displacement_field(
    path: str | os.PathLike[str],
    displacements_mm: Float[Tensor, "I J K 3"],
    world_from_voxel: Float64[Tensor, "4 4"],
) -> Path:
    """Write a dense field: at each voxel of the fixed image how far its point moves.

    The vectors are written in LPS mm, as ITK's displacement field transforms and 3D Slicer take them.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.mha``.
        displacements_mm: in world axes, RAS+.
        world_from_voxel: place of the voxels.

    Raises:
        ValueError: for an unknown extension, another shape, or NaN.
    """
    target = Path(path)
    _require_extension(target, FIELD_EXTENSIONS)
    field = displacements_mm.detach().cpu().double().numpy()
    require_shape("displacements_mm", field.shape, "(I, J, K, 3)", field.ndim == 4 and field.shape[-1] == 3)
    if not np.isfinite(field).all():
        raise ValueError("displacements_mm holds NaN or Inf")
    vectors = np.ascontiguousarray((field * np.array([-1.0, -1.0, 1.0])).transpose(2, 1, 0, 3))
    image = sitk.GetImageFromArray(vectors, isVector=True)
    place_image(image, world_from_voxel.double().numpy())
    with write_aside(target) as temporary, quiet(target):
        sitk.WriteImage(image, str(temporary), useCompression=True)
    return target


def load_displacement_field(
    path: str | os.PathLike[str],
) -> tuple[Float64[Tensor, "I J K 3"], Float64[Tensor, "4 4"]]:
    """Read a field as `save_displacement_field` writes it.

    Returns:
        Displacements in world axes, RAS+ mm, and ``world_from_voxel``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not a 3D image of three numbers a voxel.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"no such displacement field: {source}")
    with quiet(source):
        image = sitk.ReadImage(str(source))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise ValueError(
            f"{source} is no displacement field: expected a 3D image of 3 numbers a voxel, got "
            f"{image.GetDimension()}D with {image.GetNumberOfComponentsPerPixel()}"
        )
    vectors = sitk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0, 3)
    direction = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = direction, image.GetOrigin()
    ras = vectors * np.array([-1.0, -1.0, 1.0])
    return torch.from_numpy(np.ascontiguousarray(ras)), torch.from_numpy(flip_lps_ras(lps))


def ras_matrix(linear: sitk.Transform) -> Float64[Tensor, "4 4"]:
    """A linear transform of ITK's as a matrix of RAS mm."""
    return torch.from_numpy(_FLIP @ _lps_matrix(linear) @ _FLIP)


def _require_extension(path: Path, known: tuple[str, ...]) -> None:
    if not path.name.lower().endswith(known):
        raise ValueError(f"{path}: unknown extension for a transform, expected one of {', '.join(known)}")


def _checked(moving_from_fixed: Any) -> Float64[np.ndarray, "4 4"]:
    matrix = torch.as_tensor(moving_from_fixed, dtype=torch.float64).detach().cpu().numpy()
    require_shape("moving_from_fixed", matrix.shape, "(4, 4)", matrix.shape == (4, 4))
    singular = not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-9
    if singular or not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-9):
        raise ValueError(
            "moving_from_fixed is no affine transform: expected finite numbers, a determinant other than 0 "
            f"and a last row 0 0 0 1, got {matrix.tolist()}"
        )
    return matrix


def _linear_to_itk(ras: Float64[np.ndarray, "4 4"]) -> sitk.Transform:
    lps = _FLIP @ ras @ _FLIP
    rotation = lps[:3, :3]
    rigid = np.abs(rotation.T @ rotation - np.eye(3)).max() < RIGID_TOLERANCE and np.linalg.det(rotation) > 0
    if not rigid:
        return sitk.AffineTransform(rotation.ravel().tolist(), lps[:3, 3].tolist())
    left, _, right = np.linalg.svd(rotation)  # ITK wants it orthogonal to rounding
    transform = sitk.Euler3DTransform()
    transform.SetMatrix((left @ right).ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def _linear_from_itk(source: Path, part: sitk.Transform) -> Float64[np.ndarray, "4 4"]:
    name = part.GetName()
    if name == "IdentityTransform":
        return np.eye(4)
    if name not in _LINEAR or part.GetDimension() != 3:
        raise ValueError(
            f"{source} holds a {part.GetDimension()}D {name}: expected {', '.join(_LINEAR)}, alone or after "
            "one BSplineTransform"
        )
    return _lps_matrix(part)


def _lps_matrix(linear: sitk.Transform) -> Float64[np.ndarray, "4 4"]:
    origin = np.array(linear.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(linear.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.stack(columns, axis=1), origin
    return matrix


def _spline_to_itk(displacement: BSplineDisplacement) -> sitk.BSplineTransform:
    coefficients = displacement.coefficients.detach().cpu().double().numpy()
    world_from_control = displacement.world_from_control.numpy()
    images = []
    for axis, sign in enumerate((-1.0, -1.0, 1.0)):
        image = sitk.GetImageFromArray(
            np.ascontiguousarray(sign * coefficients[..., axis].transpose(2, 1, 0))
        )
        place_image(image, world_from_control)
        images.append(image)
    return sitk.BSplineTransform(images, ORDER)


def _spline_from_itk(source: Path, spline: sitk.BSplineTransform) -> BSplineDisplacement:
    if spline.GetOrder() != ORDER:
        raise ValueError(f"{source} holds a B-spline of order {spline.GetOrder()}, expected {ORDER}")
    images = spline.GetCoefficientImages()
    values = [sitk.GetArrayFromImage(image).transpose(2, 1, 0) for image in images]
    direction = np.reshape(images[0].GetDirection(), (3, 3)) * np.asarray(images[0].GetSpacing())
    lps = np.eye(4)
    lps[:3, :3], lps[:3, 3] = direction, images[0].GetOrigin()
    coefficients = np.stack(values, axis=-1) * np.array([-1.0, -1.0, 1.0])
    return BSplineDisplacement(
        torch.from_numpy(np.ascontiguousarray(coefficients)), torch.from_numpy(flip_lps_ras(lps))
    )


def _flat(whole: sitk.Transform) -> list[sitk.Transform]:
    if whole.GetName() != "CompositeTransform":
        return [whole]
    composite = sitk.CompositeTransform(whole)
    return [
        part
        for number in range(composite.GetNumberOfTransforms())
        for part in _flat(composite.GetNthTransform(number))
    ]
