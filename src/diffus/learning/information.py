"""What frames say of a tissue model's weights: the Fisher information of log-compressed speckle.

The logarithm of one independent cell of fully developed speckle (a *look*), of mean intensity m, has Fisher
information 1 about log m: with ``u = log(e^2 / m)`` of density ``exp(u - exp(u))`` the score is
``exp(u) - 1``, the deviation of a unit exponential variable, whose variance is 1. Looks add up, so that
weights w have the information

    sum over samples of (looks per sample) J^T J,    J = d log m / d w,

less what a scanner's unknown gain, TGC and noise explain as well (the Schur complement of those nuisances).
Beside its weights, three levels of the medium itself are asked about (`Levelled`): curves can follow a change
of gain only about, which would look as if frames told it.

Interfaces do not fluctuate as speckle does. Where they prevail frames say more than is reckoned here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from diffus.imaging.formation import sigma_steps
from diffus.imaging.point_spread import narrowing
from diffus.learning.bounds import HIGHEST, LOWEST
from diffus.learning.case import TrainingCase
from diffus.learning.features import MRIFeatures
from diffus.learning.loss import RayleighLikelihood
from diffus.learning.model import TissueModel
from diffus.learning.rendering import box_around, learned_levels
from diffus.probe import Probe
from diffus.registration.acquisition.log_speckle import DB_PER_NEPER, LOG_VARIANCE
from diffus.registration.rendered_sweep import FLOOR_DB, RENDERING

DIFFERENTIABLE_FORWARD = RENDERING.with_options(backend="torch")
"""The reference: other backends have no forward mode derivatives."""
LEVEL_UNITS = (math.log(HIGHEST[0] / LOWEST[0]) / 4, 1.0, math.log(HIGHEST[2] / LOWEST[2]) / 4)
"""What one unit of each level is: a logit in the middle of the bounds, and 1 dB/cm/MHz."""
MIDDLE_IMPEDANCE = math.sqrt(HIGHEST[0] * LOWEST[0])
_FRAMES_AT_ONCE, _SLOPES_AT_ONCE = 8, 16
_FREE = 3 / math.pi**2
"""Information about a logit of which only the bounds are known."""
_REACH = 6
"""Sigmas of a Gaussian beyond which nothing adds up."""


def looks_per_sample(probe: Probe) -> Float64[Tensor, "S N"]:
    """Independent cells of speckle in each sample, at most 1.

    Intensities of two samples are correlated by the squared modulus of their coherence, which for a Gaussian
    pulse and beam (`diffus.imaging.beam`) of sigma s is ``exp(-x^2 / (2 s^2))`` at a distance x. The sum of
    that over all neighbours, along depth times across scanlines, is how many samples share one look; for
    samples much closer than the cell it is the cell's area ``2 pi s_axial s_lateral`` over theirs.
    """
    axial, lateral = sigma_steps(probe, torch.zeros(1, dtype=torch.float64))
    across = lateral.detach() / narrowing(probe).detach().double()[:, None]
    alike = _alike(axial.detach()[None], probe.n_samples)[0] * _alike(across, probe.n_scanlines)
    return (1 / alike).expand(probe.n_scanlines, probe.n_samples)


def case_information(
    model: TissueModel, case: TrainingCase, loss: RayleighLikelihood, looks: float | None = None
) -> tuple[Float64[Tensor, "P P"], float]:
    """Information of a case's frames about weights, in the model's order, then levels; and all looks.

    Args:
        model: with the weights at which frames are rendered.
        case: with the frames; their grey values do not count, only where they were taken.
        loss: how many gains a frame has, and whether its dynamic range is known.
        looks: in a sample, where speckle was averaged or frames share it; by default `looks_per_sample`.
    """
    sweep = case.frames.sweep
    in_sample = looks_per_sample(sweep.probe) if looks is None else torch.tensor(looks).double()
    count = sum(weights.numel() for weights in model.parameters()) + len(LEVEL_UNITS)
    information, total = torch.zeros(count, count, dtype=torch.float64), 0.0
    for part in torch.arange(len(case.frames)).split(_FRAMES_AT_ONCE):
        log_mean, slopes = log_mean_slopes(model, case.mri, sweep.probe, case.poses[part])
        seen = sweep.weights[part].double() * in_sample
        total += float(seen.sum())
        for frame in range(len(part)):
            information += frame_information(log_mean[frame], slopes[:, frame], seen[frame], loss)
    return information, total


def log_mean_slopes(
    model: TissueModel, mri: MRIFeatures, probe: Probe, poses: Float64[Tensor, "F 4 4"]
) -> tuple[Float64[Tensor, "F S N"], Float64[Tensor, "P F S N"]]:
    """Logarithm of the mean intensity, and its derivatives, forward, to each weight and then each level."""
    near = mri.crop(box_around(mri, probe, poses, margin_voxels=model.reach_voxels + 1))
    doubled = {name: getattr(near, name).double() for name in ("intensities", "edges", "untrained")}
    rendered = _Rendered(Levelled(copy.deepcopy(model)).double(), replace(near, **doubled), probe, poses)
    weights = {name: values.detach() for name, values in rendered.named_parameters()}
    weights["model.levels"] = weights.pop("model.levels")  # last

    def log_mean(values: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(rendered, values, ()) / DB_PER_NEPER

    def along(step: dict[str, Tensor]) -> Tensor:
        return torch.func.jvp(log_mean, (weights,), (step,))[1]

    slopes = torch.func.vmap(along, chunk_size=_SLOPES_AT_ONCE)(_unit_steps(weights))
    with torch.no_grad():
        return log_mean(weights), slopes


def frame_information(
    log_mean: Float64[Tensor, "S N"],
    slopes: Float64[Tensor, "P S N"],
    looks: Float64[Tensor, "S N"],
    loss: RayleighLikelihood,
    steady_gain: bool = False,
) -> Float64[Tensor, "P P"]:
    """Information of one frame about weights, all that the scanner may have done to it being unknown.

    Unknown are the gain and the scanner's noise in each of the loss's bands of depth, how both rise there,
    as a real TGC does within a band too, and the dynamic range unless the loss knows it. A change of the
    dynamic range stretches log m. What speckle says of it, by how much it varies, is pi^2 / 6 a look.

    Args:
        log_mean: logarithm of the mean intensity.
        slopes: its derivative to each weight.
        looks: in each sample, 0 where it does not count.
        loss: how many bands, and whether the range is known.
        steady_gain: whether gain is known not to change within a band and noise is known, as the loss has it.
    """
    columns = [*_gains(log_mean, loss.n_bands, steady_gain)]
    known = [0.0] * len(columns)
    if loss.decibel_per_grey is None:
        columns.append(log_mean)
        known.append(LOG_VARIANCE * float(looks.sum()))
    nuisance = torch.stack([column.flatten() for column in columns])
    of_weights, seen = slopes.flatten(1), looks.flatten()
    both = (of_weights * seen) @ nuisance.T
    of_nuisance = (nuisance * seen) @ nuisance.T + torch.diag(seen.new_tensor(known))
    return (of_weights * seen) @ of_weights.T - both @ torch.linalg.pinv(of_nuisance, hermitian=True) @ both.T


def penalty_bend(model: TissueModel) -> Float64[Tensor, "P P"]:
    """Second derivatives of a model's penalty, a quadratic form of its weights; none for the levels."""
    penalty = _Penalty(copy.deepcopy(model).double())
    weights = {name: values.detach() for name, values in penalty.named_parameters()}
    sizes = [values.numel() for values in weights.values()]

    def of_row(row: Tensor) -> Tensor:
        parts = zip(weights.items(), row.split(sizes), strict=True)
        return torch.func.functional_call(penalty, {name: p.view_as(w) for (name, w), p in parts}, ())

    bend = torch.func.hessian(of_row)(torch.cat([values.flatten() for values in weights.values()]))
    return nn.functional.pad(bend, (0, len(LEVEL_UNITS)) * 2)


def covariance_of(information: Float64[Tensor, "P P"]) -> Float64[Tensor, "P P"]:
    """Covariance of weights that are logits, of which otherwise only the bounds are known.

    Shares of the range between the bounds that are equally likely have logits of variance pi^2 / 3.
    """
    inverse = torch.linalg.inv(information + _FREE * torch.eye(len(information), dtype=torch.float64))
    return (inverse + inverse.mT) / 2


def given_known(covariance: Float64[Tensor, "P P"], rows: Float64[Tensor, "n P"]) -> Float64[Tensor, "P P"]:
    """Covariance once some linear functions of the weights are known."""
    shared = covariance @ rows.mT
    return covariance - shared @ torch.linalg.pinv(rows @ shared, hermitian=True) @ shared.mT


def sigma_along(covariance: Float64[Tensor, "P P"], rows: Float64[Tensor, "n P"]) -> Float64[Tensor, " n"]:
    """Standard deviation of linear functions of the weights."""
    return ((rows @ covariance) * rows).sum(dim=1).clamp_min(0).sqrt()


class Levelled(TissueModel):
    """A model with three levels of its medium, zero as built, that no scanner shows.

    They are the level of impedance; an attenuation that is added everywhere, which is TGC; and a factor on
    backscatter and on all steps of the logarithm of impedance, which is gain: echoes of scatterers and of
    interfaces grow alike.
    """

    kind = "levelled"
    learning_rate = 0.0

    def __init__(self, model: TissueModel) -> None:
        super().__init__(model.contrasts)
        self.model = model
        self.levels = nn.Parameter(torch.zeros(len(LEVEL_UNITS)))

    @property
    def reach_voxels(self) -> int:
        """That of the model."""
        return self.model.reach_voxels

    def unbounded(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """What the model says."""
        return self.model.unbounded(mri)

    def forward(self, mri: MRIFeatures) -> Float[Tensor, "I J K 3"]:
        """The model's channels, moved by the levels."""
        impedance, attenuation, backscatter = self.model(mri).unbind(dim=-1)
        level, added, gain = self.levels * self.levels.new_tensor(LEVEL_UNITS)
        steps = torch.log(impedance / MIDDLE_IMPEDANCE)
        moved = (impedance * torch.exp(level + torch.expm1(gain) * steps), attenuation + added)
        return torch.stack([*moved, backscatter * torch.exp(gain)], dim=-1)


class _Penalty(nn.Module):
    """A model's penalty as a function of its weights alone, for `torch.func`."""

    def __init__(self, model: TissueModel) -> None:
        super().__init__()
        self.model = model

    def forward(self) -> Float64[Tensor, ""]:
        return self.model.penalty()


class _Rendered(nn.Module):
    """Frames in dB as a function of a model's weights alone, for `torch.func`."""

    def __init__(self, model: TissueModel, mri: MRIFeatures, probe: Probe, poses: Tensor) -> None:
        super().__init__()
        self.model, self.mri, self.probe, self.poses = model, mri, probe, poses

    def forward(self) -> Float64[Tensor, "F S N"]:
        return learned_levels(self.model, self.mri, self.probe, self.poses, settings=DIFFERENTIABLE_FORWARD)


def _unit_steps(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """One weight after the other by one, all others held: a batch of steps, by the names of the weights."""
    sizes = [values.numel() for values in weights.values()]
    each = torch.eye(sum(sizes), dtype=torch.float64).split(sizes, dim=1)
    return {
        name: part.reshape(-1, *values.shape)
        for (name, values), part in zip(weights.items(), each, strict=True)
    }


def _gains(log_mean: Float64[Tensor, "S N"], n_bands: int, steady: bool) -> Iterator[Float64[Tensor, "S N"]]:
    """How log m changes with gain and noise in each band (those of the loss), and with their slopes there."""
    samples = log_mean.shape[1]
    place = torch.arange(samples, dtype=torch.float64)
    count = min(n_bands, samples)
    band = place.long() * count // samples
    noise = torch.exp(FLOOR_DB / DB_PER_NEPER - log_mean)
    for number in range(count):
        within = (band == number).double()
        yield within.expand_as(log_mean)
        if not steady:
            rise = (place - (place * within).sum() / within.sum()) / samples * within
            yield from (rise.expand_as(log_mean), noise * within, noise * rise)


def _alike(sigma: Float64[Tensor, "*shape"], count: int) -> Float64[Tensor, "*shape"]:
    """Sum of ``exp(-k^2 / (2 sigma^2))`` over the lags k that a row of so many samples has."""
    most = min(count - 1, int(_REACH * float(sigma.max())) + 1)
    lags = torch.arange(1, most + 1, dtype=torch.float64)
    return 1 + 2 * torch.exp(-(lags**2) / (2 * sigma[..., None] ** 2)).sum(dim=-1)
