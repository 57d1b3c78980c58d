"""What ``diffus register`` leaves in its folder; each file is made aside and moved into place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from diffus import pose
from diffus.cli.media import Tissue
from diffus.cli.register_folder import RESULT
from diffus.files import write_aside, write_text
from diffus.frame import Frame
from diffus.io.transforms import save_displacement_field, save_transform
from diffus.medium import Medium
from diffus.plot import save_figure
from diffus.registration import DeformableRegistration, RegistrationResult, VolumeRegistration
from diffus.registration.animation import animate, save_animation
from diffus.registration.motion import displacement_mm
from diffus.registration.pictures import (
    Moment,
    before_after,
    checkerboard,
    overlay,
    plane_of,
    stretched,
)
from diffus.registration.virtual_sweep import frame_points
from diffus.registration.warped_medium import WarpGrid
from diffus.render import render
from diffus.sampling import sample_trilinear
from diffus.settings import RenderSettings
from diffus.volume import Volume

DEFORMATION = "deformation.npz"
_SEEN = RenderSettings(speckle="expected")
_CARRIED_MM = 0.6
"""Spacing of the grid on which a medium that is not carried rigidly is drawn."""
_AROUND_MM = (11.0, 8.0, 11.0)
"""How far that grid reaches beyond the field of view: what is drawn around it, and the beam's thickness."""


def write_pose_result(
    out: Path, result: RegistrationResult, frames: Frame, tissue: Tissue, told: Sequence[str]
) -> dict[str, Path]:
    """Write the result of one frame or a sweep; pictures are of its middle frame.

    Args:
        out: folder.
        result: what was found.
        frames: what was registered.
        tissue: what it was registered to.
        told: lines that say what was done.

    Returns:
        Path of each file by what it is.
    """
    which = len(frames) // 2
    fixed = frames[which].detach()
    final = result.world_from_probe[which]
    first = result.initial @ torch.linalg.inv(result.world_from_sweep) @ final
    away = displacement_mm(result.trajectory, result.world_from_sweep, result.points)
    moments = [
        Moment.at(name, tissue.medium, fixed, tissue.image, at)
        for name, at in (("initial", first), ("best", final))
    ]
    name = "world_from_probe" if len(frames) == 1 else "world_from_tracker"
    written = _pictures(out, fixed, moments, away, f"{result.verdict}: {result.reason}")
    written["animation"] = save_animation(result, frames, tissue.medium, out / "descent.gif", which)
    written["pose"] = _save_matrix(out / "pose.txt", name, result.world_from_sweep)
    poses = result.world_from_probe[0] if len(frames) == 1 else result.world_from_probe
    written["pose of the probe"] = pose.save(poses, out / "pose.json")
    written["summary"] = write_text(out / "summary.txt", "\n".join([*told, "", result.summary(), ""]))
    written["result"] = result.save(out / RESULT)
    return written


def write_volume_result(
    out: Path,
    result: VolumeRegistration,
    deformation: DeformableRegistration | None,
    ultrasound: Volume,
    tissue: Tissue,
    told: Sequence[str],
) -> dict[str, Path]:
    """Write the result of a volume; pictures are of the middle plane of its sweep.

    Args:
        out: folder.
        result: the rigid or affine transform.
        deformation: what goes on from it, or None.
        ultrasound: what was registered.
        tissue: what it was registered to.
        told: lines that say what was done.

    Returns:
        Path of each file by what it is.
    """
    fixed = plane_of(result.sweep)
    plane = fixed.world_from_probe[0]
    counted = _middle_counted(result)
    first = Moment.at("initial", tissue.medium, fixed, tissue.image, result.initial @ plane, counted)
    last = _carried(result, deformation, tissue, fixed)
    points = frame_points(result.sweep.probe, result.sweep.world_from_probe)[result.sweep.weights > 0]
    away = displacement_mm(
        result.trajectory, result.mri_from_ultrasound, points[:: max(1, len(points) // 500)]
    )
    written = _pictures(out, fixed, [first, last], away, f"{result.verdict}: {result.reason}")
    score = result.score if deformation is None else deformation.score
    written["animation"] = _animation(out, result, fixed, last, tissue.medium, away, score)
    written |= _transforms(out, result, deformation, ultrasound)
    summaries = [result.summary()] + ([deformation.summary()] if deformation else [])
    written["summary"] = write_text(out / "summary.txt", "\n".join([*told, "", *summaries, ""]))
    written["result"] = result.save(out / RESULT)
    return written


def _pictures(
    out: Path, fixed: Frame, moments: Sequence[Moment], away_mm: Float64[Tensor, " T"], title: str
) -> dict[str, Path]:
    first, best = moments
    figures = {
        "before and after": (before_after(fixed, first, best, away_mm, title), "before_after.png"),
        "checkerboard": (checkerboard(fixed, first, best), "checkerboard.png"),
        "overlay": (overlay(fixed, first, best), "overlay.png"),
    }
    return {what: save_figure(figure, out / name, dpi=110) for what, (figure, name) in figures.items()}


def _transforms(
    out: Path,
    result: VolumeRegistration,
    deformation: DeformableRegistration | None,
    ultrasound: Volume,
) -> dict[str, Path]:
    matrix = result.mri_from_ultrasound
    written = {
        "transform": _save_matrix(out / "pose.txt", "mri_from_ultrasound", matrix),
        "transform for ITK and 3D Slicer": save_transform(out / "transform.tfm", matrix),
    }
    if deformation is not None:
        field = deformation.displacement_field(ultrasound)
        written["with the deformation"] = save_transform(
            out / "transform.h5", matrix, deformation.displacement
        )
        written["displacement of each voxel"] = save_displacement_field(
            out / "displacement.nii.gz", field, ultrasound.world_from_voxel
        )
        written["deformation"] = deformation.save(out / DEFORMATION)
    return written


def _carried(
    result: VolumeRegistration, deformation: DeformableRegistration | None, tissue: Tissue, fixed: Frame
) -> Moment:
    """The best moment, in the world of the ultrasound where the transform is not rigid."""
    plane, matrix = fixed.world_from_probe[0], result.mri_from_ultrasound
    counted = _middle_counted(result)
    if deformation is None and _is_rigid(matrix):
        return Moment.at("best", tissue.medium, fixed, tissue.image, matrix @ plane, counted)
    grid = _grid_around(fixed)
    points = grid.points_mm()
    if deformation is None:
        there = pose.transform_points(matrix, points.reshape(-1, 3)).reshape(points.shape)
    else:
        there = deformation.transform_points(points)
    to_voxel = tissue.medium.voxel_from_world
    index = (there @ to_voxel[:3, :3].T + to_voxel[:3, 3]).to(tissue.medium.impedance)
    medium = Medium.from_channels(sample_trilinear(tissue.medium.channels, index), grid.world_from_voxel)
    mri = Volume(tissue.image.sample(there.float()), grid.world_from_voxel)
    return Moment.at("best", medium, fixed, mri, plane, counted)


def _middle_counted(result: VolumeRegistration) -> Bool[Tensor, "S N"]:
    """Which samples of the middle plane count, and are drawn."""
    return result.sweep.weights[len(result.sweep.weights) // 2] > 0


def _grid_around(fixed: Frame) -> WarpGrid:
    """A slab around the field of view of a frame, along its axes."""
    left, right, top, bottom = fixed.probe.plane_bounds_mm()
    margin = torch.tensor(_AROUND_MM, dtype=torch.float64)
    low = torch.tensor([left, 0.0, top], dtype=torch.float64) - margin
    high = torch.tensor([right, 0.0, bottom], dtype=torch.float64) + margin
    place = torch.diag(torch.tensor([_CARRIED_MM] * 3 + [1.0], dtype=torch.float64))
    place[:3, 3] = low
    i, j, k = (((high - low) / _CARRIED_MM).ceil().long() + 1).tolist()
    return WarpGrid(fixed.world_from_probe[0] @ place, (i, j, k))


def _animation(
    out: Path,
    result: VolumeRegistration,
    fixed: Frame,
    last: Moment,
    medium: Medium,
    away_mm: Float64[Tensor, " T"],
    score: float,
) -> Path:
    """The rigid way, and where it led in the end, with the score there."""
    rigid = [at for at in result.trajectory if _is_rigid(at)]

    def seen(number: int) -> Frame:
        if number == len(rigid):
            return last.rendered
        with torch.no_grad():
            frame = render(medium, fixed.probe, rigid[number] @ fixed.world_from_probe[0], _SEEN)
        return stretched(frame, _middle_counted(result))

    end = torch.zeros(1, dtype=torch.float64)
    scores = torch.cat([result.trajectory_scores[: len(rigid)], end + score])
    return animate(fixed, seen, torch.cat([away_mm[: len(rigid)], end]), scores, out / "descent.gif")


def _is_rigid(matrix: Float64[Tensor, "4 4"]) -> bool:
    linear = matrix[:3, :3]
    return bool(torch.allclose(linear.T @ linear, torch.eye(3, dtype=linear.dtype), atol=1e-6))


def _save_matrix(path: Path, name: str, matrix: Float64[Tensor, "4 4"]) -> Path:
    """Sixteen numbers in text, as `numpy.loadtxt` reads them."""
    with write_aside(path) as temporary:
        np.savetxt(temporary, matrix.numpy(), fmt="%.17g", header=f"{name}, RAS+, mm")
    return path
