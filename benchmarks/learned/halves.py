"""RESECT Case 24 in two spatial halves: trained on one, scored on the other, both ways."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.datasets.pair import Pair
from diffus.learning import TissueModel, first_model
from diffus.learning.augmentation import Augmentation
from diffus.learning.case import TrainingCase
from diffus.learning.frames import FrameSampling
from diffus.learning.loss import SCALES
from diffus.learning.rendering import learned_levels
from diffus.learning.settings import TrainingSettings
from diffus.learning.trainer import HeldOut
from diffus.learning.training import launched, train_on
from diffus.registration import aligned
from diffus.registration.virtual_sweep import frame_points
from diffus.segmentation import brain_mask
from diffus.similarity import LC2, Similarity
from diffus.volume import Volume

MEASURES: dict[str, Similarity] = {"local NCC": SCALES, "LC2": LC2(window=9)}
CONTRASTS = ("cet1", "flair")
SEED = 0


@dataclass(frozen=True)
class Half:
    """Places along the sweep.

    Args:
        trained: frames that the weights are fitted to.
        inner: frames of the same half that say when to stop. A gap lies between, or they would look like
            those trained on, and training would end when the half is learned by heart.
        scored: frames of the other half, which nothing has seen. A gap of 6 % lies between.
    """

    name: str
    trained: tuple[float, float]
    inner: tuple[float, float]
    scored: tuple[float, float]


HALVES = (
    Half("first to second", (0.0, 0.31), (0.37, 0.47), (0.53, 1.01)),
    Half("second to first", (0.69, 1.01), (0.53, 0.63), (0.0, 0.47)),
)


def prepared_case24(data: Path) -> TrainingCase:
    """The pair, made ready, T1 moved to where FLAIR lies; a minute."""
    names = {"cet1": "T1-inUS", "flair": "FLAIR-inUS"}
    volumes = {
        contrast: Volume.load(data / "resect" / f"Case24-{name}-0.5mm.nii.gz")
        for contrast, name in names.items()
    }
    volumes["cet1"] = aligned(volumes["cet1"], volumes["flair"])
    ultrasound = Volume.load(data / "resect" / "Case24-US-before-0.5mm.nii.gz")
    pair = Pair("Case24", ultrasound, volumes, mask=brain_mask(volumes["cet1"], "cet1"))
    return TrainingCase.prepare(pair, CONTRASTS, FrameSampling())


def trained(case: TrainingCase, half: Half, model: TissueModel, steps: int) -> TissueModel:
    """A model trained on one half."""
    frames = 12 if model.reach_voxels == 0 else 4
    settings = TrainingSettings(
        model=model.kind,
        contrasts=model.contrasts,
        steps=steps,
        frames_per_step=frames,
        augmentation=Augmentation(),
        validate_every=5,
        patience=8,
        checkpoint_every=steps,
        panel_every=0,
        seed=SEED,
    )
    inner = HeldOut(case.part(*half.inner), trained_as=0)
    with tempfile.TemporaryDirectory() as out:
        part = case.part(*half.trained)
        return train_on(launched(settings), [part], [inner], Path(out), settings, model=model).model


@torch.no_grad()
def scored(case: TrainingCase, half: Half, model: TissueModel | None) -> dict[str, float]:
    """Mean of each measure over the frames of the other half; of the steepness of FLAIR for no model."""
    frames = case.part(*half.scored).frames
    sweep = frames.sweep
    poses = case.mri_from_ultrasound @ sweep.world_from_probe
    if model is None:
        shown = steepness(case, frame_points(sweep.probe, poses), "flair")
    else:
        shown = learned_levels(model, case.mri.only(model.contrasts), sweep.probe, poses)
    return {
        name: float(measure(shown, sweep.image, sweep.weights).mean()) for name, measure in MEASURES.items()
    }


def steepness(case: TrainingCase, points: Tensor, contrast: str) -> Float[Tensor, "F S N"]:
    """Length of a contrast's gradient at points: what is seen of boundaries without a renderer."""
    edges = case.mri.edges_of(contrast)
    assert edges is not None
    return Volume(edges.sqrt(), case.mri.world_from_voxel).sample(points.float())


def taught(case: TrainingCase, steps: int, kinds: Sequence[str]) -> dict[tuple[str, str], TissueModel]:
    """A model of each kind for both contrasts and for FLAIR, taught by each half; by name and half."""
    found: dict[tuple[str, str], TissueModel] = {}
    for half in HALVES:
        for kind in kinds:
            for contrasts in (CONTRASTS, ("flair",)):
                narrowed = replace(case, mri=case.mri.only(contrasts))
                name = f"{kind}, {' and '.join(contrasts)}"
                found[name, half.name] = trained(narrowed, half, first_model(kind, contrasts), steps)
    return found


def rows(
    case: TrainingCase, models: Mapping[tuple[str, str], TissueModel]
) -> list[tuple[str, Half, dict[str, float]]]:
    """Every line of the table."""
    first = {
        "gradient of FLAIR, no renderer": None,
        "published, seven points": first_model("published", ("cet1",)),
        "untrained": first_model("convolutional", CONTRASTS),
    }
    found = [(name, half, scored(case, half, model)) for half in HALVES for name, model in first.items()]
    halves = {half.name: half for half in HALVES}
    for (name, half), model in models.items():
        narrowed = replace(case, mri=case.mri.only(model.contrasts))
        found.append((name, halves[half], scored(narrowed, halves[half], model)))
    return found
