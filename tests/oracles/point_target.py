"""A single scatterer in the product's image, its widths, and the textbook's formulas for them."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffus import Probe
from diffus.imaging.scatterers import scatterers_in
from diffus.imaging.speckle import scattered_iq

DENSITY_PER_MM3 = 1e-3
"""One scatterer in each cell of a centimetre."""
SEED = 11


def axial_width_mm(wavelength_mm: float, bandwidth: float) -> float:
    """-6 dB length of the echo of a Gaussian spectrum, half amplitude at f0 (1 +- B / 2).

    A Gaussian of full width W at half height has a Fourier transform of full width ``4 ln 2 / (pi W)``: in
    time ``4 ln 2 / (pi B f0)``, and depth is half of what sound travels.
    """
    return 2 * math.log(2) / math.pi * wavelength_mm / bandwidth


def focal_width_mm(wavelength_mm: float, focus_mm: float, aperture_mm: float) -> float:
    """-6 dB two-way width at the focus of a rectangular aperture: ``sinc^2(x A / (lambda z)) = 1/2``."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.sinc(middle) ** 2 > 0.5 else (low, middle)
    return 2 * low * wavelength_mm * focus_mm / aperture_mm


def full_width(positions: ArrayLike, profile: ArrayLike, level: float = 0.5) -> float:
    """Distance between the outermost places at which a profile is a share of its peak, linear between."""
    x, values = np.asarray(positions, dtype=float), np.asarray(profile, dtype=float)
    values = values / values.max()
    above = np.flatnonzero(values >= level)
    first, last = above[0], above[-1]
    if first == 0 or last == len(values) - 1:
        raise ValueError("the profile does not fall off within the positions")
    left = np.interp(level, values[first - 1 : first + 1], x[first - 1 : first + 1])
    right = np.interp(-level, -values[last : last + 2], x[last : last + 2])
    return float(right - left)


def image_of_one(
    probe: Probe, depth_mm: float, elevation_mm: Tensor | None = None, backend: str = "auto"
) -> Tensor:
    """Envelope, (images, scanlines, samples), of one scatterer on the middle scanline.

    The scatterer is one of the tissue's own: the probe is put where it sees it at the wanted place. The
    others are silenced by a power that is not zero only within a few cells of the image.

    Args:
        probe: with an odd number of scanlines.
        depth_mm: of the scatterer along its scanline; near enough, since it is put in the middle of a cell.
        elevation_mm: how far from the image plane, one for each image; by default one image, in the plane.
        backend: of `scattered_iq`.
    """
    elevation = torch.zeros(1, dtype=torch.float64) if elevation_mm is None else elevation_mm.double()
    middle, sample = probe.n_scanlines // 2, round(depth_mm / float(probe.sample_spacing_mm) - 0.5)
    places, _ = scatterers_in(torch.zeros(1, 3, dtype=torch.int64), SEED)
    lines = probe.scanlines()
    wanted = lines.origins_mm[middle] + float(probe.sample_depths_mm()[sample]) * lines.directions[middle]
    poses = torch.eye(4, dtype=torch.float64).repeat(len(elevation), 1, 1)
    poses[:, :3, 3] = places[0] * DENSITY_PER_MM3 ** (-1 / 3) - wanted
    poses[:, 1, 3] -= elevation
    power = torch.zeros(len(poses), probe.n_scanlines, probe.n_samples, dtype=torch.float64)
    power[:, middle - 1 : middle + 2, sample - 1 : sample + 2] = 1.0
    options = {"seed": SEED, "scatterers_per_mm3": DENSITY_PER_MM3, "backend": backend}
    return scattered_iq(power, probe, poses, **options).abs()


def widths_mm(image: Tensor, probe: Probe) -> tuple[float, float]:
    """-6 dB widths of a point in an image: along its brightest scanline, and of all scanlines' brightest."""
    line, sample = divmod(int(image.argmax()), probe.n_samples)
    depths = probe.sample_depths_mm()
    across = torch.arange(probe.n_scanlines) * float(probe.lateral_spacing_mm(depths[sample]))
    return full_width(depths, image[line]), full_width(across, image.amax(dim=1))
