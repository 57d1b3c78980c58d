"""How far two sets of images are apart: grey levels, depth profile, size of the grain, sharpness of edges.

Every distance is zero from a set to itself, and none asks that both sets show the same anatomy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .correlation import band_lengths_mm
from .scanline_image import ScanlineImage, pooled
from .sharpness import gradients

Images = Sequence[ScanlineImage]
Distance = Callable[[Images, Images], float]

PROFILE_BINS = 16
"""Bins of relative depth."""
LEVELS = 1000
EDGE_MM = 1.0
"""Sigma that wipes out the grain and leaves the borders of structures."""


def wasserstein(
    first: tuple[Float[Tensor, " A"], Float[Tensor, " A"]],
    second: tuple[Float[Tensor, " B"], Float[Tensor, " B"]],
) -> float:
    """Wasserstein-1 distance of two weighted samples: the mean distance of their quantiles.

    Args:
        first: values and their weights, which add up to 1.
        second: the same.
    """
    levels = (torch.arange(LEVELS, dtype=torch.float64) + 0.5) / LEVELS
    return float((_quantiles(*first, levels) - _quantiles(*second, levels)).abs().mean())


def grey_distance(first: Images, second: Images) -> float:
    """Wasserstein distance of the grey levels, as displayed."""
    return wasserstein(pooled(first), pooled(second))


def matched_grey_distance(first: Images, second: Images) -> float:
    """The same with equal means: on a logarithmic display a change of gain shifts every grey alike."""
    return wasserstein(_centred(pooled(first)), _centred(pooled(second)))


def profile_distance(first: Images, second: Images) -> float:
    """RMS difference of mean grey over relative depth, with equal means."""
    one, other = depth_profile(first), depth_profile(second)
    both = ~(one.isnan() | other.isnan())
    difference = (one - other)[both]
    return float((difference - difference.mean()).square().mean().sqrt())


def depth_profile(images: Images) -> Float[Tensor, " bins"]:
    """Mean grey in bins of relative depth, mean over the images; NaN where none has an image."""
    return torch.stack([_profile(image) for image in images]).nanmean(dim=0)


def axial_length_distance(first: Images, second: Images) -> float:
    """RMS over the bands of depth of the logarithm of the ratio of axial correlation lengths."""
    return _length_distance(first, second, "axial")


def lateral_length_distance(first: Images, second: Images) -> float:
    """The same across scanlines."""
    return _length_distance(first, second, "lateral")


def axial_grain_distance(first: Images, second: Images) -> float:
    """As `axial_length_distance`, with the local contrast equalised: of the grain more than of structures."""
    return _length_distance(first, second, "axial", equalised=True)


def lateral_grain_distance(first: Images, second: Images) -> float:
    """The same across scanlines."""
    return _length_distance(first, second, "lateral", equalised=True)


def mean_lengths_mm(images: Images, axis: str, equalised: bool = False) -> Float[Tensor, " bands"]:
    """Geometric mean over the images of the correlation length in each band of depth."""
    lengths = torch.tensor([band_lengths_mm(image, axis, equalised) for image in images], dtype=torch.float64)
    return lengths.log().nanmean(dim=0).exp()


def grain_sharpness_distance(first: Images, second: Images) -> float:
    """Wasserstein distance of the gradient magnitudes of the image as it is."""
    return wasserstein(_sharpness(first, 0.0), _sharpness(second, 0.0))


def edge_sharpness_distance(first: Images, second: Images) -> float:
    """The same of the image without its grain: of the borders of structures."""
    return wasserstein(_sharpness(first, EDGE_MM), _sharpness(second, EDGE_MM))


METRICS: dict[str, Distance] = {
    "grey levels, as displayed": grey_distance,
    "grey levels, equal mean": matched_grey_distance,
    "axial correlation length": axial_length_distance,
    "lateral correlation length": lateral_length_distance,
    "axial length, equal contrast": axial_grain_distance,
    "lateral length, equal contrast": lateral_grain_distance,
    "grey over depth, equal mean": profile_distance,
    "sharpness of the grain": grain_sharpness_distance,
    "sharpness of edges (1 mm)": edge_sharpness_distance,
}
"""The rows of the table."""


def _quantiles(values: Tensor, weights: Tensor, levels: Tensor) -> Tensor:
    ordered, order = values.double().sort()
    reached = weights.double()[order].cumsum(0)
    return ordered[torch.searchsorted(reached, levels * reached[-1]).clamp(max=len(ordered) - 1)]


def _centred(sample: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    values, weights = sample
    return values - (values * weights).sum() / weights.sum(), weights


def _profile(image: ScanlineImage) -> Tensor:
    samples = image.grey.shape[1]
    which = torch.arange(samples) * PROFILE_BINS // samples
    total = torch.zeros(PROFILE_BINS, dtype=torch.float64)
    weight = torch.zeros(PROFILE_BINS, dtype=torch.float64)
    total.index_add_(0, which, (image.grey * image.area).sum(dim=0).double())
    weight.index_add_(0, which, image.area.sum(dim=0).double())
    return torch.where(weight > 0, total / weight, torch.nan)


def _length_distance(first: Images, second: Images, axis: str, equalised: bool = False) -> float:
    ratio = (mean_lengths_mm(first, axis, equalised) / mean_lengths_mm(second, axis, equalised)).log()
    return float(ratio.square().nanmean().sqrt())


def _sharpness(images: Images, smooth_mm: float) -> tuple[Tensor, Tensor]:
    values, weights = zip(*(gradients(image, smooth_mm) for image in images), strict=True)
    return torch.cat(values), torch.cat(weights) / len(images)
