"""Intensities that can be compared across a brain and between scanners: bias field and scale."""

from __future__ import annotations

from dataclasses import dataclass

import SimpleITK as sitk
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from diffus.sampling import sample_trilinear
from diffus.segmentation.grid import Factors, average_down, coarsening_factors, sample_up
from diffus.volume import Volume

BIAS_GRID_MM = 6.0
"""Spacing of the grid on which the bias field is estimated and kept."""

BIAS_LENGTH_MM = 80.0
"""Distance between knots of the bias field. A mask smaller than this along every axis shows no bias worth
the name, and a spline on it would take tumours and deep nuclei for bias: there none is fitted."""

SCALE_QUANTILE = 0.98
"""The quantile of the brain that becomes 1: bright tissue, but not the few voxels of vessels and
artefacts."""


SAMPLES = 200_000
"""Voxels that the quantiles are taken of."""


@dataclass(frozen=True, eq=False)
class Normalisation:
    """How to bring a volume's intensities to a common scale, a few planes at a time.

    Args:
        scale: corrected intensity that becomes 1; 0 stays 0.
        log_bias: logarithm of the smooth multiplicative field, on a coarse grid.
        factors: how many voxels a voxel of that grid spans.
    """

    scale: float
    log_bias: Float[Tensor, "a b c"]
    factors: Factors

    def planes(self, volume: Volume, start: int, stop: int) -> Float[Tensor, "slab J K"]:
        """Normalised intensities of the planes ``start <= i < stop``, as float32."""
        gain = (
            sample_up(self.log_bias, self.factors, volume.shape, start, stop).neg_().exp_().div_(self.scale)
        )
        return gain.mul_(volume.data[start:stop])

    def within(self, volume: Volume, where: Bool[Tensor, "slab J K"], start: int) -> Float[Tensor, " n"]:
        """Normalised intensities of chosen voxels of the planes from ``start`` on."""
        stop = start + len(where)
        bias = sample_up(self.log_bias, self.factors, volume.shape, start, stop)[where]
        values = volume.data[start:stop][where].to(torch.float32)
        return values * bias.neg_().exp_().div_(self.scale)

    def averaged(self, volume: Volume, factors: Factors) -> Float[Tensor, "a b c"]:
        """Normalised intensities on the grid of `grid.average_down`."""
        return average_down(volume, factors, lambda start, stop: self.planes(volume, start, stop)).data

    def at(self, volume: Volume, index: Int64[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """Normalised intensities of chosen voxels."""
        factors = torch.tensor(self.factors, dtype=torch.float32)
        bias = sample_trilinear(self.log_bias[..., None], (index - (factors - 1) / 2) / factors)[:, 0]
        return volume.data[index.unbind(dim=1)].to(torch.float32) * bias.neg().exp() / self.scale


def spread_over(mask: Bool[Tensor, "I J K"], count: int) -> Int64[Tensor, "n 3"]:
    """Indices of at most ``count`` voxels spread evenly over a mask, always the same ones."""
    per_plane = mask.flatten(1).sum(dim=1)
    step = max(1, -(-int(per_plane.sum()) // count))
    seen, chosen = 0, []
    for i, size in enumerate(per_plane.tolist()):
        if size == 0:
            continue
        places = mask[i].nonzero()[(-seen) % step :: step]
        chosen.append(torch.cat([torch.full((len(places), 1), i), places], dim=1))
        seen += size
    return torch.cat(chosen) if chosen else torch.empty(0, 3, dtype=torch.int64)


def fit_normalisation(volume: Volume, mask: Volume) -> Normalisation:
    """Estimate the bias field inside a mask by N4 (Tustison et al., IEEE TMI 29, 2010), and the scale.

    N4 runs on averages over about 6 mm with one level of a coarse spline: seconds, and a few megabytes.

    Args:
        volume: the MRI.
        mask: boolean, true inside the brain, on the same grid.

    Raises:
        ValueError: when the mask is empty, or the volume is constant or has no signal inside it.
    """
    if not bool(mask.data.any()):
        raise ValueError("the mask is empty: it must be true inside the brain")
    factors = coarsening_factors(volume, BIAS_GRID_MM)
    chosen = spread_over(mask.data, SAMPLES)
    plain = volume.data[chosen.unbind(dim=1)].to(torch.float32)
    low, high, bright = float(plain.min()), float(plain.max()), float(plain.quantile(SCALE_QUANTILE))
    if not high > low:
        raise ValueError(
            f"the volume is constant ({low:g}) inside the mask: there is no contrast to tell tissues by"
        )
    if not bright > 0:
        raise ValueError(
            f"the volume has no positive signal inside the mask (range {low:g} to {high:g}): "
            "MRI intensities are magnitudes above zero"
        )
    coarse = average_down(volume, factors)
    log_bias = _log_bias(coarse, average_down(mask, factors).data > 0.5, bright)
    corrected = Normalisation(1.0, log_bias, factors).at(volume, chosen)
    return Normalisation(float(corrected.quantile(SCALE_QUANTILE)), log_bias, factors)


def _log_bias(coarse: Volume, mask: Bool[Tensor, "a b c"], bright: float) -> Float[Tensor, "a b c"]:
    flat = torch.zeros(coarse.shape)
    if not bool(mask.any()):
        return flat
    occupied = mask.nonzero()
    size_mm = (occupied.amax(0) - occupied.amin(0) + 1) * torch.tensor(coarse.spacing_mm)
    if float(size_mm.max()) < BIAS_LENGTH_MM:
        return flat
    spans = (torch.tensor(coarse.extent_mm) / BIAS_LENGTH_MM).round().clamp_min(1).int().tolist()
    image = sitk.GetImageFromArray(coarse.data.clamp(1e-3 * bright, 1.2 * bright).numpy())
    filter_ = sitk.N4BiasFieldCorrectionImageFilter()
    # The default (0.15) sharpens the histogram in small steps; twice that finds twice the field in as many
    # rounds (tests/segmentation/test_intensity.py puts a known field on a real head).
    filter_.SetBiasFieldFullWidthAtHalfMaximum(0.3)
    filter_.SetMaximumNumberOfIterations([50])
    filter_.SetConvergenceThreshold(1e-4)
    # A cubic spline has three control points more than spans; SimpleITK counts axes the other way round.
    filter_.SetNumberOfControlPoints([span + 3 for span in reversed(spans)])
    filter_.Execute(image, sitk.GetImageFromArray(mask.to(torch.uint8).numpy()))
    field = torch.from_numpy(sitk.GetArrayFromImage(filter_.GetLogBiasFieldAsImage(image))).float()
    # Outside the mask the spline only continues itself: it is kept within what it does inside.
    return field.clamp(float(field[mask].min()), float(field[mask].max()))
