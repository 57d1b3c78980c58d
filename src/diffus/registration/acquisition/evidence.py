"""What a frame says of its settings: differences from the model in units of their standard deviation.

Two kinds. *Levels*: mean display values over patches, against those of the mean image over speckle
(`picture`). *Grain*: how much neighbouring samples differ (`grain`). Patches may differ by
chance as far as the number of independent samples of speckle in them says. Where the medium is not what was
imaged they differ by more; then all levels count for less, as their own spread says, and grain for more.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.imaging.formation import sigma_steps
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.acquisition.grain import REACH, Grain
from diffus.registration.acquisition.log_speckle import DB_PER_NEPER, LOG_VARIANCE, samples_alike
from diffus.registration.acquisition.patches import patch_cells, patch_sums
from diffus.registration.acquisition.picture import picture_of
from diffus.registration.acquisition.unknowns import Acquisition
from diffus.scalars import number

_MISFIT_MM = 12.0
"""Side of the patches by which misfit is judged: errors of a medium are alike over several mm."""
_MODEL_FLOOR = 2e-3
"""Standard deviation of a patch's level from the strata and the approximations of the model itself."""
_LEAST_WEIGHT = 1e-3


class Observed(NamedTuple):
    """Frames as they are compared.

    Args:
        levels: display values in [0, 1], without the grey map.
        weights: what to compare, in [0, 1].
        grain: whether the speckle is as it was received, so that grain can be compared.
    """

    levels: Float[Tensor, "F S N"]
    weights: Float[Tensor, "F S N"]
    grain: bool


class Misfit(NamedTuple):
    """How much larger differences are than speckle leaves them.

    Args:
        levels: variance of levels, by patches of 12 mm, over what speckle leaves; at least 1.
        grain: the same of grain.
        brightness_db: root mean square of what is left of those patches' brightness beyond speckle.
    """

    levels: float = 1.0
    grain: float = 1.0
    brightness_db: float = 0.0


PERFECT = Misfit()
"""A model that is right."""


class Evidence:
    """Differences between frames and model. Weights and lags are those of one acquisition and then held.

    Args:
        observed: the frames.
        medium: what they show.
        around: acquisition near the true one, by which samples are weighted.
        patch_mm: side of the patches whose levels are compared.
        misfit: by which all differences are made smaller.
    """

    def __init__(
        self,
        observed: Observed,
        medium: Medium,
        around: Acquisition,
        patch_mm: float,
        misfit: Misfit = PERFECT,
    ) -> None:
        self._medium, self._scale = medium, misfit
        picture = picture_of(medium, around)
        weights = observed.weights * _inside(medium, around).to(observed.weights)
        # An interface does not fluctuate as speckle does; where it prevails the model of levels is wrong.
        self._weights = weights * picture.speckled**2
        self._cells = patch_cells(patch_mm, around.probe)
        self._levels = patch_sums(self._weights * observed.levels, self._cells)
        self._per_sigma = self._inverse_sigma(around)
        self._grain = Grain.of(observed.levels, weights, picture, around) if observed.grain else None

    def __call__(self, acquisition: Acquisition) -> Float64[Tensor, " R"]:
        """All differences, in units of their standard deviation: levels, then grain."""
        levels = self.levels(acquisition).flatten().double() / math.sqrt(self._scale.levels)
        if self._grain is None:
            return levels
        grain = self._grain(acquisition).flatten() / math.sqrt(self._scale.grain)
        return torch.cat([levels, grain])

    def levels(self, acquisition: Acquisition) -> Float[Tensor, "F s n"]:
        """Differences of the patches' levels, in units of what speckle leaves."""
        expected = picture_of(self._medium, acquisition).level
        return (self._levels - patch_sums(self._weights * expected, self._cells)) * self._per_sigma

    def misfit(self, acquisition: Acquisition) -> Misfit:
        """How much larger differences are than speckle leaves them."""
        standard = self.levels(acquisition)
        large = patch_cells(_MISFIT_MM, acquisition.probe)
        ratio = (max(1, large[0] // self._cells[0]), max(1, large[1] // self._cells[1]))
        count = patch_sums((self._per_sigma > 0).to(standard), ratio)
        seen = count > 0
        of_grain = 1.0 if self._grain is None else max(1.0, float((self._grain(acquisition) ** 2).mean()))
        if not bool(seen.any()):
            return Misfit(grain=of_grain)
        of_levels = max(1.0, float((patch_sums(standard, ratio)[seen] ** 2 / count[seen]).mean()))
        weight = patch_sums(patch_sums(self._weights, self._cells), ratio)[seen]
        off = patch_sums(standard / self._per_sigma.clamp_min(1e-12), ratio)[seen] / weight.clamp_min(1e-12)
        mean_square = float((off**2 * weight).sum() / weight.sum()) * (1 - 1 / of_levels)
        span = number(acquisition.settings.dynamic_range_db)
        return Misfit(of_levels, of_grain, span * math.sqrt(mean_square))

    def _inverse_sigma(self, around: Acquisition) -> Float[Tensor, "F s n"]:
        """One over the standard deviation of patches' sums; zero where there is nothing to compare."""
        count = patch_sums(self._weights, self._cells)
        alike = _alike(around.probe).to(self._weights)
        of_sample = LOG_VARIANCE * (DB_PER_NEPER / number(around.settings.dynamic_range_db)) ** 2
        variance = of_sample * patch_sums(self._weights**2 * alike, self._cells) + (_MODEL_FLOOR * count) ** 2
        return torch.where(count > _LEAST_WEIGHT, variance.clamp_min(1e-12).rsqrt(), 0.0)


def _alike(probe: Probe) -> Float64[Tensor, " N"]:
    """Samples around one that carry the same information, at each depth."""
    axial, lateral = sigma_steps(probe, torch.zeros(1, dtype=torch.float64))
    along, across = (
        torch.arange(1, min(n, math.ceil(REACH * float(sigma))) + 1, dtype=torch.float64)
        for n, sigma in ((probe.n_samples - 1, axial), (probe.n_scanlines - 1, lateral.max()))
    )
    r_along = torch.exp(-(along**2) / (2 * axial**2))
    r_across = torch.exp(-(across**2) / (2 * lateral[:, None] ** 2))
    return samples_alike(r_along, r_across)


def _inside(medium: Medium, acquisition: Acquisition) -> Float64[Tensor, "F S N"]:
    """One within the volume, zero beyond."""
    points = acquisition.probe.sample_points_mm()
    matrix = medium.voxel_from_world @ acquisition.poses
    index = points @ matrix[:, None, :3, :3].mT + matrix[:, None, None, :3, 3]
    last = torch.tensor(medium.shape, dtype=torch.float64) - 1
    return ((index >= 0) & (index <= last)).all(dim=-1).double()
