"""The picture of a training step: MRI, rendered frame, real frame, and their difference."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from diffus.imaging.scan_conversion import PixelGrid, to_cartesian
from diffus.plot.figures import save_figure
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
    pictures = (
        ("MRI", mri, (0.0, 1.3), "gray"),
        ("rendered, expected", level, (-_SPAN, _SPAN), "gray"),
        ("real ultrasound", grey, (-_SPAN, _SPAN), "gray"),
        ("rendered - real", level - grey, (-_SPAN, _SPAN), "RdBu_r"),
    )
    grid = PixelGrid.around(probe, PIXEL_MM)
    left, right, top, bottom = grid.edges_mm()
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    figure.suptitle(title)
    for ax, (name, image, (low, high), colours) in zip(
        figure.subplots(1, 4, sharey=True), pictures, strict=True
    ):
        shown = to_cartesian(torch.stack([image, weights]).float(), probe, grid)
        masked = torch.where(shown[1] > 0.5, shown[0], torch.nan)
        drawn = ax.imshow(
            masked.numpy(), extent=(left, right, bottom, top), cmap=colours, vmin=low, vmax=high
        )
        ax.set_facecolor("black")
        ax.set(title=name, xlabel="lateral x (mm)")
        if name.endswith("- real"):
            figure.colorbar(drawn, ax=ax, shrink=0.8).set_label("standard deviations")
    figure.axes[0].set_ylabel("depth z (mm)")
    return save_figure(figure, path, dpi=90)


def _standardised(image: Float[Tensor, "S N"], weights: Float[Tensor, "S N"]) -> Float[Tensor, "S N"]:
    by_depth = (image * weights).sum(dim=0) / weights.sum(dim=0).clamp_min(1)
    flat = (image - by_depth) * weights
    return flat / ((flat**2).sum() / weights.sum().clamp_min(1)).sqrt().clamp_min(1e-9)
