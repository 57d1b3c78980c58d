"""Draws what waves do, bone, gas and fluid, and the models side by side: ``python docs/waves.py``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

import diffus
from diffus import TISSUES, LinearProbe, Medium, RenderSettings, plot

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


def main() -> None:
    """Write every picture."""
    plot.save_figure(artefacts(), PICTURES / "artefacts.png", dpi=70)
    plot.save_figure(models_on_the_brain(), PICTURES / "models.png", dpi=70)


if __name__ == "__main__":
    main()
