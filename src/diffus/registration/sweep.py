"""Registration of a tracked sweep: many frames, whose poses a tracker knows, by one rigid transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_positive, require_shape
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.descent import descend
from diffus.registration.inputs import checked_target
from diffus.registration.motion import pivot_of, sector_points
from diffus.registration.options import SearchOptions
from diffus.registration.outcome import result_of
from diffus.registration.priors import Prior, TrackedPose
from diffus.registration.result import RegistrationResult
from diffus.registration.search import search
from diffus.registration.steps import Progress
from diffus.registration.target import Target
from diffus.registration.trust import trust_at
from diffus.settings import RenderSettings

DEFAULT_OPTIONS = SearchOptions()


@dataclass(frozen=True)
class Jitter:
    """How far the tracker is off from frame to frame, independently.

    Args:
        sigma_deg: standard deviation of each component of the rotation vector.
        sigma_mm: standard deviation of each component of the translation.
    """

    sigma_deg: float = 0.5
    sigma_mm: float = 0.5

    def __post_init__(self) -> None:
        require_positive("Jitter", sigma_deg=self.sigma_deg, sigma_mm=self.sigma_mm)


def register_sweep(
    frames: Frame | Float[Tensor, "F S N"],
    medium: Medium,
    tracker_from_probe: Any,
    probe: Probe | None = None,
    initial: Any = None,
    *,
    mask: Bool[Tensor, "*F S N"] | Float[Tensor, "*F S N"] | None = None,
    jitter: Jitter | None = None,
    priors: Sequence[Prior] = (),
    settings: RenderSettings | None = None,
    options: SearchOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
) -> RegistrationResult:
    """Find the rigid transform from the tracker's frame to the world of the medium.

    Each stage looks at some of the frames, drawn anew (``options.frames_at_once``), so that a long sweep
    costs no more than a short one. With ``jitter`` every frame then moves on its own to where its image and
    the tracker together put it; the transform stays.

    Args:
        frames: images of one probe.
        medium: what the waves travelled through.
        tracker_from_probe: pose of each frame as the tracker has it, (F, 4, 4).
        probe: that of the frames; by default the one they carry.
        initial: ``world_from_tracker`` to look around; by default the identity.
        mask: what to compare, for all frames or each.
        jitter: how far single frames may be off.
        priors: what is known of ``world_from_tracker``.
        settings: how to render.
        options: how far to look. ``reach_mm`` and ``reach_deg`` are about the middle of all sectors.
        progress: told of each stage.

    Returns:
        ``world_from_sweep`` is ``world_from_tracker``; ``world_from_probe`` holds the pose of each frame.

    Raises:
        ValueError: as `register` does, for another number of poses than frames, and where no frame sees the
            medium at the initial pose; some may lie outside.
    """
    tracked = pose.from_matrix(tracker_from_probe)
    tracked = tracked[None] if tracked.ndim == 2 else tracked
    start = torch.eye(4, dtype=torch.float64) if initial is None else pose.from_matrix(initial)
    require_shape("initial", start.shape, "(4, 4), one world_from_tracker", start.ndim == 2)
    target, _ = checked_target(frames, medium, probe, start @ tracked, mask, settings, every_frame=False)
    if len(target.fixed) != len(tracked):
        raise ValueError(
            f"register_sweep: got {len(target.fixed)} frames and {len(tracked)} poses in tracker_from_probe, "
            "expected one pose for each frame"
        )
    target = replace(target, sweep_from_probe=tracked)
    found = search(target, start, options, priors, progress)
    poses = found.pose @ tracked
    if jitter is not None:
        poses = torch.stack(
            [_settled(target, number, at, jitter, options) for number, at in enumerate(poses)]
        )
    return result_of(found, target, start, poses, options, priors)


def _settled(
    target: Target, number: int, at: Float64[Tensor, "4 4"], jitter: Jitter, options: SearchOptions
) -> Float64[Tensor, "4 4"]:
    """The pose of one frame, between where the sweep and where its own image puts it."""
    alone = replace(
        target,
        fixed=target.fixed[number : number + 1],
        weights=target.weights[number : number + 1],
        sweep_from_probe=torch.eye(4, dtype=torch.float64)[None],
    )
    expected = TrackedPose(at, jitter.sigma_deg, jitter.sigma_mm)
    pivot = pivot_of(sector_points(target.probe))
    found = descend(alone.objective(options.stages[-1]), at[None], pivot, [expected], central=True).poses
    if options.whole_tissue is not None:
        whole = alone.objective(options.whole_tissue)
        if trust_at(alone, found[0], whole).trusted:
            found = descend(whole, found, pivot, [expected], central=True).poses
    return found[0]
