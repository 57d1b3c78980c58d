"""One parameter of probe, settings or pose at many values, each rendered and drawn over a scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from diffus.checks import require_one_of, require_shape
from diffus.medium import Medium
from diffus.plot.backdrop import Backdrop
from diffus.plot.bmode import bmode
from diffus.plot.pictures import Picture
from diffus.plot.plane import single_pose
from diffus.probe import Probe
from diffus.render import render
from diffus.settings import RenderSettings

_NOT_TURNED = {"propagation", "speckle", "backend", "tgc_curve_db", "grey_map", "max_memory_mb"}
_UNITS = {
    "_db_per_cm": "dB/cm",
    "_per_mm3": "per mm³",
    "_mhz": "MHz",
    "_deg": "deg",
    "_m_s": "m/s",
    "_mm": "mm",
    "_db": "dB",
}


class Turned:
    """A parameter and the values that it takes; arguments and refusals are those of `animate_parameter`."""

    def __init__(
        self,
        medium: Medium,
        probe: Probe,
        world_from_probe: Float64[Tensor, "4 4"],
        parameter: str,
        settings: RenderSettings,
        values: Sequence[float] | Tensor | np.ndarray,
    ) -> None:
        from diffus.registration.landscape import DEGREES_OF_FREEDOM

        self._medium, self._probe, self._settings = medium, probe, settings
        self._at, self._parameter = single_pose(world_from_probe), parameter
        self._moves = list(DEGREES_OF_FREEDOM)
        self._require_known()
        listed = np.asarray(values, dtype=np.float64)
        require_shape("values", listed.shape, "(T,) with T >= 2", listed.ndim == 1 and listed.size > 1)
        if not np.isfinite(listed).all():
            raise ValueError(f"values of {parameter} hold NaN or Inf")
        self._values: list[float] = listed.tolist()

    def pictures(self, dpi: int) -> Iterator[np.ndarray]:
        """One picture for each value."""
        figure = Figure(figsize=(6.4, 5.9))
        image, scale = figure.subplots(2, 1, height_ratios=(1, 0.03))
        figure.subplots_adjust(left=0.11, right=0.97, bottom=0.1, top=0.94, hspace=0.2)
        name, unit = _in_words(self._parameter)
        mark = _draw_scale(scale, self._values, f"{name} ({unit})" if unit else name)
        bounds = torch.tensor([self._changed(value)[0].plane_bounds_mm() for value in self._values])
        left, top = bounds[:, [0, 2]].amin(dim=0).tolist()
        right, bottom = bounds[:, [1, 3]].amax(dim=0).tolist()
        backdrop = Backdrop(figure, dpi)
        for number, value in enumerate(self._values):
            with torch.no_grad():
                frame = render(self._medium, *self._changed(value)).detach()
            if number == 0:
                bmode(frame, ax=image)
                image.set(xlim=(left, right), ylim=(bottom, top))
            shown = Picture.of_frame(frame)
            image.images[0].set_data(np.ma.masked_array(shown.values, ~shown.mask))
            image.images[0].set_extent(shown.extent_mm)
            image.set(xlim=(left, right), ylim=(bottom, top))
            image.set_title(f"{name} {value:.3g} {unit}".rstrip())
            mark.set_data([value], [0])
            yield backdrop.picture([image.images[0], *image.spines.values(), image.title, mark])

    def _require_known(self) -> None:
        of_settings = [entry.name for entry in fields(RenderSettings) if entry.name not in _NOT_TURNED]
        plain = {entry.name: getattr(self._probe, entry.name) for entry in fields(self._probe)}
        of_probe = [name for name, value in plain.items() if not isinstance(value, str | bool)]
        require_one_of("parameter", self._parameter, [*of_probe, *of_settings, *self._moves])

    def _changed(self, value: float) -> tuple[Probe, Float64[Tensor, "4 4"], RenderSettings]:
        """Probe, pose and settings with the parameter at a value."""
        name = self._parameter
        if name in self._moves:
            tangent = torch.zeros(6, dtype=torch.float64)
            tangent[self._moves.index(name)] = value
            return self._probe, self._moved(tangent), self._settings
        changed = {name: round(value) if name.startswith("n_") or name == "seed" else value}
        if hasattr(self._settings, name):
            return self._probe, self._at, self._settings.with_options(**changed)
        return self._probe.with_options(**changed), self._at, self._settings

    def _moved(self, tangent: Float64[Tensor, "6"]) -> Float64[Tensor, "4 4"]:
        from diffus.registration.motion import moved, pivot_of, sector_points

        return moved(self._at, tangent, pivot_of(sector_points(self._probe)))


def _draw_scale(ax: Axes, values: Sequence[float], label: str) -> Line2D:
    """A scale from the lowest to the highest value; its mark."""
    low, high = min(values), max(values)
    ax.set(xlim=(low, high) if high > low else (low - 1, low + 1), ylim=(-1, 1), yticks=[], xlabel=label)
    ax.axhline(0, color="0.8", linewidth=4)
    (mark,) = ax.plot([values[0]], [0], "o", color="tab:red", markersize=10, clip_on=False)
    return mark


def _in_words(parameter: str) -> tuple[str, str]:
    """Name without the unit, and the unit."""
    ending = next((ending for ending in _UNITS if parameter.endswith(ending)), "")
    return parameter.removesuffix(ending).replace("_", " "), _UNITS.get(ending, "")
