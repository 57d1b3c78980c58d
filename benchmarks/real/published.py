"""The images of the DiffUS paper: its echoes, multiplicative noise, blur and sharpening (arXiv 2508.06768).

After the paper and the program that came with it (gduguey/DiffUS), written anew: the echoes of its delay-
free system, one sample a voxel; a loss by a constant factor a sample; noise that multiplies, one factor
for each depth (arcs) and one for each sample, both stronger with depth; a Gaussian across scanlines that
widens linearly with depth; unsharp masking. Its constants are kept. Ours here: the impedance (that of the
frame's medium, so that only the physics differs), and white at the 99.5th percentile (theirs is the
maximum, one pixel that depends on chance).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.scan_conversion import PixelGrid, to_cartesian
from diffus.pose import transform_points
from diffus.propagation import echoes
from diffus.scalars import number
from diffus.volume import Volume

from .observation import VOXEL_MM
from .rendered import View
from .sampling import LineGrid, sample_plane
from .scanline_image import ScanlineImage

SCANLINES = 256
LOSS_PER_SAMPLE = 1e-4
ARC_NOISE, GRAIN_NOISE = 0.01, 0.15
ARC_POWER, GRAIN_POWER = 2.0, 1.5
WIDEST_BLUR_LINES = 4.0
SHARPENING = 5.0
WHITE_QUANTILE = 0.995
SPLAT_PIXELS = 1.0
"""Sigma of the Gaussian that its splatting into pixels blurs by."""


def render_published(view: View, seed: int = 0) -> ScanlineImage:
    """One frame as the paper makes it, in pixels of 0.5 mm, cut like the real slices."""
    samples = round(number(view.probe.depth_mm) / VOXEL_MM)
    probe = view.probe.with_options(n_scanlines=SCANLINES, n_samples=samples)
    lines = probe.scanlines()
    depths = VOXEL_MM * torch.arange(samples + 1, dtype=torch.float64)
    points = lines.origins_mm[:, None] + depths[:, None] * lines.directions[:, None]
    world = transform_points(view.world_from_probe, points.reshape(-1, 3)).reshape(points.shape)
    impedance = view.medium.volume("impedance")
    low = float(impedance.data.min())
    values = impedance.sample(world).to(torch.float32).clamp_min(low)
    image = with_artefacts(echoes(values, model="published"), torch.Generator().manual_seed(seed))
    grid = PixelGrid.around(probe, VOXEL_MM)
    pixels = to_cartesian(
        (image / image.quantile(WHITE_QUANTILE).clamp_min(1e-12)).clamp(0, 1)[None], probe, grid
    )
    sigma = torch.tensor(SPLAT_PIXELS)
    blurred = blur_scanlines(blur_depth(pixels, sigma, "sum"), sigma.expand(pixels.shape[-1]), False)[0]
    # World of the slice: the probe frame itself.
    slab = Volume(blurred.T[..., None].contiguous(), grid.probe_from_pixel())
    cut = sample_plane(slab, view.probe, torch.eye(4, dtype=torch.float64), white=1.0)
    line_grid = LineGrid.of(view.probe)
    return line_grid.image(cut.grey, line_grid.inside(view.support, view.world_from_probe))


def with_artefacts(echo: Float[Tensor, "S N"], generator: torch.Generator) -> Float[Tensor, "S N"]:
    """Loss, noise, blur and sharpening of the echoes."""
    lines, samples = echo.shape
    share = torch.linspace(0, 1, samples)
    arcs = 1 + ARC_NOISE * (1 + share**ARC_POWER) * torch.randn(samples, generator=generator)
    grain = 1 + GRAIN_NOISE * (1 + share**GRAIN_POWER) * torch.randn(lines, samples, generator=generator)
    lost = echo * torch.exp(-LOSS_PER_SAMPLE * torch.arange(samples))
    noisy = (lost * arcs * grain).clamp_min(0)
    blurred = blur_scanlines(noisy[None], WIDEST_BLUR_LINES * share, False)[0]
    one = torch.ones(())
    smooth = blur_scanlines(blur_depth(blurred[None], one, "sum"), one.expand(samples), False)[0]
    sharp = blurred + SHARPENING * (blurred - smooth)
    return sharp.clamp(float(blurred.min()), float(blurred.max()))
