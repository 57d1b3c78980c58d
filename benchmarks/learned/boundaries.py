"""Steps of impedance that are known: sharp boundaries from all sides, whose sizes training has to find."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from diffus import RenderSettings, Volume, pose
from diffus.imaging.gain import time_gain_db
from diffus.learning import MRIFeatures, TissueModel, VoxelModel, apply_model, determined
from diffus.learning.case import TrainingCase
from diffus.learning.frames import VirtualFrames
from diffus.registration.rendered_sweep import FLOOR_DB
from diffus.registration.virtual_sweep import VirtualSweep
from diffus.render import render
from diffus.segmentation.morphology import smooth

from .made_here import PENALTY, PROBE, SIZE, SPACING_MM, TRAINED_SHARE, likelihood, trained_on

CLASSES = (0.490, 0.732, 0.998)
"""Normalised intensities of the three tissues."""
_NEAR = 0.02


@dataclass(frozen=True)
class Step:
    """One step between two tissues: the difference of the logarithm of impedance, in all that is compared.

    Args:
        low: intensity on one side.
        high: intensity on the other.
        hidden: of the medium that the frames were rendered from.
        before: untrained.
        found: after training.
        gain_before: backscatter of the untrained medium over the hidden one, mean of the logarithm.
        gain_found: the same after training; gain makes all steps larger by as much.
        sigma: relative standard deviation of the step that speckle leaves, the gain given.
        sigma_free: the same where the gain is not known.
    """

    low: float
    high: float
    hidden: float
    before: float
    found: float
    gain_before: float
    gain_found: float
    sigma: float
    sigma_free: float

    def error(self, which: str, gain_free: bool) -> float:
        """Relative error of ``before`` or ``found``: as it is, or with the gain taken out."""
        gain = getattr(self, f"gain_{which}") if gain_free else 1.0
        return getattr(self, which) / self.hidden / gain - 1


def mri() -> MRIFeatures:
    """Blobs of three intensities with boundaries about a voxel wide at every angle, brain all over."""
    generator = torch.Generator().manual_seed(1)
    pattern = smooth(torch.randn(SIZE, SIZE, SIZE, generator=generator), (SPACING_MM,) * 3, 3.0)
    pattern = pattern / pattern.std()
    values = 40 + 20 * torch.sigmoid((pattern + 0.5) / 0.08) + 22 * torch.sigmoid((pattern - 0.5) / 0.08)
    affine = torch.diag(torch.tensor([SPACING_MM] * 3 + [1.0], dtype=torch.float64))
    affine[:3, 3] = -SPACING_MM * (SIZE - 1) / 2
    mask = Volume(torch.ones(SIZE, SIZE, SIZE), affine)
    return MRIFeatures.from_volumes({"t1": Volume(values, affine)}, mask)


def hidden_model() -> VoxelModel:
    """Steps several times and about twice the untrained ones, weak backscatter, boundaries that scatter.

    Impedance is 1.51, 1.62 and 1.67 MRayl; boundaries scatter several times as much as training begins with.
    """
    model = VoxelModel(("t1",))
    at = torch.linspace(0, model.highest, model.n_knots)
    with torch.no_grad():
        model.curves[0, :, 0] = 0.55 * torch.cos(7 * at)
        model.curves[0, :, 2] = -0.5 + 0.3 * torch.cos(6 * at)
        model.edge.add_(2.0)
    return model


def sweep_over(features: MRIFeatures, model: TissueModel, count: int, seed: int) -> TrainingCase:
    """Frames with sampled speckle from many sides, in the pulse that training renders with.

    A shorter pulse would echo less of a boundary, which training would take for smaller steps. The mean power
    of noise is that of `diffus.learning.rendering.levels_db`.
    """
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    entries = -28 * directions / directions.norm(dim=1, keepdim=True)
    poses = torch.stack([pose.look_at(entry, -0.2 * entry) for entry in entries])
    settings = RenderSettings(propagation="primary", speckle="sampled", noise_db=None, seed=seed)
    shown = render(apply_model(model, features), PROBE, poses, settings).envelope
    power = shown**2 * 10 ** (time_gain_db(PROBE, settings, shown) / 10)
    level = 10 * torch.log10(power + 10 ** (FLOOR_DB / 10))
    sweep = VirtualSweep(PROBE, poses, level, torch.ones_like(level))
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    identity = torch.eye(4, dtype=torch.float64)
    return TrainingCase(
        "boundaries", features, VirtualFrames(sweep, place), identity, torch.zeros(3).double()
    )


def recover_steps(steps: int, known_range: bool = True, count: int = 60, seed: int = 11) -> list[Step]:
    """Train from the untrained medium with the Rayleigh likelihood; steps between neighbouring tissues.

    Args:
        steps: of training.
        known_range: whether the loss is told the dynamic range of the scanner.
        count: of frames.
        seed: of the speckle.
    """
    features, hidden = mri(), hidden_model()
    case = sweep_over(features, hidden, count, seed)
    found = trained_on(case, "rayleigh", steps, known_range)
    part = case.part(0.0, TRAINED_SHARE)
    told = determined(hidden, [part], loss=likelihood(known_range), penalty=PENALTY)
    models = {"hidden": hidden, "before": VoxelModel(("t1",)), "found": found}
    values = {name: _of_classes(model, features) for name, model in models.items()}
    sizes = {name: value[:, 0].diff().tolist() for name, value in values.items()}
    gains = {
        name: float((values[name] - values["hidden"])[:, 2].mean().exp()) for name in ("before", "found")
    }
    return [
        Step(
            low=low,
            high=high,
            hidden=sizes["hidden"][number],
            before=sizes["before"][number],
            found=sizes["found"][number],
            gain_before=gains["before"],
            gain_found=gains["found"],
            sigma=told.step_sigma_percent("impedance", low, high) / 100,
            sigma_free=told.step_sigma_percent("impedance", low, high, levels=False) / 100,
        )
        for number, (low, high) in enumerate(pairwise(CLASSES))
    ]


def _of_classes(model: TissueModel, features: MRIFeatures) -> Float[Tensor, "classes 3"]:
    """Mean of the logarithm of each channel in each tissue."""
    intensity = features.intensities[0].flatten()
    channels = torch.log(apply_model(model, features).channels).reshape(-1, 3)
    return torch.stack([channels[(intensity - at).abs() < _NEAR].mean(dim=0) for at in CLASSES])
