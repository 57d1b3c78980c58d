"""Pictures of a registration: before and after, checkerboard and overlays, and the way down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from diffus.frame import Frame
from diffus.imaging.gain import expand
from diffus.medium import Medium
from diffus.plot import Picture, bmode_overlay, colour_overlay, fan_slice, picture
from diffus.plot import checkerboard as draw_checkerboard
from diffus.registration.motion import displacement_mm
from diffus.registration.virtual_sweep import VirtualSweep
from diffus.render import render
from diffus.settings import RenderSettings
from diffus.volume import Volume

if TYPE_CHECKING:
    from diffus.registration.result import RegistrationResult

__all__ = [
    "Moment",
    "before_after",
    "before_and_after",
    "checkerboard",
    "overlay",
    "plane_of",
    "stretched",
    "way_down",
]

SQUARE_MM = 8.0
_SPACING_MM = 0.3
_SEEN = RenderSettings(speckle="expected")


@dataclass(frozen=True, eq=False)
class Moment:
    """Where a registration put an ultrasound image, and what is seen there.

    Args:
        name: of the moment, as ``initial`` and ``best``.
        rendered: what the medium looks like from there, one image.
        mri: the volume that the medium was made from, in a world of its own.
        world_from_probe: pose of the image in that world.
    """

    name: str
    rendered: Frame
    mri: Volume
    world_from_probe: Float64[Tensor, "4 4"]

    @classmethod
    def at(
        cls,
        name: str,
        medium: Medium,
        fixed: Frame,
        mri: Volume,
        world_from_probe: Float64[Tensor, "4 4"],
        counted: Bool[Tensor, "S N"] | None = None,
    ) -> Moment:
        """Render the medium from a pose with the probe of the ultrasound.

        Args:
            name: of the moment.
            medium: what is rendered.
            fixed: the ultrasound, one image.
            mri: the volume that the medium was made from.
            world_from_probe: pose of the image in its world.
            counted: samples that are stretched as those of `plane_of` are; all as they are by default.
        """
        with torch.no_grad():
            rendered = render(medium, fixed.probe, world_from_probe, _SEEN).detach()
        shown = rendered if counted is None else stretched(rendered, counted)
        return cls(name, shown, mri, world_from_probe)


def plane_of(sweep: VirtualSweep, which: int | None = None) -> Frame:
    """One virtual frame of an ultrasound volume, its grey values stretched to [0, 1].

    Args:
        sweep: frames of the volume.
        which: of them; by default the middle one.
    """
    number = len(sweep.image) // 2 if which is None else which
    image = sweep.image[number : number + 1]
    pose = sweep.world_from_probe[number : number + 1]
    frame = Frame(image, torch.zeros_like(image), sweep.probe, pose, RenderSettings())
    return stretched(frame, sweep.weights[number] > 0)


def stretched(frame: Frame, counted: Bool[Tensor, "S N"]) -> Frame:
    """A frame whose counted samples go from black to white, and the others are black.

    Args:
        frame: one image.
        counted: which of its samples are shown.
    """
    image = frame.scanlines[0]
    shown = image[counted] if bool(counted.any()) else image.flatten()
    low, high = torch.quantile(shown, torch.tensor([0.01, 0.995]).to(image)).tolist()
    lines = (((image - low) / max(high - low, 1e-6)).clamp(0, 1) * counted)[None]
    envelope = expand(lines, frame.probe, frame.settings)
    return Frame(lines, envelope, frame.probe, frame.world_from_probe, frame.settings)


def before_after(
    fixed: Frame, first: Moment, best: Moment, away_mm: Float64[Tensor, " T"], title: str
) -> Figure:
    """The ultrasound between what both moments render; below, the MRI in each image plane, and the way.

    Args:
        fixed: the ultrasound, one image.
        first: where the search began.
        best: where it ended.
        away_mm: how far from the best each step of the search was.
        title: of the whole figure.
    """
    figure = Figure(figsize=(14, 8.5), layout="compressed")
    axes = figure.subplots(2, 3)
    pictures = {
        f"rendered at the {first.name} pose": first.rendered,
        "ultrasound": fixed,
        f"rendered at the {best.name} pose": best.rendered,
    }
    for ax, (name, frame) in zip(axes[0], pictures.items(), strict=True):
        picture(_seen(frame), ax, title=name)
    for ax, moment in ((axes[1, 0], first), (axes[1, 2], best)):
        name = f"MRI in the {moment.name} image plane"
        fan_slice(moment.mri, fixed.probe, moment.world_from_probe, ax=ax, margin_mm=10.0, title=name)
    _draw_way(axes[1, 1], away_mm)
    figure.suptitle(title, wrap=True)
    return figure


def checkerboard(fixed: Frame, first: Moment, best: Moment) -> Figure:
    """Squares of the ultrasound and of what is rendered by turns, at both moments: edges should go on."""
    figure = Figure(figsize=(12, 5.5), layout="compressed")
    for ax, moment in zip(figure.subplots(1, 2, sharex=True, sharey=True), (first, best), strict=True):
        name = f"{moment.name}: rendered and ultrasound by turns"
        draw_checkerboard(_seen(moment.rendered), _seen(fixed), ax, square_mm=SQUARE_MM, title=name)
    figure.suptitle(f"squares of {SQUARE_MM:g} mm")
    return figure


def overlay(fixed: Frame, first: Moment, best: Moment) -> Figure:
    """Above, what is rendered in magenta and the ultrasound in green; below, the ultrasound over the MRI."""
    figure = Figure(figsize=(12, 9.5), layout="compressed")
    axes = figure.subplots(2, 2)
    image = _seen(fixed)
    for column, moment in enumerate((first, best)):
        title = f"{moment.name}: rendered magenta, ultrasound green"
        colour_overlay(_seen(moment.rendered), image, axes[0, column], title=title)
        below = axes[1, column]
        title = f"{moment.name}: ultrasound over the MRI"
        fan_slice(moment.mri, fixed.probe, moment.world_from_probe, ax=below, margin_mm=10.0, title=title)
        bmode_overlay(image, below)
    return figure


def before_and_after(result: RegistrationResult, frame: Frame, medium: Medium, which: int = 0) -> Figure:
    """The frame beside what the initial and the best pose render; below, both laid over it.

    Args:
        result: what was found.
        frame: what was registered.
        medium: what is rendered.
        which: image of the sweep.
    """
    fixed = frame[which].detach()
    final = result.world_from_probe[which]
    placed = torch.linalg.inv(result.world_from_sweep) @ final
    with torch.no_grad():
        poses = (result.initial @ placed, final)
        first, after = (_seen(render(medium, fixed.probe, at, _SEEN)) for at in poses)
    real = _seen(fixed)
    figure = Figure(figsize=(13, 8.5), layout="constrained")
    (above, below) = figure.subplots(2, 3, sharex=True, sharey=True)
    picture(first, above[0], title="rendered at the initial pose")
    picture(real, above[1], title="ultrasound")
    picture(after, above[2], title="rendered at the best pose")
    colour_overlay(first, real, below[0], title="initial: rendered magenta, ultrasound green")
    draw_checkerboard(after, real, below[1], square_mm=SQUARE_MM)
    colour_overlay(after, real, below[2], title="best: rendered magenta, ultrasound green")
    for ax in (*above, *below):
        ax.label_outer()
    figure.suptitle(f"{result.verdict}: {result.reason}", wrap=True)
    return figure


def way_down(result: RegistrationResult) -> Figure:
    """Score of each descent, and how far the best one's poses were from its end."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    away = displacement_mm(result.trajectory, result.world_from_sweep, result.points)
    _draw_way(left, away)
    ends = displacement_mm(result.ends, result.world_from_sweep, result.points)
    right.scatter(ends.numpy(), result.scores.numpy(), s=14)
    right.set(xlabel="mean displacement from the best (mm)", ylabel="correlation", title="all descents")
    return figure


def _seen(frame: Frame) -> Picture:
    return Picture.of_frame(frame, spacing_mm=_SPACING_MM)


def _draw_way(ax: Axes, away_mm: Float64[Tensor, " T"]) -> None:
    ax.plot(np.arange(len(away_mm)), away_mm.numpy(), marker="o", markersize=4)
    ax.set(xlabel="step", ylabel="mean displacement from the end (mm)", title="the best descent")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
