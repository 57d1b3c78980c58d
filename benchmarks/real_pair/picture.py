"""The picture of the answer: ultrasound, and MRI and rendered frame before and after."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float64
from matplotlib.figure import Figure
from torch import Tensor

import diffus
from diffus import RenderSettings, plot
from diffus.plot.slices import fan_slice
from diffus.registration.motion import moved, pivot_at
from diffus.registration.volume import SweepGeometry

from .case24 import Pair, random_offsets


def draw(
    pair: Pair, geometry: SweepGeometry, mri_from_ultrasound: Float64[Tensor, "4 4"], path: Path
) -> None:
    """One plane of the sweep: the ultrasound, FLAIR and the rendered frame, before and after.

    Before is the first random offset of the study.
    """
    medium, at = pair.medium("both, T1 moved"), geometry.world_from_probe
    middle = at[:3, 3] + 0.5 * float(geometry.probe.depth_mm) * at[:3, 2]
    before = moved(torch.eye(4, dtype=torch.float64), random_offsets(1)[0], pivot_at(middle))
    figure = Figure(figsize=(17, 8), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True, sharey=True)
    settings = RenderSettings(speckle="sampled", gain_db=22.0, speckle_reduction=0.7)
    for row, (name, transform) in enumerate((("before", before), ("registered", mri_from_ultrasound))):
        there = transform @ at
        fan_slice(
            pair.ultrasound, geometry.probe, at, ax=axes[row][0], outline=False, title="real ultrasound"
        )
        fan_slice(pair.flair, geometry.probe, there, ax=axes[row][1], title=f"FLAIR, {name}")
        frame = diffus.render(medium, geometry.probe, there, settings)
        plot.bmode(frame, ax=axes[row][2], decibel_bar=False, title=f"rendered from T1 and FLAIR, {name}")
    plot.save_figure(figure, path, dpi=75)
