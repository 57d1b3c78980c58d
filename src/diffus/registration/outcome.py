"""From what a search found to a result: uncertainty and verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float64
from torch import Tensor

from diffus.registration.motion import displacement_mm, pivot_of
from diffus.registration.options import SearchOptions
from diffus.registration.priors import Prior
from diffus.registration.result import RegistrationResult
from diffus.registration.search import APART_MM, Found
from diffus.registration.target import Target
from diffus.registration.trust import trust_at
from diffus.registration.uncertainty import pose_covariance
from diffus.registration.verdict import tissue_share, verdict_of


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
    trust = trust_at(target, found.pose, found.objective)
    covariance = pose_covariance(found.objective, found.pose, pivot, priors, trust.excess)
    residual = found.objective(found.pose[None]).residual[0]
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
        score=trust.score,
        attainable=trust.attainable,
        rendered=found.rendered[0],
        cells=found.rendered[1],
        seed=options.seed,
    )
    verdict, reason = verdict_of(
        trust.score, trust.attainable, structures, behind, draft.worst_sigma_mm, min(seen)
    )
    return replace(draft, verdict=verdict, reason=reason)
