"""Gradients made visible: of a loss in the medium and in the pose, and of the image in the pose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from diffus.checks import require_one_of, require_shape
from diffus.imaging.scan_conversion import PixelGrid, field_of_view, to_cartesian
from diffus.mixing import CHANNELS
from diffus.plot.figures import new_axes
from diffus.plot.plane import Plane
from diffus.probe import Probe
from diffus.registration.gradients import MAP_UNITS, LossGradients
from diffus.registration.landscape import DEGREES_OF_FREEDOM

PANELS = (*CHANNELS, "pose")
"""What `gradient_maps` draws."""
_SIGNED = "RdBu_r"
_SHOWN = 0.995
"""Share of the magnitudes that the colours reach; the few stronger ones are drawn as the last colour."""
_MARGIN_MM, _SPACING_MM = 5.0, 0.5
_ANATOMY = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def gradient_maps(gradients: LossGradients, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw the gradient of a loss in the three maps of the medium, in the fan's plane, and in the pose.

    Red is where more of a map makes the loss larger, blue where it makes it smaller.

    Args:
        gradients: from `diffus.registration.gradients.loss_gradients`.
        axes: one for each of `PANELS`; by default on a new figure.

    Raises:
        ValueError: for another number of axes.
    """
    panels = _new_panels() if axes is None else list(axes)
    require_shape("axes", (len(panels),), f"({len(PANELS)},)", len(panels) == len(PANELS))
    for ax, name in zip(panels, CHANNELS, strict=False):
        _draw_map(ax, gradients, name)
    pose_gradient(gradients, panels[-1])
    figure = panels[0].get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def pose_gradient(gradients: LossGradients, ax: Axes | None = None) -> Axes:
    """Draw the gradient of a loss in the pose: a bar for each degree of freedom, and where downhill leads.

    Args:
        gradients: from `diffus.registration.gradients.loss_gradients`.
        ax: where; by default on a new figure.
    """
    ax = ax or new_axes(7.0, 3.6)
    values = gradients.tangent.numpy()
    names = [
        f"{words.replace(', ', chr(10))} (/{name.rsplit('_', 1)[1]})"
        for name, words in DEGREES_OF_FREEDOM.items()
    ]
    colours = ["tab:red" if value > 0 else "tab:blue" for value in values]
    bars = ax.barh(names, values, color=colours)
    ax.bar_label(bars, [f"{value:+.2g}" for value in values], padding=3, fontsize="small")
    ax.invert_yaxis()
    ax.axvline(0, color="0.4", linewidth=0.8)
    ax.margins(x=0.25)
    ax.set_xlabel("change of the loss for a deg or a mm")
    ax.set_title(f"loss {gradients.loss:.3g}; {downhill(gradients)}", fontsize="medium")
    return ax


def downhill(gradients: LossGradients) -> str:
    """Where the probe has to be shifted for the loss to fall fastest, in words."""
    shift = -gradients.tangent[3:]
    if float(shift.norm()) == 0:
        return "no shift makes it smaller"
    towards = (gradients.world_from_probe[:3, :3] @ (shift / shift.norm())).tolist()
    order = sorted(range(3), key=lambda axis: -abs(towards[axis]))
    named = [_ANATOMY[axis][towards[axis] > 0] for axis in order if abs(towards[axis]) > 0.35]
    return f"it falls by {float(shift.norm()):.2g}/mm towards {'-'.join(named)}"


def image_derivative(
    values: Float[Tensor, "S N"], probe: Probe, name: str, ax: Axes | None = None, *, title: str | None = None
) -> Axes:
    """Draw how each pixel changes with one degree of freedom of the pose: axes in mm, red where it brightens.

    Args:
        values: on the scanlines, from `diffus.registration.gradients.pose_derivative`.
        probe: whose image.
        name: which of `landscape.DEGREES_OF_FREEDOM`.
        ax: where; by default on a new figure.
        title: by default the degree of freedom in words.

    Raises:
        ValueError: for an unknown degree of freedom, or values that do not fit the probe.
    """
    require_one_of("degree of freedom", name, DEGREES_OF_FREEDOM)
    expected = (probe.n_scanlines, probe.n_samples)
    require_shape("values", values.shape, f"{expected}, those of the probe", tuple(values.shape) == expected)
    ax = ax or new_axes()
    grid = PixelGrid.around(probe)
    image = to_cartesian(values.detach().cpu()[None], probe, grid)[0].numpy()
    seen = field_of_view(probe, grid).numpy()
    left, right, top, bottom = grid.edges_mm()
    unit = "degree" if name.endswith("_deg") else "mm"
    _draw_signed(
        ax, np.where(seen, image, np.nan), (left, right, bottom, top), f"grey value (0 to 1) per {unit}"
    )
    ax.set_title(DEGREES_OF_FREEDOM[name] if title is None else title)
    return ax


def _new_panels() -> list[Axes]:
    figure = Figure(figsize=(12.5, 8.0), layout="compressed")
    return [figure.add_subplot(2, 2, number + 1) for number in range(len(PANELS))]


def _draw_map(ax: Axes, gradients: LossGradients, name: str) -> None:
    plane = Plane.of_fan(gradients.probe, gradients.world_from_probe, _MARGIN_MM, _SPACING_MM)
    values = plane.sample(getattr(gradients, name)).nan_to_num(0.0).numpy()
    _draw_signed(ax, values, plane.extent_mm, f"loss per {MAP_UNITS[name]} in a voxel")
    outline = gradients.probe.outline_mm()
    ax.plot(outline[:, 0], outline[:, 1], color="black", linewidth=0.8)
    ax.set_title(f"gradient in {name}")


def _draw_signed(
    ax: Axes, values: np.ndarray, extent_mm: tuple[float, float, float, float], label: str
) -> None:
    """Colours alike to both sides of zero; grey where there is nothing."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    limit = float(np.quantile(sizes, _SHOWN)) if sizes.size else 1.0
    drawn = ax.imshow(np.ma.masked_invalid(values), extent=extent_mm, cmap=_SIGNED, vmin=-limit, vmax=limit)
    ax.set_facecolor("0.8")
    ax.set(xlabel="lateral x (mm)", ylabel="depth z (mm)")
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85, label=label, extend="both")
    bar.formatter.set_powerlimits((-2, 2))  # pyright: ignore[reportAttributeAccessIssue]
