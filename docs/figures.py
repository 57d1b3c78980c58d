"""Draws the pictures that explain the conventions: ``python docs/figures.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import diffus
from diffus import plot

PICTURES = Path(__file__).parent / "pictures"
COLOURS = {"x": "#ff5252", "y": "#69f0ae", "z": "#40c4ff"}


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, text: str) -> None:
    """An arrow with its name at the tip."""
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.2})
    tip = 1.12 * (np.array(end) - start) + start
    ax.text(float(tip[0]), float(tip[1]), text, color=colour, fontweight="bold", ha="center", va="center")


def conventions() -> Figure:
    """Probe frame with its scanlines and samples, and the same probe in the world."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    probe = diffus.preset("craniotomy")
    at = diffus.pose.look_at((-66.0, -12.0, 30.0), (0.0, -12.0, 12.0), lateral=(0.0, 0.0, -1.0))
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)

    plot.fan_slice(
        brain.image, probe, at, ax=left, outline=False, title="probe frame: x lateral, z depth (mm)"
    )
    lines = probe.with_options(n_scanlines=9).scanlines()
    for number, (origin, direction) in enumerate(zip(lines.origins_mm, lines.directions, strict=True)):
        end = origin + float(probe.depth_mm) * direction
        left.plot([origin[0], end[0]], [origin[2], end[2]], color="white", linewidth=0.7, alpha=0.8)
        if number in (0, 8):
            left.text(
                float(end[0]),
                float(end[2]) + 4,
                f"scanline {'0' if number == 0 else 'S - 1'}",
                color="white",
                ha="center",
            )
    arrow(left, (0, 0), (25, 0), COLOURS["x"], "x")
    arrow(left, (0, 0), (0, 25), COLOURS["z"], "z")
    left.plot(0, 0, "o", color=COLOURS["y"])
    left.text(
        -3,
        -5,
        "origin: middle of the face;\ny (elevation) points at the reader",
        color=COLOURS["y"],
        ha="right",
        fontsize=8,
    )

    plot.orthogonal_slice(
        brain.image, "coronal", (0.0, -12.0, 0.0), right, convention="neurological", crosshair=False
    )
    outline = torch.zeros(len(probe.outline_mm()), 3, dtype=torch.float64)
    outline[:, [0, 2]] = probe.outline_mm()
    world = diffus.pose.transform_points(at, outline)
    right.plot(world[:, 0], world[:, 2], color="#ffd54f")
    origin = (float(at[0, 3]), float(at[2, 3]))
    for name, column in (("x", 0), ("z", 2)):
        tip = (origin[0] + 30 * float(at[0, column]), origin[1] + 30 * float(at[2, column]))
        arrow(right, origin, tip, COLOURS[name], name)
    arrow(right, (0, -60), (30, -60), "white", "R+")
    arrow(right, (0, -60), (0, -30), "white", "S+")
    right.text(3, -68, "world: RAS+, mm", color="white")
    right.set(
        xlabel="world R (mm)",
        ylabel="world S (mm)",
        title="world: point_world = world_from_probe @ point_probe",
    )
    return figure


def first_look() -> Figure:
    """The README's picture: the MRI in the plane of the probe, the expected frame, and a sampled one."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    medium, probe = diffus.Medium.from_tissue_maps(brain), diffus.preset("craniotomy")
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    figure = Figure(figsize=(15, 4.3), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    plot.fan_slice(brain.image, probe, at, ax=axes[0], margin_mm=6.0, title="MRI in the plane of the probe")
    titles = {"expected": "rendered: mean over speckle", "sampled": "rendered: speckle of the tissue"}
    for ax, (speckle, title) in zip(axes[1:], titles.items(), strict=True):
        frame = diffus.render(medium, probe, at, diffus.RenderSettings(speckle=speckle))
        plot.bmode(frame, ax=ax, decibel_bar=False, title=title)
    return figure


def main() -> None:
    """Write every picture."""
    plot.save_figure(first_look(), PICTURES / "first_look.png", dpi=70)
    plot.save_figure(conventions(), PICTURES / "conventions.png", dpi=90)


if __name__ == "__main__":
    main()
