"""From what a search found to a result: uncertainty and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.registration.motion import displacement_mm, pivot_of
from diffus.registration.options import SearchOptions
from diffus.registration.priors import Prior
from diffus.registration.result import RegistrationResult
from diffus.registration.search import APART_MM, Found, Target
from diffus.registration.stages import Stage
from diffus.registration.uncertainty import pose_covariance
from diffus.registration.verdict import tissue_share, verdict_of
from diffus.render import render

_SAMPLED = 4
"""Frames of a sweep that tell how far speckle lets images correlate."""
_LEAST_NOISE = 1e-3


def result_of(
    found: Found,
    target: Target,
    initial: Float64[Tensor, "4 4"],
    world_from_probe: Float64[Tensor, "F 4 4"],
    options: SearchOptions,
    priors: Sequence[Prior] = (),
) -> RegistrationResult:
    """Judge what was found.

    Args:
        found: by `search.search`.
        target: what was registered.
        initial: where it was looked for, ``world_from_sweep``.
        world_from_probe: pose of each frame.
        options: of the search.
        priors: of the search.
    """
    points = target.points()
    pivot = pivot_of(points)
    at_best = found.objective(found.pose[None])
    score, residual = 1 - float(at_best.energy) / 2, at_best.residual[0]
    attainable = attainable_correlation(target, found.pose, found.objective.stage)
    excess = max(1.0, (1 - score**2) / max(1 - attainable**2, _LEAST_NOISE))
    covariance = pose_covariance(found.objective, found.pose, pivot, priors, excess)
    independent = found.objective.independent(found.objective.correlation_mm(residual))
    structures = 2 * found.objective.independent(
        found.objective.correlation_mm(found.objective.standard_fixed())
    )
    seen = [
        tissue_share(target.medium, target.probe, pose @ target.sweep_from_probe)
        for pose in (initial, found.pose)
    ]
    behind = [
        independent * later
        for other, later in found.rivals
        if float(displacement_mm(other, found.pose, points)) >= APART_MM
    ]
    draft = RegistrationResult(
        world_from_sweep=found.pose,
        world_from_probe=world_from_probe,
        initial=initial,
        covariance=covariance,
        pivot=pivot,
        points=points,
        starts=found.starts,
        ends=found.ends,
        scores=found.scores,
        trajectory=found.trajectory,
        trajectory_scores=found.trajectory_scores,
        verdict="ambiguous",
        reason="",
        score=score,
        attainable=attainable,
        rendered=found.rendered[0],
        cells=found.rendered[1],
        seed=options.seed,
    )
    verdict, reason = verdict_of(score, structures, behind, draft.worst_sigma_mm, min(seen))
    return replace(draft, verdict=verdict, reason=reason)


def attainable_correlation(target: Target, best: Float64[Tensor, "4 4"], stage: Stage) -> float:
    """Correlation that a frame of the very medium that is registered to would reach: speckle leaves no more.

    Measured on frames rendered at the pose with sampled speckle, a few of a sweep's. One where no frame sees
    tissue.
    """
    spread = torch.linspace(0, len(target.fixed) - 1, min(len(target.fixed), _SAMPLED)).round().long()
    seeing = [
        tissue_share(target.medium, target.probe, (best @ place)[None]) > 0
        for place in target.sweep_from_probe[spread]
    ]
    some = spread[torch.tensor(seeing)]
    if len(some) == 0:
        return 1.0
    places = target.sweep_from_probe[some]
    settings = target.settings.with_options(speckle="sampled")
    with torch.no_grad():
        sampled = render(target.medium, target.probe, best @ places, settings).scanlines
    weights = target.weights[some]
    ideal = replace(target, fixed=sampled * (weights > 0), weights=weights, sweep_from_probe=places)
    return 1 - float(ideal.objective(stage)(best[None]).energy) / 2
