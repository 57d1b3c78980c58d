"""The picture of a training step: MRI, rendered frame, real frame, and their difference."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from diffus.plot import Picture, difference, picture, save_figure
from diffus.probe import Probe

PIXEL_MM = 0.4
_SPAN = 2.5
"""Standard deviations from grey to black or white."""


def save_panel(
    path: Path,
    probe: Probe,
    mri: Float[Tensor, "S N"],
    rendered_db: Float[Tensor, "S N"],
    real: Float[Tensor, "S N"],
    weights: Float[Tensor, "S N"],
    title: str,
) -> Path:
    """Draw one frame in its sector, axes in mm, black where nothing is compared.

    Rendered and real frame are shown in units of their own standard deviation, without their trend over
    depth, as the losses see them but for its local part.

    Args:
        path: PNG to write.
        probe: geometry of the scanlines.
        mri: intensity of the MRI on the samples.
        rendered_db: rendered levels.
        real: grey values.
        weights: 1 where a sample counts.
        title: of the whole.
    """
    level, grey = (_standardised(image, weights) for image in (rendered_db, real))
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(1, 4, sharey=True)
    seen = (Picture.of_scanlines(image, probe, weights, PIXEL_MM) for image in (mri, level, grey))
    shown, rendered, fixed = seen
    picture(shown, axes[0], levels=(0.0, 1.3), title="MRI")
    picture(rendered, axes[1], levels=(-_SPAN, _SPAN), title="rendered, expected")
    picture(fixed, axes[2], levels=(-_SPAN, _SPAN), title="real ultrasound")
    difference(rendered, fixed, axes[3], unit="standard deviations", limit=_SPAN)
    for ax in axes:
        ax.label_outer()
    return save_figure(figure, path, dpi=90)


def _standardised(image: Float[Tensor, "S N"], weights: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
    by_depth = (image * weights).sum(dim=0) / weights.sum(dim=0).clamp_min(1)
    flat = (image - by_depth) * weights
    return flat / ((flat**2).sum() / weights.sum().clamp_min(1)).sqrt().clamp_min(1e-9)
