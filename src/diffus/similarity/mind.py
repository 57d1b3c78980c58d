"""MIND-SSC: how each patch resembles its neighbours, which two modalities have in common."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from diffus.similarity.inputs import checked_images, require_some
from diffus.similarity.measure import Images, Mask, Scores
from diffus.similarity.statistics import standardised, weighted_mean
from diffus.similarity.windows import LEAST_VARIANCE, eroded, window_sum


def mind(
    moving: Images,
    fixed: Images,
    mask: Mask | None = None,
    *,
    patch: int = 3,
    dilation: int = 2,
) -> Scores:
    """One minus the mean squared difference of the images' self-similarity descriptors.

    Heinrich et al., "Towards realtime multimodal fusion for image-guided interventions using
    self-similarities", MICCAI 2013; see `mind_descriptor`. Blind to gain and offset of either image, with
    either sign, also where they change slowly over the image. A pixel counts where all that its descriptor
    looks at lies in the mask, with the least weight among it. Where an image is flat its descriptor is 1
    throughout: two flat images are alike.

    Args:
        moving: one image.
        fixed: the other.
        mask: where to compare, bool or weights in [0, 1]; everywhere by default.
        patch: width of the patches in pixels, odd.
        dilation: distance of the neighbours from the centre, in pixels.

    Returns:
        from 0 to 1.

    Raises:
        ValueError: for images or a mask that do not fit or are not finite; for an even patch; for images
            smaller than a patch with its neighbours; for a mask that holds no such neighbourhood whole.
    """
    (moving, fixed), weights = checked_images(mask, moving=moving, fixed=fixed)
    _require_room(tuple(fixed.shape[1:]), patch, dilation)
    seen = eroded(weights, dilation + patch // 2)
    require_some(
        seen, "holds no patch together with its neighbours; take a larger mask, or smaller patch and dilation"
    )
    ours = _descriptor(standardised(moving, weights), patch, dilation)
    theirs = _descriptor(standardised(fixed, weights), patch, dilation)
    return 1 - weighted_mean((ours - theirs).square().mean(dim=1), seen)


def mind_descriptor(image: Images, *, patch: int = 3, dilation: int = 2) -> Float[Tensor, "B pairs *space"]:
    """Self-similarity context of each pixel.

    The neighbours lie ``dilation`` away along each axis, either way. For each pair of them that is not
    opposite (4 in images, 12 in volumes) D is the mean squared difference of the patches around them, and the
    descriptor is ``exp(-(D - min D) / V)`` with V the mean of D over the pairs. V is raised by
    `LEAST_VARIANCE` of the image's variance, so that flat places do not show their noise. Beyond its border
    the image goes on as there.

    Args:
        image: images or volumes.
        patch: width of the patches in pixels, odd.
        dilation: distance of the neighbours from the centre, in pixels.

    Returns:
        values in (0, 1], the largest of each pixel 1.

    Raises:
        ValueError: for an image that is not finite or has another rank, and for a patch or dilation that does
            not fit.
    """
    (image,), weights = checked_images(None, image=image)
    _require_room(tuple(image.shape[1:]), patch, dilation)
    return _descriptor(standardised(image, weights), patch, dilation)


@dataclass(frozen=True)
class MIND:
    """`mind` as a measure.

    Args:
        patch: width of the patches in pixels, odd.
        dilation: distance of the neighbours from the centre, in pixels.
    """

    patch: int = 3
    dilation: int = 2

    def __call__(self, moving: Images, fixed: Images, mask: Mask | None = None) -> Scores:
        """Score of each item."""
        return mind(moving, fixed, mask, patch=self.patch, dilation=self.dilation)


def _require_room(space: tuple[int, ...], patch: int, dilation: int) -> None:
    if patch < 1 or patch % 2 == 0 or dilation < 1:
        raise ValueError(
            f"expected an odd patch and a dilation of 1 or more, got patch {patch}, dilation {dilation}"
        )
    needed = 2 * (dilation + patch // 2) + 1
    if min(space) < needed:
        raise ValueError(
            f"patch {patch} with dilation {dilation} needs {needed} pixels along each axis, "
            f"the images are {space}: take smaller ones"
        )


def _descriptor(
    image: Float[Tensor, "B *space"], patch: int, dilation: int
) -> Float[Tensor, "B pairs *space"]:
    """Descriptor of images of unit variance."""
    widths = (patch,) * (image.ndim - 1)
    patches = window_sum(torch.ones_like(image[:1]), widths)
    distances = [
        window_sum((one - other).square(), widths) / patches
        for one, other in _neighbour_pairs(image, dilation)
    ]
    distance = torch.stack(distances, dim=1)
    spread = distance.mean(dim=1, keepdim=True) + LEAST_VARIANCE
    return torch.exp((distance.amin(dim=1, keepdim=True) - distance) / spread)


def _neighbour_pairs(image: Float[Tensor, "B *space"], dilation: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shifted images, for each pair of neighbours along two different axes."""
    axes = range(1, image.ndim)
    around = F.pad(image[:, None], (dilation,) * 2 * len(axes), mode="replicate")[:, 0]
    neighbours = [
        [_shifted(around, image.shape, dilation, axis, shift) for shift in (-dilation, dilation)]
        for axis in axes
    ]
    for of_one, of_other in itertools.combinations(neighbours, 2):
        yield from itertools.product(of_one, of_other)


def _shifted(around: Tensor, shape: torch.Size, margin: int, along: int, shift: int) -> Tensor:
    for axis in range(1, len(shape)):
        around = around.narrow(axis, margin + (shift if axis == along else 0), shape[axis])
    return around
