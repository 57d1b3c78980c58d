"""Draws every frame: voxels and world, RAS and LPS, probes, and the two images: ``python docs/frames.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import diffus
from diffus import plot

PICTURES = Path(__file__).parent / "pictures"
FIRST, SECOND, POINT, MILD = "#d32f2f", "#1976d2", "#ef6c00", "#9e9e9e"


SHADE = {"boxstyle": "square,pad=0.15", "facecolor": "black", "edgecolor": "none", "alpha": 0.65}


def arrow(
    ax: Axes,
    start: tuple[float, float],
    step: tuple[float, float],
    colour: str,
    text: str,
    shade: bool = True,
) -> None:
    """An arrow with its name beyond the tip."""
    end = (start[0] + step[0], start[1] + step[1])
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 2.0})
    down = ax.yaxis_inverted()
    pixels = np.array([step[0], -step[1] if down else step[1]]) / np.hypot(*step) * (8 + 3 * len(text))
    box = SHADE if shade else None
    ax.annotate(
        text,
        end,
        tuple(pixels),
        textcoords="offset points",
        color=colour,
        fontweight="bold",
        ha="center",
        va="center",
        bbox=box,
    )


def voxels(ax: Axes) -> None:
    """A grid of voxels of 2 x 3 mm, turned by 20 degrees, in the world: centres at whole indices."""
    turn = np.deg2rad(20)
    world_from_voxel = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(
        [2.0, 3.0]
    )
    corner = np.array([-4.0, 3.0])

    def world(i: float, j: float) -> np.ndarray:
        return world_from_voxel @ np.array([i, j]) + corner

    def place(i: float, j: float) -> tuple[float, float]:
        right, anterior = world(i, j).tolist()
        return right, anterior

    shape = (5, 4)
    for i in np.arange(shape[0] + 1) - 0.5:
        ax.plot(*np.stack([world(i, -0.5), world(i, shape[1] - 0.5)], 1), color=MILD, linewidth=0.8)
    for j in np.arange(shape[1] + 1) - 0.5:
        ax.plot(*np.stack([world(-0.5, j), world(shape[0] - 0.5, j)], 1), color=MILD, linewidth=0.8)
    centres = np.array([world(i, j) for i in range(shape[0]) for j in range(shape[1])])
    ax.plot(*centres.T, ".", color="black", markersize=4)
    start = place(0, 0)
    for index, colour, name in (((2, 0), FIRST, "i"), ((0, 2), SECOND, "j")):
        end = place(*index)
        arrow(ax, start, (end[0] - start[0], end[1] - start[1]), colour, name, shade=False)
    words = "voxel [0, 0, k]\nworld_from_voxel[:3, 3]"
    ax.text(start[0] - 0.3, start[1] - 1.4, words, fontsize=8, va="top")
    point = place(3, 2)
    ax.plot(*point, "o", color=POINT)
    ax.annotate(
        f"voxel [3, 2, k]\nworld ({point[0]:.1f}, {point[1]:.1f}, S) mm",
        point,
        (4.6, 12.6),
        color=POINT,
        fontsize=8,
        arrowprops={"arrowstyle": "-", "color": POINT},
    )
    ax.set(xlim=(-9, 13), ylim=(-3, 17), aspect="equal", xlabel="world R (mm)", ylabel="world A (mm)")
    ax.set_title("voxel frame: indices in the file's order, centres at integers", fontsize=9)


def borders(ax: Axes) -> None:
    """One point of the head in RAS+ and in LPS+."""
    brain = diffus.datasets.example_brain().image
    assert brain is not None
    right, anterior = (torch.arange(low, high, 1.0) for low, high in ((-90.0, 91.0), (-115.0, 90.0)))
    grid = torch.stack(torch.meshgrid(right, anterior, torch.tensor([16.0]), indexing="ij"), dim=-1)
    image = brain.sample(grid)[..., 0].T
    ax.imshow(image, origin="lower", cmap="gray", extent=(-90.5, 90.5, -115.5, 89.5), alpha=0.85)
    point = (-32.0, 40.0)
    ax.plot(*point, "o", color="#ffb300")
    ax.annotate(
        "the same point:\nRAS+ (-32, 40, 16) mm\nLPS+ (32, -40, 16) mm",
        point,
        (-86, 62),
        color="#ffb300",
        fontsize=8,
        ha="left",
        bbox=SHADE,
        arrowprops={"arrowstyle": "-", "color": "#ffb300"},
    )
    for step, name in (((38, 0), "R+"), ((0, 38), "A+")):
        arrow(ax, (8, -30), step, "#40c4ff", name)
    for step, name in (((-38, 0), "L+"), ((0, -38), "P+")):
        arrow(ax, (-8, -42), step, "#ff8a80", name)
    ax.text(26, 22, "DiffUS, nibabel", color="#40c4ff", fontsize=8, bbox=SHADE)
    ax.text(-8, -106, "ITK, 3D Slicer's files, DICOM", color="#ff8a80", fontsize=8, ha="center", bbox=SHADE)
    ax.set(xlabel="world R (mm)", ylabel="world A (mm)", facecolor="black")
    ax.set_title("borders: LPS = diag(-1, -1, 1) RAS, in diffus.io only (axial, seen from above)", fontsize=9)


def probes() -> Figure:
    """The four probes in their frame: origin, axes, scanlines and field of view."""
    kinds = {
        "ConvexProbe:\norigin at the top of the arc": diffus.preset("craniotomy"),
        "LinearProbe:\norigin in the middle of the face": diffus.preset("linear"),
        "PhasedProbe:\nall scanlines from the origin": diffus.preset("phased"),
        "RadialProbe:\norigin on the axis of rotation": diffus.preset("radial"),
    }
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    for ax, (title, probe) in zip(figure.subplots(1, 4), kinds.items(), strict=True):
        ax.invert_yaxis()
        outline = probe.outline_mm()
        ax.fill(outline[:, 0], outline[:, 1], color="#eceff1")
        lines = probe.with_options(n_scanlines=13).scanlines()
        ends = lines.origins_mm + float(probe.depth_mm) * lines.directions
        for start, end in zip(lines.origins_mm, ends, strict=True):
            ax.plot([start[0], end[0]], [start[2], end[2]], color=MILD, linewidth=0.8)
        ax.plot([lines.origins_mm[0, 0], ends[0, 0]], [lines.origins_mm[0, 2], ends[0, 2]], color=POINT)
        ax.plot(lines.origins_mm[:, 0], lines.origins_mm[:, 2], color="black", linewidth=2.5)
        size = 0.28 * float(probe.depth_mm)
        arrow(ax, (0, 0), (size, 0), FIRST, "x", shade=False)
        arrow(ax, (0, 0), (0, size), SECOND, "z", shade=False)
        ax.plot(0, 0, "o", color="#2e7d32", markersize=5)
        ax.margins(0.12)
        ax.set(aspect="equal", xlabel="x (mm)", ylabel="z (mm)")
        ax.set_title(title, fontsize=9)
    return figure


def images() -> Figure:
    """The scanline image and the Cartesian image of one frame, with one sample marked in both."""
    brain = diffus.datasets.example_brain()
    probe = diffus.preset("craniotomy").with_options(n_scanlines=96)
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    frame = diffus.render(diffus.Medium.from_tissue_maps(brain), probe, at)
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
    scanline, sample = 70, 260
    left.imshow(frame.scanlines[0].T, cmap="gray", aspect="auto", extent=(-0.5, 95.5, 511.5, -0.5))
    left.plot(scanline, sample, "o", color=POINT, markersize=7)
    left.text(
        scanline - 3, sample - 12, f"[0, {scanline}, {sample}]", color="#ffb74d", fontsize=9, ha="right"
    )
    left.set(xlabel="scanline s, from smallest x", ylabel="sample k, from the face down")
    left.set_title("scanline image: frame.scanlines[b, s, k]", fontsize=10)
    plot.bmode(
        frame,
        ax=right,
        decibel_bar=False,
        title="Cartesian image: frame.cartesian(spacing_mm)[b, row, column]",
    )
    right.title.set_fontsize(10)
    x, _, z = probe.sample_points_mm()[scanline, sample].tolist()
    right.plot(x, z, "o", color=POINT, markersize=7)
    right.text(x + 2.5, z, f"x {x:.1f}, z {z:.1f} mm", color="#ffb74d", fontsize=9, va="center")
    lines = probe.scanlines()
    for which in (0, scanline, probe.n_scanlines - 1):
        start = lines.origins_mm[which]
        end = start + float(probe.depth_mm) * lines.directions[which]
        right.plot([start[0], end[0]], [start[2], end[2]], color="#ffb74d", linewidth=0.7, linestyle=":")
        right.text(
            float(end[0]),
            float(end[2]) + 1.5,
            f"s = {which}",
            color="#ffb74d",
            fontsize=8,
            ha="center",
            va="top",
        )
    edges = frame.grid().edges_mm()
    arrow(right, (edges[0] + 4, edges[2] + 4), (14, 0), "#40c4ff", "column")
    arrow(right, (edges[0] + 4, edges[2] + 4), (0, 14), "#40c4ff", "row")
    return figure


def main() -> None:
    """Write every picture."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    voxels(left)
    borders(right)
    plot.save_figure(figure, PICTURES / "frames_world.png", dpi=90)
    plot.save_figure(probes(), PICTURES / "frames_probes.png", dpi=90)
    plot.save_figure(images(), PICTURES / "frames_image.png", dpi=90)


if __name__ == "__main__":
    main()
