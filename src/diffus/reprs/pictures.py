"""Objects as small PNG pictures with axes in mm; None where there is nothing to draw."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.affine import orientation_of, spacing_of
from diffus.mixing import CHANNELS
from diffus.reprs.never_raising import never_raising
from diffus.scalars import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from diffus.frame import Frame
    from diffus.medium import Medium
    from diffus.plot import Plane
    from diffus.probe import Probe
    from diffus.registration.result import RegistrationResult
    from diffus.volume import Volume

_DPI = 72
_PIXELS = 256
"""Along the longer side of what is drawn: enough for a picture of this size, and quick."""
_LINES = 17
"""Scanlines of a probe that are drawn."""


@never_raising(lambda _: None)
def frame_picture(frame: Frame) -> bytes | None:
    """The first image of a frame."""
    from diffus.plot import bmode

    if not frame.scanlines.numel():
        return None
    figure = _figure(5.6, 4.4)
    title = f"image 0 of {len(frame)}" if len(frame) > 1 else None
    bmode(frame, figure.subplots(), spacing_mm=_longest(frame.probe) / _PIXELS, title=title)
    return _png(figure)


@never_raising(lambda _: None)
def volume_picture(volume: Volume) -> bytes | None:
    """Axial, coronal and sagittal slice through the middle of a volume."""
    from diffus.plot import Plane, grey_levels, volume_slice

    figure = _row_of_three(11.0, 4.0)
    levels, spacing = grey_levels(volume), max(*volume.extent_mm) / _PIXELS
    for ax, orientation in zip(figure.axes, ("axial", "coronal", "sagittal"), strict=True):
        plane = Plane.anatomical(orientation, volume.centre_mm, volume, spacing_mm=spacing)
        volume_slice(volume, plane, ax, levels=levels)
    return _png(figure)


@never_raising(lambda _: None)
def medium_picture(medium: Medium) -> bytes | None:
    """The three maps of a medium in its middle slice, of those slices that lie across the body's axis."""
    from diffus.plot import tissue_map

    figure = _row_of_three(12.0, 3.9)
    slab, plane = _middle_slice(medium)
    for ax, name in zip(figure.axes, CHANNELS, strict=True):
        tissue_map(slab, name, plane, ax, title=f"{name}, {plane.name}")
    for ax in figure.axes[1:3]:
        ax.set_ylabel("")
    return _png(figure)


@never_raising(lambda _: None)
def probe_picture(probe: Probe) -> bytes | None:
    """Some scanlines of a probe in its image plane, the outline of its field of view, and the focus."""
    figure = _figure(4.6, 4.2)
    ax = figure.subplots()
    lines = probe.scanlines()
    pick = torch.linspace(0, probe.n_scanlines - 1, min(_LINES, probe.n_scanlines)).round().long()
    starts, ways = lines.origins_mm[:, [0, 2]].detach(), lines.directions[:, [0, 2]].detach()
    ends = starts + number(probe.depth_mm) * ways
    ax.plot(*torch.stack([starts[pick], ends[pick]]).unbind(-1), color="0.7", linewidth=0.7)
    outline = probe.outline_mm()
    # That of a circle is two circles: the way from the one to the other and back is left out.
    for part in outline.split(len(outline) // 2) if probe.wraps else [outline]:
        ax.plot(*part.unbind(-1), color="black", linewidth=1.2)
    if number(probe.focus_mm) <= number(probe.depth_mm):
        focus = starts + number(probe.focus_mm) * ways
        ax.plot(*focus.unbind(-1), color="tab:red", linewidth=1.0, linestyle="--", label="focus")
    ax.plot(0, 0, "+", color="tab:blue", markersize=9, label="origin of the probe frame")
    ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)", aspect="equal")
    ax.set_title(f"{probe.kind} probe, {len(pick)} of {probe.n_scanlines} scanlines", fontsize="medium")
    ax.invert_yaxis()
    figure.legend(fontsize="x-small", loc="outside lower center", ncols=2)
    return _png(figure)


@never_raising(lambda _: None)
def registration_picture(result: RegistrationResult) -> bytes | None:
    """How far each step of the best descent was from its end, and where all descents ended."""
    from diffus.registration.pictures import way_down

    return _png(way_down(result))


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _row_of_three(width_in: float, height_in: float) -> Figure:
    """Three axes at fixed places: to find the places takes longer than to draw."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in))
    figure.subplots(1, 3)
    figure.subplots_adjust(left=0.06, right=0.96, bottom=0.13, top=0.91, wspace=0.3)
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI)
    return content.getvalue()


def _longest(probe: Probe) -> float:
    left, right, top, bottom = probe.plane_bounds_mm()
    return max(right - left, bottom - top)


def _middle_slice(medium: Medium) -> tuple[Medium, Plane]:
    """The voxels of the middle slice, and the plane that they lie in.

    The slice is taken along the index that runs nearest to inferior-superior, so that only its own voxels
    are looked at, however large the medium is.
    """
    from diffus.medium import Medium
    from diffus.plot import Plane

    index, ways = _voxel_ways(medium.world_from_voxel)
    middle = medium.shape[index[2]] // 2
    whole = (medium.impedance, medium.attenuation, medium.backscatter)
    impedance, attenuation, backscatter = (values.detach().narrow(index[2], middle, 1) for values in whole)
    affine = medium.world_from_voxel.clone()
    affine[:3, 3] += affine[:3, index[2]] * middle
    half = [medium.shape[i] * spacing_of(affine)[i] / 2 for i in index[:2]]
    corner = (torch.tensor(impedance.shape, dtype=torch.float64) - 1) / 2
    centre = affine[:3, :3] @ corner + affine[:3, 3]
    along = (ways[:, :2].T @ centre).tolist()
    frame = torch.eye(4, dtype=torch.float64)
    frame[:3, :2], frame[:3, 2] = ways[:, :2], torch.linalg.cross(ways[:, 0], ways[:, 1])
    frame[:3, 3] = centre - ways[:, :2] @ centre.new_tensor(along)
    extent = (along[0] + half[0], along[0] - half[0], along[1] - half[1], along[1] + half[1])
    aligned = bool((ways.abs().amax(dim=0) > 1 - 1e-6).all())
    labels = ("world R (mm)", "world A (mm)") if aligned else ("towards right (mm)", "towards anterior (mm)")
    spacing = max(half) * 2 / _PIXELS
    slab = Medium(impedance, attenuation, backscatter, affine)
    name = f"S = {float(centre[2]):.1f} mm" if aligned else "middle slice"
    return slab, Plane(frame, extent, spacing, labels, name)


def _voxel_ways(affine: Float64[Tensor, "4 4"]) -> tuple[list[int], Float64[Tensor, "3 3"]]:
    """Which index runs nearest to right, anterior and superior, and the unit vector of each, that way."""
    letters = orientation_of(affine)
    index = [next(i for i in range(3) if letters[i] in pair) for pair in ("RL", "AP", "SI")]
    units = affine[:3, :3] / affine[:3, :3].norm(dim=0)
    signs = units.new_tensor([1.0 if letters[i] in "RAS" else -1.0 for i in index])
    return index, units[:, index] * signs
