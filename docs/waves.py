"""Draws what waves do: three layers, bone, gas and fluid, the models compared: ``python docs/waves.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import diffus
from diffus import TISSUES, LinearProbe, Medium, RenderSettings, plot
from diffus.propagation import echoes, reflection

PICTURES = Path(__file__).parent / "pictures"
SPACING_MM = 0.1
PROBE = LinearProbe(
    width_mm=38.0,
    depth_mm=60.0,
    n_scanlines=160,
    n_samples=1024,
    frequency_mhz=6.0,
    focus_mm=25.0,
    aperture_mm=10.0,
)
FACE_ON = torch.eye(4, dtype=torch.float64)
MODELS = {"primary": 30.0, "full": 30.0, "published": 0.0}
"""Gain in dB that brings each model's values into the grey scale."""


def scene(place: Callable[[Tensor, Tensor], list[tuple[Tensor, str]]]) -> Medium:
    """Brain with things in it: each a mask of the image plane and a tissue of the table."""
    x = torch.arange(-25.0, 25.0 + SPACING_MM, SPACING_MM)
    z = torch.arange(-1.0, 62.0, SPACING_MM)
    grid_x, grid_z = torch.meshgrid(x, z, indexing="ij")
    plane = torch.tensor(TISSUES["brain"].acoustic).expand(*grid_x.shape, 3).clone()
    for mask, name in place(grid_x, grid_z):
        plane[mask] = torch.tensor(TISSUES[name].acoustic)
    affine = torch.diag(torch.tensor([SPACING_MM, 10.0, SPACING_MM, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-25.0, -10.0, -1.0])
    return Medium.from_channels(plane[:, None].repeat(1, 3, 1, 1), affine)


def bone_plate(x: Tensor, z: Tensor) -> list[tuple[Tensor, str]]:
    """A plate of bone 2 mm thick under half of the face."""
    return [((z > 14) & (z < 16) & (x.abs() < 9), "cortical_bone")]


def gas(x: Tensor, z: Tensor) -> list[tuple[Tensor, str]]:
    """A bubble, and beside it a film of fluid held between fat and gas, which rings."""
    bubble = ((x + 9) ** 2 + (z - 18) ** 2) < 3.0**2
    film = (x - 9).abs() < 4
    return [
        (bubble, "air"),
        (film & (z > 17.0) & (z < 17.6), "lung"),
        (film & (z >= 17.6) & (z < 18.4), "water"),
        (film & (z >= 18.4) & (z < 19.4), "air"),
    ]


def cavity(x: Tensor, z: Tensor) -> list[tuple[Tensor, str]]:
    """A cavity filled with saline."""
    return [(x**2 + (z - 22) ** 2 < 8.0**2, "water")]


SCENES = {
    "bone plate": (bone_plate, 0.5),
    "gas": (gas, 0.5),
    "saline cavity": (cavity, 0.0),
}


def artefacts() -> Figure:
    """Each scene by primary reflections and by the full response, the face reflecting half."""
    figure = Figure(figsize=(7.5, 13), layout="constrained")
    axes = figure.subplots(len(SCENES), 2, sharex=True, sharey=True)
    for row, (name, (place, face)) in zip(axes, SCENES.items(), strict=True):
        medium = scene(place)
        for ax, model in zip(row, ("primary", "full"), strict=True):
            settings = RenderSettings(propagation=model, face_reflection=face, tgc_db_per_cm=7.0)
            frame = diffus.render(medium, PROBE, FACE_ON, settings)
            title = f"{name}, {model}" + (f", face reflects {face:g}" if model == "full" and face else "")
            plot.bmode(frame, ax=ax, decibel_bar=False, title=title)
    return figure


def models_on_the_brain() -> Figure:
    """The three models on the embedded brain, interfaces alone."""
    brain = diffus.datasets.example_brain()
    medium = Medium.from_tissue_maps(brain)
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    figure = Figure(figsize=(17, 5.2), layout="constrained")
    for ax, model in zip(figure.subplots(1, 3), MODELS, strict=True):
        settings = RenderSettings(propagation=model, speckle="none", gain_db=MODELS[model])
        frame = diffus.render(medium, diffus.preset("craniotomy"), at, settings)
        plot.bmode(
            frame, ax=ax, decibel_bar=False, title=f"{model}: interfaces alone, gain {MODELS[model]:g} dB"
        )
    return figure


def three_layers() -> Figure:
    """Every wave of Z = [1, 2, 1.5] over time, with its pressure, and what the transducer hears."""
    impedance = torch.tensor([1.0, 2.0, 1.5], dtype=torch.float64)
    first, second = reflection(impedance).tolist()
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    paths, train = figure.subplots(1, 2, width_ratios=(1.7, 1))
    for depth, colour in ((0, "#eceff1"), (1, "#cfd8dc"), (2, "#eceff1")):
        paths.axhspan(depth - 1, depth, color=colour)
    for depth, text in ((-0.55, "Z = 1"), (0.5, "Z = 2"), (1.5, "Z = 1.5")):
        paths.text(-1.02, depth, text, va="center", fontweight="bold")

    def ray(start: tuple[float, float], end: tuple[float, float], pressure: float) -> None:
        colour = "#c62828" if pressure < 0 else "#1565c0"
        width = 0.6 + 3 * abs(pressure) ** 0.5
        paths.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": width})
        middle = (start[0] + 0.62 * (end[0] - start[0]), start[1] + 0.62 * (end[1] - start[1]))
        box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        paths.text(*middle, f"{pressure:.4g}", color=colour, fontsize=8, ha="center", va="center", bbox=box)

    ray((-0.5, -1), (0, 0), 1.0)
    ray((0, 0), (0.5, -1), first)
    down = 1 + first
    for time in range(3):
        ray((time, 0), (time + 0.5, 1), down)
        ray((time + 0.5, 1), (time + 1.0, 2), down * (1 + second))
        up = second * down
        ray((time + 0.5, 1), (time + 1, 0), up)
        ray((time + 1, 0), (time + 1.5, -1), up * (1 - first))
        down = -first * up
    paths.set(xlim=(-1.1, 4), ylim=(2, -1), xlabel="time in round trips through the layer", yticks=[0, 1])
    paths.set_yticklabels(["interface 0", "interface 1"])
    paths.set_title("every wave and its pressure")
    heard = echoes(impedance, model="full", n_times=5)
    drawn = train.stem(range(5), heard, basefmt="C7-")
    drawn.markerline.set_color("#1565c0")
    for time, value in enumerate(heard.tolist()[:3]):
        train.text(
            time + 0.12, value - 0.006, f"{value:.4f}", fontsize=9, va="bottom" if time == 0 else "top"
        )
    train.plot([0, 1], [0.2, 0.2], color="#ef6c00", linestyle="--")
    train.text(
        1.1, 0.2, "the delay-free answer: one number,\nthe sum of all, 0.2", color="#ef6c00", va="center"
    )
    train.set(xlim=(-0.5, 6.5), ylim=(-0.2, 0.4), xlabel="time in round trips", ylabel="pressure received")
    train.set_title("what the transducer hears")
    return figure


def delay_free() -> Figure:
    """One slab between two others: echo train, and what the system without delays computes of it."""
    impedance = torch.tensor([1.60] * 12 + [1.70] * 14 + [1.62] * 14, dtype=torch.float64)
    settled = torch.stack(
        [echoes(impedance[: k + 2], model="full", n_times=400).sum() for k in range(len(impedance) - 1)]
    )
    between = torch.arange(len(settled)) + 0.5
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    medium, train, still = figure.subplots(3, 1, sharex=True)
    medium.step(range(len(impedance)), impedance, where="mid", color="#37474f")
    medium.set_ylabel("Z (MRayl)")
    medium.set_title("the medium: one slab", fontsize=10, loc="left")
    train.stem(between, echoes(impedance, model="full"), basefmt="C7-", markerfmt=".")
    train.set_title("echo train (full): the two faces of the slab", fontsize=10, loc="left")
    still.stem(between, settled, basefmt="C7-", markerfmt=".")
    published = echoes(impedance, model="published")
    still.plot(between, published, "x", color="#ef6c00", markersize=5, label="as published")
    title = "without delays: (Z - Z0) / (Z + Z0), a map of impedance and no echo train"
    still.set_title(title, fontsize=10, loc="left")
    still.legend(loc="upper left", fontsize=8)
    still.set_xlabel("sample along the scanline")
    for ax in (medium, train, still):
        ax.axvspan(11.5, 25.5, color="#fff3e0", zorder=0)
    for ax in (train, still):
        ax.set(ylim=(-0.035, 0.045), ylabel="echo")
    return figure


def main() -> None:
    """Write every picture."""
    plot.save_figure(three_layers(), PICTURES / "three_layers.png", dpi=80)
    plot.save_figure(delay_free(), PICTURES / "delay_free.png", dpi=75)
    plot.save_figure(artefacts(), PICTURES / "artefacts.png", dpi=70)
    plot.save_figure(models_on_the_brain(), PICTURES / "models.png", dpi=70)


if __name__ == "__main__":
    main()
