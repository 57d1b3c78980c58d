"""Mutual information of the two images' values, with smooth histograms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from diffus.similarity.inputs import checked_images
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import FLAT, over_space

Range = tuple[float, float]
"""Lowest and highest value of a histogram."""

TAPS = 4
"""Bins that a cubic B-spline reaches."""
EMPTY = 1e-12
"""Probability taken as none at all, which keeps logarithms and their derivatives finite."""


def mutual_information(
    moving: Images,
    fixed: Images,
    mask: Mask | None = None,
    *,
    bins: int = 32,
    normalised: bool = False,
    moving_range: Range | None = None,
    fixed_range: Range | None = None,
) -> Scores:
    """How much the value of one image tells of the value of the other.

    Maes et al. and Viola and Wells, 1997; cubic B-spline Parzen windows as Thevenaz and Unser, IEEE TIP 2000,
    here for both images, so that the score has two continuous derivatives in each. Blind to where a value
    stands for what, as long as the one map holds over the whole image: gain, offset and inversion change
    nothing, other one-to-one maps little unless they crowd the values into few bins.

    Args:
        moving: one image.
        fixed: the other.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.
        bins: of each histogram, 5 or more.
        normalised: give ``(H(m) + H(f)) / H(m, f)`` (Studholme et al., Pattern Recognition 1999), which
            depends less on how much the images overlap.
        moving_range: lowest and highest value of the histogram; values beyond count there. By default those
            of each image within the mask.
        fixed_range: the same of the fixed image.

    Returns:
        ``H(m) + H(f) - H(m, f)`` in nats, 0 for independent images; with ``normalised`` from 1, independent,
        to 2.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite; for fewer than 5 bins, or an empty
            range.
    """
    if bins <= TAPS:
        raise ValueError(f"bins: expected {TAPS + 1} or more, got {bins}")
    (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
    places = [
        _place(moving, weights, _checked("moving_range", moving_range)),
        _place(fixed, weights, _checked("fixed_range", fixed_range)),
    ]
    joint = _joint_histogram(places[0], places[1], weights, bins)
    apart = _entropy(joint.sum(dim=2)) + _entropy(joint.sum(dim=1))
    together = _entropy(joint.flatten(1))
    return apart / together if normalised else apart - together


@dataclass(frozen=True)
class MutualInformation:
    """`mutual_information` as a measure.

    Args:
        bins: of each histogram, 5 or more.
        normalised: give ``(H(m) + H(f)) / H(m, f)``.
        moving_range: lowest and highest value of the histogram; those within the mask by default.
        fixed_range: the same of the fixed image.
    """

    bins: int = 32
    normalised: bool = False
    moving_range: Range | None = None
    fixed_range: Range | None = None

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return mutual_information(
            moving,
            fixed,
            mask,
            bins=self.bins,
            normalised=self.normalised,
            moving_range=self.moving_range,
            fixed_range=self.fixed_range,
        )


def _checked(name: str, given: Range | None) -> Range | None:
    if given is not None and not (
        len(given) == 2 and given[0] < given[1] and abs(given[1] - given[0]) < float("inf")
    ):
        raise ValueError(f"{name}: expected (lowest, highest), finite and in this order, got {given}")
    return given


def _place(image: Tensor, weights: Tensor, span: Range | None) -> Float[Tensor, "_ pixels"]:
    """Where each value lies in the range, from 0 to 1; 0 throughout for a constant image."""
    if span is not None:
        return ((image - span[0]) / (span[1] - span[0])).clamp(0, 1).flatten(1)
    inside = weights > 0
    low = torch.where(inside, image, torch.inf).flatten(1).amin(dim=1)
    high = torch.where(inside, image, -torch.inf).flatten(1).amax(dim=1)
    width = high - low
    rounding = FLAT * torch.finfo(image.dtype).eps * torch.maximum(low.abs(), high.abs())
    flat = width <= rounding.detach() + torch.finfo(image.dtype).tiny
    scale = torch.where(flat, 0.0, 1 / torch.where(flat, 1.0, width))
    return ((image - over_space(low, image)) * over_space(scale, image)).clamp(0, 1).flatten(1)


def _joint_histogram(
    moving: Float[Tensor, "_ pixels"], fixed: Float[Tensor, "_ pixels"], weights: Tensor, bins: int
) -> Float[Tensor, "B bins bins"]:
    """Probability of each pair of bins: 16 pairs for each pixel."""
    row, in_rows = _spline(moving, bins)
    column, in_columns = _spline(fixed, bins)
    share = weights.flatten(1) / weights.flatten(1).sum(dim=1, keepdim=True)
    pair, _ = torch.broadcast_tensors(row * bins + column, share)
    batch = pair.shape[0]
    pair = pair + bins * bins * torch.arange(batch, device=pair.device)[:, None]
    joint = share.new_zeros(batch * bins * bins)
    for down, in_row in enumerate(in_rows):
        counted = in_row * share
        for along, in_column in enumerate(in_columns):
            index = (pair + (down * bins + along)).reshape(-1)
            joint = joint.index_add(0, index, (counted * in_column).expand(pair.shape).reshape(-1))
    return joint.reshape(batch, bins, bins)


def _spline(
    place: Float[Tensor, "_ pixels"], bins: int
) -> tuple[Int64[Tensor, "_ pixels"], list[Float[Tensor, "_ pixels"]]]:
    """First bin that each value's cubic B-spline reaches, and its weights in that and the next three."""
    cells = bins - TAPS + 1
    scaled = place * cells
    first = scaled.detach().floor().clamp(0, cells - 1)
    after = scaled - first
    before = 1 - after
    return first.long(), [_outer(before), _inner(after), _inner(before), _outer(after)]


def _outer(distance: Tensor) -> Tensor:
    return distance**3 / 6


def _inner(distance: Tensor) -> Tensor:
    return 2 / 3 - distance**2 + distance**3 / 2


def _entropy(probability: Float[Tensor, "B bins"]) -> Scores:
    return -(probability * (probability + EMPTY).log()).sum(dim=1)
