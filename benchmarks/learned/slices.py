"""Five slices of the ReMIND domain, ceT1 and ultrasound: trained on four, scored on the fifth, in turns.

Only the plane of each is known: MRI and ultrasound are taken to be the same throughout the thickness of the
beam. Grey values are those of published figures, and the pixel of four of them is taken to be that of the
fifth.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from diffus.datasets.pair import Pair
from diffus.learning import TissueModel, first_model
from diffus.learning.augmentation import Augmentation
from diffus.learning.case import TrainingCase
from diffus.learning.frames import FrameSampling
from diffus.learning.rendering import learned_levels
from diffus.learning.settings import TrainingSettings
from diffus.learning.training import launched, train_on
from diffus.registration import SweepGeometry
from diffus.registration.virtual_sweep import frame_points
from diffus.volume import Volume
from learned.halves import MEASURES, SEED, steepness
from real.cases import SLICE_MM, sectors

CONTRASTS = ("cet1",)
LAYERS = 41
"""Equal layers that a slice is made of: the beam is some millimetres thick."""
DARK = 20
"""Grey value of a slice below which there is no brain."""


def prepared_slices(data: Path) -> list[TrainingCase]:
    """The five, made ready."""
    return [prepared_slice(data, name) for name in sectors("ReMIND")]


def prepared_slice(data: Path, name: str) -> TrainingCase:
    """One of them, its world (row, column, layer) in mm, the slice at 0."""
    sector = sectors("ReMIND")[name]
    with np.load(data / sector.file) as arrays:
        mri, ultrasound = (arrays[key].astype(np.float32) for key in ("t1", "us"))
    brain = ndimage.binary_fill_holes(ndimage.binary_opening(mri > DARK, iterations=2))
    pair = Pair(name, thick(ultrasound), {"cet1": thick(mri)}, mask=thick(np.asarray(brain, np.float32)))
    across = sector.world_from_probe[:3, 1]
    geometry = SweepGeometry(
        sector.probe.with_options(frequency_mhz=7.0), sector.world_from_probe, across * SLICE_MM
    )
    sampling = FrameSampling(n_frames=1, n_tilted=0)
    return TrainingCase.prepare(pair, CONTRASTS, sampling, geometry)


def thick(image: np.ndarray) -> Volume:
    """A slice as a volume of equal layers."""
    affine = torch.diag(torch.tensor([SLICE_MM, SLICE_MM, SLICE_MM, 1.0], dtype=torch.float64))
    affine[2, 3] = -SLICE_MM * (LAYERS // 2)
    return Volume(torch.from_numpy(image)[..., None].expand(-1, -1, LAYERS).contiguous(), affine)


def trained(cases: Sequence[TrainingCase], kind: str, steps: int) -> TissueModel:
    """A model trained on some slices, for a fixed number of steps: none is left to say when to stop."""
    settings = TrainingSettings(
        model=kind,
        contrasts=CONTRASTS,
        steps=steps,
        frames_per_step=1,
        augmentation=Augmentation(),
        validate_every=steps,
        checkpoint_every=steps,
        panel_every=0,
        seed=SEED,
    )
    with tempfile.TemporaryDirectory() as out:
        return train_on(launched(settings), cases, [], Path(out), settings).model


@torch.no_grad()
def scored(case: TrainingCase, model: TissueModel | None) -> dict[str, float]:
    """Each measure of one slice; of the steepness of the MRI for no model."""
    sweep = case.frames.sweep
    if model is None:
        shown = steepness(case, frame_points(sweep.probe, case.poses), "cet1")
    else:
        shown = learned_levels(model, case.mri, sweep.probe, case.poses)
    return {
        name: float(measure(shown, sweep.image, sweep.weights).mean()) for name, measure in MEASURES.items()
    }


def rows(
    cases: Sequence[TrainingCase], steps: int, kinds: Sequence[str]
) -> dict[str, list[dict[str, float]]]:
    """Scores of every slice by what it was rendered with."""
    first = {
        "gradient of ceT1, no renderer": None,
        "published, seven points": first_model("published", CONTRASTS),
        "untrained": first_model("voxel", CONTRASTS),
    }
    found = {name: [scored(case, model) for case in cases] for name, model in first.items()}
    for kind in kinds:
        found[kind] = [
            scored(case, trained([other for other in cases if other is not case], kind, steps))
            for case in cases
        ]
    return found
