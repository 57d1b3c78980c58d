"""RESECT Case 24 registered by the frames of one half, with what the other half taught."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.learning import MRIFeatures, TissueModel, apply_model, first_model
from diffus.registration.motion import moved, pivot_at
from diffus.registration.rendered_sweep import RenderedSweep
from diffus.registration.rigid_search import SearchSettings, search
from diffus.registration.virtual_sweep import SweepSampling, VirtualSweep
from diffus.registration.volume import SweepGeometry, VolumeSettings, mean_displacement_mm
from diffus.segmentation import brain_mask
from diffus.similarity import LocalNCC
from learned.halves import CONTRASTS, HALVES, Half
from real_pair.case24 import Pair, random_offsets

WINDOWS = ((1, 9, 9), (1, 13, 13))
"""As the study of the whole pair has them."""


def rows(
    data: Path, models: Mapping[tuple[str, str], TissueModel], n_starts: int
) -> list[tuple[str, Half, Float64[Tensor, " starts"]]]:
    """Displacements in mm from the shipped alignment, from the first of the study's random offsets.

    Args:
        data: folder of shared data.
        models: taught by each half; those that read both contrasts are used.
        n_starts: offsets for each.
    """
    pair = Pair.load(data)
    mask = brain_mask(pair.moved_t1, "cet1")
    features = MRIFeatures.from_volumes(pair.contrasts("both, T1 moved"), mask)
    geometry, settings = SweepGeometry.found_in(pair.ultrasound), VolumeSettings()
    still = torch.eye(4, dtype=torch.float64)
    found = []
    for half in HALVES:
        sweeps = [half_sweep(pair, geometry, sampling, half) for sampling in (settings.coarse, settings.fine)]
        centre = sweeps[-1].centre_mm
        starts = moved(still, random_offsets(n_starts), pivot_at(centre))
        both = {name: m for (name, h), m in models.items() if h == half.name and m.contrasts == CONTRASTS}
        for name, model in ({"untrained": first_model("voxel", CONTRASTS)} | both).items():
            medium = apply_model(model, features)
            scores = [
                RenderedSweep(sweep, medium, LocalNCC(window=window))
                for sweep, window in zip(sweeps, WINDOWS, strict=True)
            ]
            ends = [search(scores, start, centre, SearchSettings()).transforms[0] for start in starts]
            found.append((name, half, mean_displacement_mm(torch.stack(ends), still, pair.ultrasound)))
    return found


def half_sweep(pair: Pair, geometry: SweepGeometry, sampling: SweepSampling, half: Half) -> VirtualSweep:
    """The frames of the half that a model has not seen."""
    whole = VirtualSweep.cut(
        pair.ultrasound, geometry.probe, geometry.world_from_probe, geometry.sweep_direction, sampling
    )
    place = (torch.arange(sampling.n_frames, dtype=torch.float64) + 0.5) / sampling.n_frames
    which = ((place >= half.scored[0]) & (place < half.scored[1])).nonzero()[:, 0]
    return VirtualSweep(whole.probe, whole.world_from_probe[which], whole.image[which], whole.weights[which])
