"""Draws what `diffus.plot` draws, on the embedded brain: ``python docs/drawings.py``."""

from __future__ import annotations

from pathlib import Path

import torch

import diffus
from diffus import plot, scene, trajectory
from diffus.registration.gradients import loss_gradients
from diffus.registration.landscape import landscape
from diffus.similarity import ncc

PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    """Write every picture."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    medium, probe = diffus.Medium.from_tissue_maps(brain), diffus.preset("craniotomy")
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    near = diffus.pose.perturb(at, torch.tensor([2.0, -3.0, 2.0, 2.0, 1.5, -1.0]))
    real = diffus.render(medium, probe, at, diffus.RenderSettings(speckle="sampled", seed=3))
    rendered = diffus.render(medium, probe, near)

    slices = plot.orthogonal_slices(brain.image, probe=probe, world_from_probe=at)
    plot.save_figure(slices, PICTURES / "plot_slices.png", dpi=60)
    plot.save_figure(plot.comparison(rendered, real), PICTURES / "plot_comparison.png", dpi=50)
    plot.save_figure(plot.scanline(medium, probe, at, 80), PICTURES / "plot_scanline.png", dpi=60)
    plot.save_figure(plot.landscape(landscape(real, medium)), PICTURES / "plot_landscape.png", dpi=70)

    gradients = loss_gradients(lambda frame: 1 - ncc(frame.scanlines, real.scanlines)[0], medium, probe, near)
    plot.save_figure(plot.gradient_maps(gradients), PICTURES / "plot_gradients.png", dpi=60)

    small = probe.with_options(n_scanlines=96)
    fan = (diffus.render(medium, small, pose) for pose in trajectory.fan(at, 36.0, 7))
    plot.animate_sweep(fan, PICTURES / "sweep.gif", volume=brain.image, per_second=3, dpi=44)

    scene.of_frame(real, brain, slices=False).screenshot(PICTURES / "scene.png", size=(800, 560))


if __name__ == "__main__":
    main()
