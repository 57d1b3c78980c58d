"""Learn2Reg's format of results, and its metrics, number for number as its evaluation computes them.

A result is a displacement field in **voxels**, in index order: the point of voxel p of the fixed image, the
ultrasound, lies at voxel p + u(p) of the moving one, the MRI. Read off the evaluation's code (MDL-UzL/L2R,
version 2.0 of its results), whose peculiarities are kept and named below.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Image
from torch import Tensor

from diffus.checks import require_in_range, require_shape
from diffus.files import write_aside
from diffus.volume import Volume

EXTENSIONS = (".nii.gz", ".npz")
HARD_SHARE = 0.3
"""Share of the landmarks, the worst, that TRE30 is the mean of."""
_RIM = 2
"""Voxels along each side that the evaluation leaves out of the Jacobian."""
_OFFSET, _LEAST, _MOST = 3.0, 1e-9, 1e9
"""The evaluation adds 3 to each determinant before it takes the logarithm, then clips."""
_POLE_REACH = 24
"""Samples beyond which a cubic spline no longer feels its data: 0.268^24 is below rounding."""
_NAME = re.compile(r"_(\d{4})_(\d{4})\.nii(\.gz)?$")


@dataclass(frozen=True)
class Score:
    """A field judged as Learn2Reg does.

    Args:
        errors_mm: TRE of each landmark.
        sd_log_jacobian: standard deviation of log(det J + 3), as the evaluation has it.
        foldings: voxels where det J is not above 0. The evaluation's own count is 0 for every field, because
            it looks for them after the 3 has been added and all has been clipped above 0.
    """

    errors_mm: tuple[float, ...]
    sd_log_jacobian: float
    foldings: int

    @property
    def tre_mm(self) -> float:
        """Mean over the landmarks."""
        return float(np.mean(self.errors_mm))

    @property
    def tre30_mm(self) -> float:
        """Mean of the worst 30 % of the landmarks, at least one."""
        count = max(1, round(HARD_SHARE * len(self.errors_mm)))
        return float(np.mean(sorted(self.errors_mm)[-count:]))


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation over the cases, and the 70 % quantile, which the evaluation calls 30%.

    Args:
        tre_mm: of the cases' mean TRE: mean, standard deviation, quantile.
        sd_log_jacobian: of the cases', likewise.
    """

    tre_mm: tuple[float, float, float]
    sd_log_jacobian: tuple[float, float, float]


def score_field(
    displacement: Float[Tensor, "H W D 3"],
    fixed_voxels: Float[Tensor, "L 3"],
    moving_voxels: Float[Tensor, "L 3"],
    moving_spacing_mm: Sequence[float],
) -> Score:
    """Judge a field.

    Args:
        displacement: in voxels.
        fixed_voxels: landmarks in the fixed image, in its voxels.
        moving_voxels: the same in the moving image, in its voxels.
        moving_spacing_mm: of the moving image; it turns errors into mm.

    Raises:
        ValueError: for shapes that do not fit, NaN, or fields under 5 voxels wide.
    """
    field = _checked(displacement)
    errors = landmark_errors_mm(field, fixed_voxels, moving_voxels, moving_spacing_mm)
    determinants = jacobian_determinants(field)
    shifted = np.clip(determinants + _OFFSET, _LEAST, _MOST)
    return Score(tuple(errors.tolist()), float(np.log(shifted).std()), int((determinants <= 0).sum()))


def summarise(scores: Sequence[Score]) -> Summary:
    """The evaluation's aggregates over cases.

    Raises:
        ValueError: for no scores.
    """
    if not scores:
        raise ValueError("there are no scores to summarise")

    def of(values: list[float]) -> tuple[float, float, float]:
        return float(np.mean(values)), float(np.std(values)), float(np.quantile(values, 1 - HARD_SHARE))

    return Summary(of([score.tre_mm for score in scores]), of([score.sd_log_jacobian for score in scores]))


def landmark_errors_mm(
    displacement: Float[Tensor, "H W D 3"] | Any,
    fixed_voxels: Float[Tensor, "L 3"],
    moving_voxels: Float[Tensor, "L 3"],
    moving_spacing_mm: Sequence[float],
) -> Float64[np.ndarray, " L"]:
    """TRE = |(p_fixed + u(p_fixed) - p_moving) * spacing_moving|, u by cubic spline interpolation.

    Outside the field u is 0, as in the evaluation. The arguments are those of `score_field`.
    """
    field = _checked(displacement)
    points = [np.asarray(voxels, dtype=np.float64) for voxels in (fixed_voxels, moving_voxels)]
    for name, voxels in zip(("fixed_voxels", "moving_voxels"), points, strict=True):
        fits = voxels.shape == (len(points[0]), 3) and len(voxels) > 0 and bool(np.isfinite(voxels).all())
        require_shape(name, voxels.shape, "(L, 3), finite, as many in both images", fits)
    fixed, moving = points
    moved = fixed + np.stack([_interpolated(field, point) for point in fixed])
    return np.linalg.norm((moved - moving) * np.asarray(moving_spacing_mm, dtype=np.float64), axis=1)


def jacobian_determinants(displacement: Float[Tensor, "H W D 3"] | Any) -> np.ndarray:
    """det(I + du/dp) by central differences, without the outermost two voxels of each side."""
    field = _checked(displacement)
    jacobian = np.empty((*(n - 2 * _RIM for n in field.shape[:3]), 3, 3))
    inner = slice(_RIM, -_RIM)
    for axis in range(3):
        ahead, behind = [inner] * 3, [inner] * 3
        ahead[axis], behind[axis] = slice(_RIM + 1, -_RIM + 1), slice(_RIM - 1, -_RIM - 1)
        jacobian[..., axis] = (field[tuple(ahead)] - field[tuple(behind)]) / 2
        jacobian[..., axis, axis] += 1
    first, second, third = (jacobian[..., axis] for axis in range(3))
    return np.einsum("...c,...c->...", first, np.cross(second, third))


def displacement_from_rigid(
    mri_from_ultrasound: Float[Tensor, "4 4"], ultrasound: Volume, mri: Volume
) -> Float[Tensor, "H W D 3"]:
    """The field of a rigid or affine transform, float32: where each voxel of the ultrasound lies in the MRI.

    Args:
        mri_from_ultrasound: (4, 4), RAS+ mm.
        ultrasound: the fixed image; only its grid counts.
        mri: the moving image; likewise.
    """
    transform = torch.as_tensor(mri_from_ultrasound, dtype=torch.float64).detach().cpu()
    require_shape("mri_from_ultrasound", transform.shape, "(4, 4)", transform.shape == (4, 4))
    matrix = mri.voxel_from_world @ transform @ ultrasound.world_from_voxel
    change = matrix[:3, :3] - torch.eye(3, dtype=torch.float64)
    field = matrix[:3, 3].repeat(*ultrasound.shape, 1)
    for axis, size in enumerate(ultrasound.shape):
        index = torch.arange(size, dtype=torch.float64).reshape([-1 if a == axis else 1 for a in range(4)])
        field += index * change[:, axis]
    return field.float()


def field_name(fixed: str | os.PathLike[str], moving: str | os.PathLike[str]) -> str:
    """Name of the field of a pair, without extension, as ``disp_0099_0000_0099_0001``.

    Args:
        fixed: file of the fixed image, as ``imagesTr/ReMIND2Reg_0099_0000.nii.gz``.
        moving: file of the moving image.

    Raises:
        ValueError: for names that do not end in two numbers of four digits.
    """
    parts = []
    for path in (fixed, moving):
        found = _NAME.search(Path(path).name)
        if found is None:
            raise ValueError(f"{path}: expected a name as ReMIND2Reg_0099_0000.nii.gz")
        parts += [found[1], found[2]]
    return "_".join(["disp", *parts])


def save_field(
    path: str | os.PathLike[str],
    displacement: Float[Tensor, "H W D 3"],
    world_from_voxel: Float64[Tensor, "4 4"],
) -> Path:
    """Write a field as the challenge takes it; a killed run leaves the old file or the new one.

    Args:
        path: ``.nii.gz``, or ``.npz`` with one array, which has no place in the world and is smaller.
        displacement: in voxels; written as float32.
        world_from_voxel: of the fixed image.

    Raises:
        ValueError: for another extension, another shape, or NaN.
    """
    target = Path(path)
    if not target.name.endswith(EXTENSIONS):
        raise ValueError(f"{target}: the challenge takes {' or '.join(EXTENSIONS)}")
    field = _checked(displacement).astype(np.float32)
    with write_aside(target) as temporary:
        if target.suffix == ".npz":
            np.savez_compressed(temporary, field)
        else:
            image = Nifti1Image(field, np.asarray(world_from_voxel, dtype=np.float64))
            image.header.set_xyzt_units("mm")
            image.to_filename(temporary)
    return target


def load_field(path: str | os.PathLike[str]) -> Float[Tensor, "H W D 3"]:
    """Read a field that `save_field` or another competitor wrote, as float32.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no field, or an ``.npz`` of several arrays.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"no such displacement field: {source}")
    try:
        if source.suffix == ".npz":
            with np.load(source, allow_pickle=False) as archive:
                if len(archive.files) != 1:
                    raise ValueError(f"holds {len(archive.files)} arrays, expected one")
                values = archive[archive.files[0]]
        else:
            values = np.asarray(Nifti1Image.from_filename(source).dataobj, dtype=np.float32)
        return torch.from_numpy(_checked(values).astype(np.float32))
    except (ValueError, OSError, EOFError, ImageFileError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is no displacement field of the challenge: {error}") from error


def _checked(displacement: Any) -> np.ndarray:
    """The field as numpy in its own precision."""
    field = (
        displacement.detach().cpu().numpy() if isinstance(displacement, Tensor) else np.asarray(displacement)
    )
    fits = field.ndim == 4 and field.shape[-1] == 3
    require_shape("displacement", field.shape, "(H, W, D, 3)", fits)
    require_in_range("displacement", 2 * _RIM + 1, np.inf, **{"voxels along a side": min(field.shape[:3])})
    if not np.isfinite(field).all():
        raise ValueError("displacement holds NaN or Inf")
    return field


def _interpolated(field: np.ndarray, point: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    """The cubic spline through a field at a point; 0 outside."""
    sides = field.shape[:3]
    if any(not 0 <= x <= n - 1 for x, n in zip(point, sides, strict=True)):
        return np.zeros(3)
    starts, weights = zip(
        *(_spline_weights(float(x), n) for x, n in zip(point, sides, strict=True)), strict=True
    )
    block = field[tuple(slice(s, s + len(w)) for s, w in zip(starts, weights, strict=True))]
    return np.einsum("ijkc,i,j,k->c", block.astype(np.float64), *weights)


def _spline_weights(x: float, size: int) -> tuple[int, Float64[np.ndarray, " n"]]:
    """First sample, and by how much each from there on counts at a place of a cubic spline.

    The spline interpolates its samples and is mirrored at the ends (Unser, IEEE Signal Proc Mag 16, 1999).
    Its coefficients solve a tridiagonal system; what lies further away than `_POLE_REACH` does not matter.
    """
    low = max(0, int(x) - _POLE_REACH)
    high = min(size, int(x) + _POLE_REACH + 2)
    count = high - low
    system = (np.eye(count) * 4 + np.eye(count, k=1) + np.eye(count, k=-1)) / 6
    system[0, 1] = system[-1, -2] = 2 / 6
    basis = np.zeros(count)
    for number in range(int(x) - 1, int(x) + 3):
        distance = abs(x - number)
        value = 2 / 3 - distance**2 + distance**3 / 2 if distance < 1 else max(2 - distance, 0.0) ** 3 / 6
        mirrored = abs(number) if number < size else 2 * (size - 1) - number
        basis[mirrored - low] += value
    return low, np.linalg.solve(system.T, basis)
