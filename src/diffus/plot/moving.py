"""What moves: a sweep along a trajectory, the descent of a registration, a parameter that is turned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.frame import Frame
from diffus.medium import Medium
from diffus.plot.animation import DPI, Animation, animate
from diffus.plot.backdrop import Backdrop
from diffus.plot.bmode import bmode
from diffus.plot.fan import FAN_COLOUR, fan_outline_mm
from diffus.plot.levels import OUTLINED, draw_letters, grey_levels
from diffus.plot.pictures import Picture
from diffus.plot.plane import Plane
from diffus.plot.slices import fan_slice, volume_slice
from diffus.plot.turned import Turned
from diffus.probe import Probe
from diffus.scalars import number
from diffus.settings import RenderSettings
from diffus.volume import Volume

if TYPE_CHECKING:
    from diffus.registration import RegistrationResult

_ACROSS = ("sagittal", "coronal", "axial")
"""The anatomical plane across each world axis."""
_MARGIN_MM = 8.0
_PATH_COLOUR = "#80d8ff"
_HEIGHT_IN, _LEFT_IN, _RIGHT_IN, _BOTTOM_IN, _TOP_IN = 3.4, 0.75, 0.35, 0.6, 0.4


def animate_sweep(
    frames: Iterable[Frame],
    path: str | os.PathLike[str],
    *,
    volume: Volume | None = None,
    per_second: float = 10.0,
    dpi: int = DPI,
) -> Animation:
    """A sweep: where the fan is, the volume in its plane, and the B-mode image.

    Args:
        frames: a frame of several images, or frames; a generator, as ``(render(medium, probe, at) for at in
            poses)``, is taken image by image.
        path: ``.gif`` or ``.mp4``.
        volume: what is cut, mostly the MRI; without it the B-mode image alone is shown.
        per_second: frames a second.
        dpi: pixels per inch.

    Raises:
        ValueError: as `animate`, and for a pose whose plane does not meet the volume.
    """
    return animate(sweep_pictures(frames, volume, dpi), path, per_second=per_second)


def animate_descent(
    result: RegistrationResult,
    frame: Frame,
    medium: Medium,
    path: str | os.PathLike[str],
    *,
    which: int = 0,
    per_second: float = 5.0,
    dpi: int = DPI,
) -> Animation:
    """The best descent of a registration: the ultrasound, what is rendered on the way, and both overlaid.

    Args:
        result: what was found, of one frame or a sweep.
        frame: what was registered.
        medium: what is rendered.
        path: ``.gif`` or ``.mp4``.
        which: image of the sweep.
        per_second: steps a second.
        dpi: pixels per inch.

    Raises:
        ValueError: as `animate`.
    """
    from diffus.registration.animation import descent_pictures

    return animate(descent_pictures(result, frame, medium, which, dpi), path, per_second=per_second)


def animate_parameter(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float64[Tensor, "4 4"],
    parameter: str,
    values: Sequence[float] | Tensor | np.ndarray,
    path: str | os.PathLike[str],
    *,
    settings: RenderSettings | None = None,
    per_second: float = 10.0,
    dpi: int = DPI,
) -> Animation:
    """One parameter that is turned while all else stays.

    Args:
        medium: what is rendered.
        probe: whose field ``parameter`` may be, as ``frequency_mhz`` or ``focus_mm``.
        world_from_probe: pose. ``parameter`` may be a degree of freedom of it (``turn_x_deg`` to
            ``shift_z_mm``, see `diffus.registration.landscape.DEGREES_OF_FREEDOM`), about the middle of the
            sector.
        parameter: one of those, or a field of the settings, as ``gain_db``.
        values: what it takes, frame by frame.
        path: ``.gif`` or ``.mp4``.
        settings: how to render.
        per_second: frames a second.
        dpi: pixels per inch.

    Raises:
        ValueError: as `animate`; for an unknown parameter (listing the known), fewer than two values, or one
            that is refused.
    """
    turned = Turned(medium, probe, world_from_probe, parameter, settings or RenderSettings(), values)
    return animate(turned.pictures(dpi), path, per_second=per_second)


def sweep_pictures(
    frames: Iterable[Frame], volume: Volume | None = None, dpi: int = DPI
) -> Iterator[np.ndarray]:
    """The pictures of `animate_sweep`, one for each image."""
    stage: SweepStage | None = None
    for frame in frames:
        for one in frame:
            shown = one.detach()
            stage = stage or SweepStage(shown, volume, dpi)
            yield stage.show(shown)


class SweepStage:
    """A figure on which a sweep moves.

    Args:
        first: image of the sweep; its pose says which slice shows where the fan is.
        volume: what is cut; None for the B-mode image alone.
        dpi: pixels per inch.
    """

    def __init__(self, first: Frame, volume: Volume | None, dpi: int = DPI) -> None:
        self._probe, self._volume, self._count = first.probe.to_dict(), volume, 0
        fan = Plane.of_fan(first.probe, first.world_from_probe[0], _MARGIN_MM)
        planes = [fan] if volume is None else [_across_the_image(volume, first), fan, fan]
        self._figure, axes = _side_by_side(planes)
        self._image = axes[-1]
        bmode(first, ax=self._image)
        self._image.set(xlim=fan.extent_mm[:2], ylim=fan.extent_mm[2:])
        if volume is not None:
            self._slice, self._levels, self._plane = axes[1], grey_levels(volume), planes[0]
            fan_slice(volume, first.probe, first.world_from_probe[0], self._slice, margin_mm=_MARGIN_MM)
            volume_slice(volume, self._plane, axes[0], levels=self._levels, title=self._plane.name)
            axes[0].set_autoscale_on(False)
            style = {"color": FAN_COLOUR, "linewidth": 1.4, "path_effects": OUTLINED}
            (self._outline,) = axes[0].plot([], [], **style)
            (self._path,) = axes[0].plot([], [], ".-", linewidth=1, markersize=4, color=_PATH_COLOUR)
        self._backdrop = Backdrop(self._figure, dpi)

    def show(self, one: Frame) -> np.ndarray:
        """The picture of one image.

        Raises:
            ValueError: for an image of another probe, or a pose whose plane does not meet the volume.
        """
        if one.probe.to_dict() != self._probe:
            raise ValueError("a sweep has one probe, and an image of another was added")
        self._count += 1
        self._image.images[0].set_data(_masked(one))
        self._image.set_title(f"frame {self._count}")
        changing = [self._image.images[0], self._image.title, *self._image.spines.values()]
        if self._volume is not None:
            changing += self._moved(self._volume, one)
        return self._backdrop.picture(changing)

    def _moved(self, volume: Volume, one: Frame) -> list[Artist]:
        at = one.world_from_probe[0]
        fan = Plane.of_fan(one.probe, at, _MARGIN_MM)
        values = fan.sample(volume).numpy()
        if not np.isfinite(values).any():
            raise ValueError(f"frame {self._count}: its plane does not meet {volume!r}")
        self._slice.images[0].set_data(np.ma.masked_invalid(values))
        for letter in list(self._slice.texts):
            letter.remove()
        draw_letters(fan, self._slice, FAN_COLOUR)
        outline = fan_outline_mm(one.probe, at, self._plane)
        self._outline.set_data(outline[:, 0], outline[:, 1])
        face = self._plane.coordinates(at[None, :3, 3])[0]
        before = self._path.get_data()
        self._path.set_data(*(np.append(before[axis], float(face[axis])) for axis in (0, 1)))
        slice_of = [
            self._slice.images[0],
            *self._slice.lines,
            *self._slice.texts,
            *self._slice.spines.values(),
        ]
        return [*slice_of, self._path, self._outline]


def _side_by_side(planes: Sequence[Plane]) -> tuple[Figure, list[Axes]]:
    """Axes that fit their planes; the last has room for a bar."""
    reaches = [(abs(right - left), abs(top - bottom)) for left, right, bottom, top in _extents(planes)]
    widths = [min(max(_HEIGHT_IN * across / up, 1.8), 6.0) for across, up in reaches]
    widths[-1] /= 0.8  # what a bar takes
    total = sum(widths) + _LEFT_IN * len(widths) + _RIGHT_IN
    height = _HEIGHT_IN + _BOTTOM_IN + _TOP_IN
    figure, at, axes = Figure(figsize=(total, height)), 0.0, []
    for width in widths:
        at += _LEFT_IN
        box = (at / total, _BOTTOM_IN / height, width / total, _HEIGHT_IN / height)
        axes.append(figure.add_axes(box))
        at += width
    return figure, axes


def _extents(planes: Sequence[Plane]) -> list[tuple[float, float, float, float]]:
    return [plane.extent_mm for plane in planes]


def _masked(one: Frame) -> np.ma.MaskedArray:
    shown = Picture.of_frame(one)
    return np.ma.masked_array(shown.values, ~shown.mask)


def _across_the_image(volume: Volume, frame: Frame) -> Plane:
    """The anatomical plane most nearly across the lateral axis, where fanning and sliding are seen."""
    at = frame.world_from_probe[0]
    orientation = _ACROSS[int(at[:3, 0].abs().argmax())]
    seen = 0.0 if frame.probe.wraps else number(frame.probe.depth_mm) / 2
    point = at[:3, 3] + seen * at[:3, 2]
    inside = bool(volume.contains(point[None])[0])
    return Plane.anatomical(orientation, point if inside else volume.centre_mm, volume)
