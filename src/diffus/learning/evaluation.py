"""Evaluation of a tissue model on pairs that it has not seen: rendered frames against real ones, and TRE.

Frames and masks are those that training uses. With registration, each ultrasound is also registered to the
medium that the model makes, from where the pair says it lies; landmarks then tell what that was worth, and
the field of the transform is scored as Learn2Reg does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_in_range
from diffus.datasets.pair import Pair
from diffus.learning import challenge
from diffus.learning.case import TrainingCase
from diffus.learning.features import MRIFeatures
from diffus.learning.frame_scores import FrameScores, mean_scores, score_frames
from diffus.learning.frames import FrameSampling
from diffus.learning.model import TissueModel, apply_model
from diffus.learning.preparation import Told
from diffus.learning.rendering import learned_levels
from diffus.learning.shown_frame import ShownFrame, shown_frames
from diffus.learning.untrained import UntrainedModel
from diffus.pose import transform_points
from diffus.registration.volume import SweepGeometry, VolumeSettings, register_volume
from diffus.segmentation import brain_mask
from diffus.volume import Volume


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """How a model is evaluated.

    Args:
        sampling: of the virtual frames.
        register: whether each ultrasound is registered with the model's medium.
        registration: how.
        seed: of the frames' tilts.

    Raises:
        ValueError: for a negative seed.
    """

    sampling: FrameSampling = field(default_factory=FrameSampling)
    register: bool = False
    registration: VolumeSettings = field(default_factory=VolumeSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        require_in_range("EvaluationSettings", 0, 10**9, seed=self.seed)


@dataclass(frozen=True, eq=False)
class RegisteredCase:
    """What a registration with the model's medium found.

    Args:
        mri_from_ultrasound: transform (4, 4), RAS+ mm.
        verdict: converged, ambiguous or out_of_view.
        tre_mm: mean TRE of the landmarks after it; None without landmarks.
        score: of its field, as Learn2Reg judges it; None without landmarks.
    """

    mri_from_ultrasound: Float64[Tensor, "4 4"]
    verdict: str
    tre_mm: float | None
    score: challenge.Score | None


@dataclass(frozen=True, eq=False)
class CaseEvaluation:
    """What a case scored.

    Args:
        case: name of the case.
        contrasts: that the model read.
        places: of each frame along the sweep, from 0 to 1.
        frames: scores of each.
        tre_mm: mean TRE of the landmarks as the pair lies; None without landmarks.
        registered: what registration found, or None where none was asked for.
        shown: a few frames for pictures.
    """

    case: str
    contrasts: tuple[str, ...]
    places: tuple[float, ...]
    frames: tuple[FrameScores, ...]
    tre_mm: float | None
    registered: RegisteredCase | None
    shown: tuple[ShownFrame, ...] = field(repr=False)

    @property
    def mean(self) -> FrameScores:
        """Of each measure over the frames."""
        return mean_scores(self.frames)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model scored.

    Args:
        model: its kind.
        contrasts: that it can read.
        settings: of the evaluation.
        cases: that could be evaluated, at least one.
        skipped: the others, and why.
    """

    model: str
    contrasts: tuple[str, ...]
    settings: EvaluationSettings
    cases: tuple[CaseEvaluation, ...]
    skipped: Mapping[str, str]

    @property
    def mean(self) -> FrameScores:
        """Of each measure over the cases, which all count alike."""
        return mean_scores([case.mean for case in self.cases])

    @property
    def tre_mm(self) -> float | None:
        """Mean over the cases that have landmarks, as they lie; None where none has."""
        return _mean([case.tre_mm for case in self.cases])

    @property
    def registered_tre_mm(self) -> float | None:
        """The same after registration; None where none was asked for."""
        return _mean([None if case.registered is None else case.registered.tre_mm for case in self.cases])


Finished = Callable[[Pair, CaseEvaluation], None]
"""Told of each case that was evaluated, while its volumes are in memory."""


def evaluate(
    model: TissueModel | None,
    pairs: Sequence[Any],
    settings: EvaluationSettings | None = None,
    *,
    geometries: Mapping[str, SweepGeometry] | None = None,
    finished: Finished | None = None,
    told: Told | None = None,
) -> Evaluation:
    """Evaluate a model case by case; one that is broken is put aside and named.

    Args:
        model: on the CPU; None for the untrained medium, made of all the contrasts that a case has.
        pairs: cases, each a `diffus.datasets.pair.Pair`; ``deferred()`` of a dataset gives those that are
            read one at a time.
        settings: how.
        geometries: how the probe made the ultrasound of a case, by its name; found in the ultrasound where
            it is not given.
        finished: told of each case, to write what is too large to keep.
        told: progress.

    Raises:
        ValueError: for no pairs, and when no case can be evaluated, naming why.
    """
    settings = settings or EvaluationSettings()
    chosen = (model or UntrainedModel()).eval()
    cases: list[CaseEvaluation] = []
    skipped: dict[str, str] = {}
    for number, given in enumerate(pairs):
        name = str(given.case)
        if told is not None:
            told(f"case {name}", number, len(pairs))
        try:
            pair = _read(given, chosen)
            found = evaluate_case(chosen, pair, settings, (geometries or {}).get(name), number, told)
        except (ValueError, OSError, RuntimeError) as error:
            skipped[name] = str(error)
            continue
        if finished is not None:
            finished(pair, found)
        cases.append(found)
    if not cases:
        why = "; ".join(f"{case}: {reason}" for case, reason in skipped.items()) or "none was given"
        raise ValueError(f"no case can be evaluated ({why})")
    return Evaluation(chosen.kind, chosen.contrasts, settings, tuple(cases), skipped)


def evaluate_case(
    model: TissueModel,
    pair: Pair,
    settings: EvaluationSettings,
    geometry: SweepGeometry | None = None,
    number: int = 0,
    told: Told | None = None,
) -> CaseEvaluation:
    """Evaluate a model on one case.

    Args:
        model: on the CPU.
        pair: the case.
        settings: how.
        geometry: how the probe made the ultrasound; found in it when not given.
        number: of the case among others, which gives its frames tilts of their own, as in training.
        told: progress of the registration.

    Raises:
        ValueError: as `TrainingCase.prepare` and `score_frames`.
    """
    geometry = geometry or SweepGeometry.found_in(pair.ultrasound)
    seed = settings.seed + number
    case = TrainingCase.prepare(pair, model.contrasts, settings.sampling, geometry, seed)
    sweep = case.frames.sweep
    with torch.no_grad():
        levels = learned_levels(model, case.mri, sweep.probe, case.poses)
    scores = score_frames(levels, sweep.image.to(levels), sweep.weights.to(levels))
    marks = pair.landmarks
    return CaseEvaluation(
        pair.case,
        case.mri.contrasts,
        tuple(case.frames.place.tolist()),
        scores,
        None if marks is None else marks.tre_mm(pair.mri_from_ultrasound),
        _registered(model, pair, geometry, settings.registration, told) if settings.register else None,
        shown_frames(case, levels),
    )


def _read(given: Any, model: TissueModel) -> Pair:
    """The pair in memory, with a mask of its brain, which is looked for once."""
    contrasts = dict(given.contrasts)
    read = {name: volume for name, volume in contrasts.items() if name in model.contrasts}
    mask = given.mask
    if mask is None and read:
        name, first = next(iter(read.items()))
        mask = brain_mask(first, name)
    landmarks = getattr(given, "landmarks", None)
    return Pair(given.case, given.ultrasound, contrasts, given.mri_from_ultrasound, mask, landmarks)


def _registered(
    model: TissueModel, pair: Pair, geometry: SweepGeometry, settings: VolumeSettings, told: Told | None
) -> RegisteredCase:
    """The ultrasound registered to what the model makes of the whole MRI."""
    volumes = {name: volume for name, volume in pair.contrasts.items() if name in model.contrasts}
    medium = apply_model(model, MRIFeatures.from_volumes(volumes, pair.mask))

    def progress(what: str, done: int, most: int) -> None:
        if told is not None:
            told(f"case {pair.case}, {what}", done, most)

    found = register_volume(
        pair.ultrasound,
        medium,
        geometry,
        initial=pair.mri_from_ultrasound,
        settings=settings,
        progress=progress,
    )
    transform = found.mri_from_ultrasound
    if pair.landmarks is None:
        return RegisteredCase(transform, found.verdict, None, None)
    score = _challenge_score(transform, pair)
    return RegisteredCase(transform, found.verdict, pair.landmarks.tre_mm(transform), score)


def _challenge_score(transform: Float64[Tensor, "4 4"], pair: Pair) -> challenge.Score:
    assert pair.landmarks is not None
    mri: Volume = next(iter(pair.contrasts.values()))
    return challenge.score_field(
        challenge.displacement_from_rigid(transform, pair.ultrasound, mri),
        transform_points(pair.ultrasound.voxel_from_world, pair.landmarks.ultrasound_mm),
        transform_points(mri.voxel_from_world, pair.landmarks.mri_mm),
        mri.spacing_mm,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
