"""Pairs whose medium is known: frames with speckle, rendered from curves that training has to find."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from diffus import ConvexProbe, RenderSettings, Volume, pose
from diffus.imaging.formation import resampled
from diffus.imaging.gain import time_gain_db
from diffus.learning import MRIFeatures, TissueModel, VoxelModel, apply_model, determined
from diffus.learning.augmentation import Augmentation
from diffus.learning.bounds import to_bounded
from diffus.learning.case import TrainingCase
from diffus.learning.frames import VirtualFrames
from diffus.learning.information import looks_per_sample
from diffus.learning.loss import RayleighLikelihood
from diffus.learning.settings import TrainingSettings
from diffus.learning.trainer import HeldOut
from diffus.learning.training import launched, train_on
from diffus.registration.virtual_sweep import VirtualSweep
from diffus.render import render
from diffus.segmentation.morphology import smooth

SIZE, SPACING_MM = 64, 1.2
PROBE = resampled(
    ConvexProbe(radius_mm=20.0, field_of_view_deg=60.0, depth_mm=50.0, frequency_mhz=6.0), 64, 96
)
AVERAGED = 4
FINE = PROBE.with_options(n_samples=AVERAGED * PROBE.n_samples, fractional_bandwidth=0.6)
"""What made the frames, whose intensities are averaged over so many samples."""
BIN_EDGES = torch.linspace(0.3, 1.05, 16)
BIN_MIDDLES = (BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2
PENALTY, TRAINED_SHARE = 0.01, 0.8
STILL = Augmentation(mri_scale=0, mri_bias=0, gain=0, tgc=0, dynamic_range=0)


@dataclass(frozen=True)
class Recovered:
    """Hidden and found curves of one channel at intensities that the MRI holds.

    Args:
        intensity: normalised.
        hidden: of the medium that the frames were rendered from.
        found: after training.
        before: the untrained values.
    """

    intensity: Float[Tensor, " n"]
    hidden: Float[Tensor, " n"]
    found: Float[Tensor, " n"]
    before: Float[Tensor, " n"]

    def errors(self, which: str, weights: Float[Tensor, " n"]) -> tuple[float, float]:
        """Root mean squared relative error of ``found`` or ``before``: as it is, and with its level free."""
        departure = torch.log(getattr(self, which) / self.hidden)
        mean = (departure * weights).sum() / weights.sum()
        spread = (((departure - mean) ** 2 * weights).sum() / weights.sum()).sqrt()
        whole = ((departure**2 * weights).sum() / weights.sum()).sqrt()
        return float(whole), float(spread)


def mri() -> MRIFeatures:
    """Blobs of every intensity from CSF to white matter, brain all over."""
    generator = torch.Generator().manual_seed(1)
    pattern = smooth(torch.randn(SIZE, SIZE, SIZE, generator=generator), (SPACING_MM,) * 3, 2.5)
    pattern = pattern / pattern.std()
    values = 60 + 22 * torch.tanh(pattern)
    affine = torch.diag(torch.tensor([SPACING_MM] * 3 + [1.0], dtype=torch.float64))
    affine[:3, 3] = -SPACING_MM * (SIZE - 1) / 2
    mask = Volume(torch.ones(SIZE, SIZE, SIZE), affine)
    return MRIFeatures.from_volumes({"t1": Volume(values, affine)}, mask)


def hidden_model() -> VoxelModel:
    """Backscatter and attenuation that rise and fall otherwise than the untrained ones."""
    model = VoxelModel(("t1",))
    at = torch.linspace(0, model.highest, model.n_knots)
    with torch.no_grad():
        model.curves[0, :, 1] = 0.5 * torch.sin(5 * at)
        model.curves[0, :, 2] = 0.6 * torch.cos(6 * at)
    return model


def sweep_over(features: MRIFeatures, model: TissueModel, count: int) -> TrainingCase:
    """Frames with sampled speckle of the hidden medium, from many sides."""
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    entries = -28 * directions / directions.norm(dim=1, keepdim=True)
    poses = torch.stack([pose.look_at(entry, -0.2 * entry) for entry in entries])
    settings = RenderSettings(propagation="primary", speckle="sampled", gain_db=45.0, noise_db=None)
    shown = render(apply_model(model, features), FINE, poses, settings).envelope.clamp_min(1e-9)
    gained = shown * 10 ** (time_gain_db(FINE, settings, shown) / 20)
    level = 20 * torch.log10((gained**2).unflatten(-1, (PROBE.n_samples, AVERAGED)).mean(dim=-1).sqrt())
    sweep = VirtualSweep(PROBE, poses, level, torch.ones_like(level))
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    identity = torch.eye(4, dtype=torch.float64)
    return TrainingCase("made here", features, VirtualFrames(sweep, place), identity, torch.zeros(3).double())


def recover(
    loss: str, steps: int, known_range: bool = True, count: int = 48
) -> tuple[dict[str, Recovered], Float[Tensor, " n"]]:
    """Train from the untrained medium; curves of each channel, and how often each intensity occurs.

    Args:
        loss: by name.
        steps: of training.
        known_range: whether the loss is told the dynamic range of the scanner.
        count: of frames.
    """
    features, hidden = mri(), hidden_model()
    found = trained_on(sweep_over(features, hidden, count), loss, steps, known_range)
    return _curves(features, hidden, found)


def trained_on(case: TrainingCase, loss: str, steps: int, known_range: bool) -> VoxelModel:
    """A voxel model trained on most of a case's frames, from the untrained medium."""
    settings = TrainingSettings(
        contrasts=("t1",),
        steps=steps,
        loss=loss,
        decibel_per_grey=1.0 if known_range else None,
        penalty=PENALTY,
        frames_per_step=12,
        augmentation=STILL,
        validate_every=20,
        checkpoint_every=steps,
        panel_every=0,
    )
    held_out = [HeldOut(case.part(TRAINED_SHARE, 1.01), trained_as=0)]
    with tempfile.TemporaryDirectory() as out:
        parts = [case.part(0.0, TRAINED_SHARE)]
        result = train_on(launched(settings), parts, held_out, Path(out), settings)
    assert isinstance(result.model, VoxelModel)
    return result.model


def predicted(known_range: bool, weights: Float[Tensor, " n"], count: int = 48) -> dict[str, float]:
    """Errors of `recover` that speckle alone leaves, levels free: root mean square over intensities."""
    features, hidden = mri(), hidden_model()
    part = sweep_over(features, hidden, count).part(0.0, TRAINED_SHARE)
    looks = AVERAGED * float(looks_per_sample(FINE).mean())
    found = determined(hidden, [part], loss=likelihood(known_range), penalty=PENALTY, looks=looks)
    errors = {}
    for channel in ("attenuation", "backscatter"):
        curve = found.curve(channel)
        at = np.interp(BIN_MIDDLES.numpy(), curve.intensity.numpy(), curve.sigma.numpy() ** 2)
        errors[channel] = float(np.sqrt(np.average(at, weights=weights.numpy()))) / 100
    return errors


def likelihood(known_range: bool) -> RayleighLikelihood:
    """The loss that is told the dynamic range of these frames, or not."""
    return RayleighLikelihood(decibel_per_grey=1.0 if known_range else None)


def _curves(
    features: MRIFeatures, hidden: VoxelModel, found: VoxelModel
) -> tuple[dict[str, Recovered], Float[Tensor, " n"]]:
    """Mean of each channel's logarithm over the voxels of an intensity."""
    intensity = features.intensities[0].flatten()
    bins = torch.bucketize(intensity, BIN_EDGES)
    counted = torch.bincount(bins, minlength=len(BIN_EDGES) + 1)[1:-1].float()
    media = {
        "hidden": apply_model(hidden, features).channels,
        "found": apply_model(found, features).channels,
        "before": to_bounded(VoxelModel(("t1",)).unbounded(features).detach()),
    }
    curves = {}
    for number, channel in ((1, "attenuation"), (2, "backscatter")):
        means = {}
        for name, channels in media.items():
            logarithm = torch.log(channels[..., number]).flatten()
            total = torch.bincount(bins, weights=logarithm.double(), minlength=len(BIN_EDGES) + 1)[1:-1]
            means[name] = torch.exp(total / counted.clamp_min(1)).float()
        curves[channel] = Recovered(BIN_MIDDLES, means["hidden"], means["found"], means["before"])
    return curves, counted
