"""Which curves of a voxel model frames determine, and which directions they leave open, in words.

Information is that of the frames alone (`diffus.learning.information`). What they say nothing of keeps about
the standard deviation that the bounds of tissue leave it: shares between bounds that are equally likely have
logits of variance pi^2 / 3. The penalty of a training is kept apart: it holds weights, and tells nothing.

Three levels are open by nature. That of backscatter is gain, and the size of all steps of impedance goes
with it, since echoes of interfaces and of scatterers are amplified alike. That of attenuation is TGC. That of
impedance changes no echo at all. Curves are therefore judged with their mean over what frames show given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from diffus.checks import require_one_of, require_positive
from diffus.learning.case import TrainingCase
from diffus.learning.information import (
    case_information,
    covariance_of,
    given_known,
    penalty_bend,
    sigma_along,
)
from diffus.learning.loss import RayleighLikelihood
from diffus.learning.model import TissueModel
from diffus.learning.seen import CHANNELS, SeenTissue
from diffus.learning.voxel_model import VoxelModel
from diffus.registration.acquisition.verdict import Estimate, open_combinations

BOUNDARIES = "boundaries"
TOLERANCE_PERCENT = {"impedance": 10.0, "attenuation": 5.0, "backscatter": 5.0, BOUNDARIES: 10.0}
"""Standard deviation up to which what a name stands for counts as determined: of the value, for impedance of
its span. Boundaries have how strongly they scatter."""
LEVELS = {
    "impedance": "impedance level: only its steps echo",
    "attenuation": "mean attenuation: TGC",
    "backscatter": "level of backscatter, and with it the size of all steps of impedance: gain",
}
"""What each level is to a scanner."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CurveSigma:
    """How well frames determine one channel over the intensity of one contrast.

    Standard deviations are in percent: of the value, and for impedance, whose level never shows, of the
    largest difference along the curve.

    Args:
        contrast: whose intensity.
        channel: impedance, attenuation or backscatter.
        intensity: knots of the curve, those at the ends brought within what the frames show.
        value: of the channel there, averaged over what the frames show.
        sigma: by the frames alone, with the levels given.
        held_sigma: with the penalty's hold as well.
        tolerance: up to which they count as determined.
    """

    contrast: str
    channel: str
    intensity: Float64[Tensor, " n"]
    value: Float64[Tensor, " n"]
    sigma: Float64[Tensor, " n"]
    held_sigma: Float64[Tensor, " n"]
    tolerance: float

    @property
    def determined(self) -> Bool[Tensor, " n"]:
        """At which intensities, the levels given."""
        return self.sigma <= self.tolerance

    def summary(self) -> str:
        """One line for people."""
        known = self.intensity[self.determined].tolist()
        where = ", ".join(f"{at:.2f}" for at in known) if known else "nowhere"
        of = "span" if self.channel == "impedance" else "value"
        return (
            f"{self.channel} over {self.contrast}: median {float(self.sigma.median()):.1f} % of its {of}, at "
            f"worst {float(self.sigma.max()):.1f} %; within {self.tolerance:g} % at {where}"
        )


@dataclass(frozen=True, eq=False)
class Determination:
    """What frames determine of a voxel model. See `determined`.

    Args:
        curves: one for each contrast and channel.
        undetermined: directions that stay open by more than the tolerances, in words: levels first, then
            combinations with the levels given, the widest first.
        information: of the frames about the weights, in the order of the model's parameters, and three levels
            (`diffus.learning.information.Levelled`).
        penalty: what the training's penalty adds to it.
        covariance: of both by the frames alone.
        given_levels: the same, with the mean of each channel known.
        level_sigma: standard deviation in percent of the mean of each channel over what the frames show, by
            the frames alone.
        boundary_sigma: the same of how strongly boundaries of each contrast scatter, with the levels given.
    """

    curves: tuple[CurveSigma, ...]
    undetermined: tuple[str, ...]
    information: Float64[Tensor, "P P"]
    penalty: Float64[Tensor, "P P"]
    covariance: Float64[Tensor, "P P"]
    given_levels: Float64[Tensor, "P P"]
    level_sigma: Mapping[str, float]
    boundary_sigma: Mapping[str, float]
    _tissue: SeenTissue = field(repr=False)

    def curve(self, channel: str, contrast: str | None = None) -> CurveSigma:
        """One of the curves; of the first contrast unless said.

        Raises:
            ValueError: for a channel or a contrast that there is not, listing those there are.
        """
        require_one_of("channel", channel, CHANNELS)
        contrast = contrast or self.curves[0].contrast
        require_one_of("contrast", contrast, dict.fromkeys(curve.contrast for curve in self.curves))
        return next(c for c in self.curves if (c.channel, c.contrast) == (channel, contrast))

    def step_sigma_percent(
        self, channel: str, low: float, high: float, contrast: str | None = None, levels: bool = True
    ) -> float:
        """Standard deviation of a step between two intensities, in percent of its size.

        A step is the difference of a channel's logarithm: twice the reflection coefficient, of impedance.

        Args:
            channel: of the medium.
            low: intensity on one side.
            high: intensity on the other.
            contrast: whose intensity; the first unless said.
            levels: whether the levels are given; without that of backscatter, steps of impedance have gain
                for a common factor.

        Raises:
            ValueError: for an unknown channel or contrast, or intensities that the frames do not show.
        """
        name = self.curve(channel, contrast).contrast
        self._tissue.require_seen(name, low, high)
        below, above = (self._tissue.row(name, channel, at) for at in (low, high))
        size = float(above.log_value - below.log_value)
        covariance = self.given_levels if levels else self.covariance
        spread = sigma_along(covariance, (above.slopes - below.slopes)[None])
        return 100 * float(spread) / max(abs(size), 1e-12)

    def summary(self) -> str:
        """One line a channel, then what is open."""
        lines = [curve.summary() for curve in self.curves]
        lines += [f"level of {name}: {sigma:.0f} %" for name, sigma in self.level_sigma.items()]
        lines += [f"{BOUNDARIES} of {name}: {sigma:.1f} %" for name, sigma in self.boundary_sigma.items()]
        return "\n".join([*lines, *(f"open: {words}" for words in self.undetermined)])


def determined(
    model: TissueModel,
    cases: Sequence[TrainingCase],
    *,
    loss: RayleighLikelihood | None = None,
    penalty: float = 1.0,
    looks: float | None = None,
    tolerance_percent: Mapping[str, float] = TOLERANCE_PERCENT,
) -> Determination:
    """Say which curves of a voxel model the frames of some cases determine; a second for four frames.

    It linearises at the model's weights: ask of a trained one, or of one that is thought likely. A step of
    impedance that is zero there shows nothing, and the sign of a step is never told, only its size.

    Frames count as independent. Where planes of a sweep lie nearer to each other than the slice is thick they
    share speckle: give fewer of them, or fewer looks.

    Args:
        model: a voxel model, at the weights that are asked about.
        cases: whose frames; what grey values they hold does not count.
        loss: number of gains, and whether the dynamic range is known.
        penalty: weight of the model's penalty in training.
        looks: independent cells of speckle in each sample; by default what pulse and beam leave
            (`diffus.learning.information.looks_per_sample`).
        tolerance_percent: by channel, see `TOLERANCE_PERCENT`.

    Raises:
        ValueError: for another kind of model, no case, contrasts that the model does not read, frames that
            show no brain, or a number that cannot be.
    """
    if not isinstance(model, VoxelModel):
        raise ValueError(
            f"determined: expected a VoxelModel, whose few weights are curves, got a {type(model).__name__}: "
            "train a voxel model on the same frames and ask about that"
        )
    _check(model, cases, tolerance_percent, penalty, looks)
    tissue = SeenTissue.of(model, cases)
    parts = [case_information(model, case, loss or RayleighLikelihood(), looks) for case in cases]
    information = torch.stack([part for part, _ in parts]).sum(dim=0)
    # Training minimises the mean over samples plus the penalty; the sum over looks is as many times that.
    hold = penalty * sum(total for _, total in parts) * penalty_bend(model)
    covariance, levels = covariance_of(information), tissue.level_rows()
    given = given_known(covariance, levels)
    held = given_known(covariance_of(information + hold), levels)
    names = [(contrast, channel) for contrast in tissue.contrasts for channel in CHANNELS]
    seen = {(contrast, channel): tissue.curve(contrast, channel) for contrast, channel in names}
    curves = tuple(
        CurveSigma(
            contrast=contrast,
            channel=channel,
            intensity=curve.intensity,
            value=curve.value,
            sigma=sigma_along(given, curve.slopes),
            held_sigma=sigma_along(held, curve.slopes),
            tolerance=tolerance_percent[channel],
        )
        for (contrast, channel), curve in seen.items()
    )
    of_levels = sigma_along(covariance, levels[: len(CHANNELS)]).tolist()
    level_sigma = {
        channel: seen[contrast, channel].percent * sigma
        for (contrast, channel), sigma in zip(names, of_levels, strict=False)
    }
    edges = {contrast: 100 * tissue.boundary_row(contrast)[None] for contrast in tissue.contrasts}
    boundaries = {contrast: float(sigma_along(given, row)) for contrast, row in edges.items()}
    slopes = torch.cat([*(curve.slopes for curve in seen.values()), *edges.values()])
    estimates = _estimates(curves, boundaries, tolerance_percent[BOUNDARIES])
    words = (
        *_open_levels(level_sigma, tolerance_percent),
        *open_combinations(estimates, slopes @ given @ slopes.mT),
    )
    return Determination(curves, words, information, hold, covariance, given, level_sigma, boundaries, tissue)


def _check(
    model: TissueModel,
    cases: Sequence[TrainingCase],
    tolerance_percent: Mapping[str, float],
    penalty: float,
    looks: float | None,
) -> None:
    if not len(cases):
        raise ValueError("determined: no case given: expected one or more, from TrainingCase.prepare")
    for case in cases:
        model.require_contrasts(case.mri.contrasts)
    if set(tolerance_percent) != set(TOLERANCE_PERCENT):
        raise ValueError(
            f"tolerance_percent: expected {', '.join(TOLERANCE_PERCENT)}, got "
            f"{', '.join(tolerance_percent) or 'none'}: give each of them"
        )
    require_positive("tolerance_percent", **tolerance_percent)
    if penalty < 0 or not math.isfinite(penalty):
        raise ValueError(f"determined: penalty must be a finite number, 0 or above, got {penalty:g}")
    if looks is not None:
        require_positive("determined", looks=looks)


def _open_levels(level_sigma: Mapping[str, float], tolerance_percent: Mapping[str, float]) -> list[str]:
    """Levels that stay open, in words, the widest first."""
    widths = {channel: sigma / tolerance_percent[channel] for channel, sigma in level_sigma.items()}
    return [LEVELS[channel] for channel in sorted(widths, key=lambda c: -widths[c]) if widths[channel] > 1]


def _estimates(
    curves: Sequence[CurveSigma], boundaries: Mapping[str, float], tolerance: float
) -> list[Estimate]:
    """Each curve at each of its points, then boundaries, by the names they have in words."""
    several = len(boundaries) > 1
    found = []
    for curve in curves:
        name = f"{curve.channel} over {curve.contrast}" if several else curve.channel
        points = zip(curve.intensity.tolist(), curve.value.tolist(), curve.sigma.tolist(), strict=True)
        for at, value, sigma in points:
            known = sigma <= curve.tolerance
            found.append(Estimate(f"{name} at {at:.2f}", value, value, sigma, curve.tolerance, known))
    for contrast, sigma in boundaries.items():
        name = f"{BOUNDARIES} of {contrast}" if several else BOUNDARIES
        found.append(Estimate(name, 100.0, 100.0, sigma, tolerance, sigma <= tolerance))
    return found
