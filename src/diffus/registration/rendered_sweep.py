"""A transform's score: the medium rendered through it, against the frames of an ultrasound volume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.imaging.gain import time_gain_db
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.virtual_sweep import VirtualSweep, frame_points
from diffus.render import render
from diffus.sampling import inside_grid
from diffus.settings import RenderSettings
from diffus.similarity import LocalNCC, Similarity

RENDERING = RenderSettings(propagation="primary", noise_db=None)
"""Expected speckle and single reflections: what multiples add in soft tissue is 60 dB down."""
LOCAL = LocalNCC(window=(1, 13, 13))
"""Correlation within windows of about 5 mm in each frame: blind to slow changes of gain."""
FLOOR_DB = -70.0
"""Level, TGC made up for, that darkness fades into: what a scanner's noise is, about as far below a bright
boundary. Without it the logarithm of what is black rules the score."""
LEAST_COVERAGE = 0.5
"""Share of the samples that must lie in the medium for a transform to be considered."""
_LEAST_SEEN = 0.002
"""Share of what counts of a frame, up to which it is blank: whether a fan that grazes the medium meets it is
a matter of rounding, and the renderer refuses one that does not."""
_TREND_MM = 8.0
"""Width over which the mean over a depth is taken."""


@dataclass(frozen=True, eq=False)
class RenderedSweep:
    """Score of ``mri_from_ultrasound`` transforms: how like the ultrasound the rendered frames are.

    Both are levels in dB without the trend over depth that gain, TGC and mean attenuation make.
    Differentiable in the transform, and in the medium.

    Args:
        sweep: frames of the ultrasound.
        medium: what is rendered, in the world of the MRI.
        similarity: of (B, P, S, N) images, higher for better.
        settings: of the renderer; its gain and dynamic range do not count.
    """

    sweep: VirtualSweep
    medium: Medium
    similarity: Similarity = LOCAL
    settings: RenderSettings = RENDERING

    def __call__(self, mri_from_ultrasound: Float64[Tensor, "B 4 4"]) -> Float[Tensor, " B"]:
        """Score of each transform, which must be rigid.

        One that leaves less than `LEAST_COVERAGE` of the samples in the medium scores -1.
        """
        inside = self.inside(mri_from_ultrasound)
        share = inside.flatten(1).sum(dim=1) / self.sweep.weights.sum()
        kept = share >= LEAST_COVERAGE
        scores = (0 * mri_from_ultrasound.sum(dim=(1, 2)) - 1).to(self.medium.impedance.dtype)
        if not bool(kept.any()):
            return scores
        weights = inside[kept]
        levels = self.levels(mri_from_ultrasound[kept], weights)
        found = self.similarity(levels, self._fixed.expand(levels.shape).to(levels), weights.to(levels))
        return scores.index_put((kept.nonzero()[:, 0],), found)

    def inside(self, mri_from_ultrasound: Float64[Tensor, "B 4 4"]) -> Float[Tensor, "B P S N"]:
        """The sweep's weights where its samples lie in the medium's grid."""
        with torch.no_grad():
            index_from_ultrasound = (self.medium.voxel_from_world @ mri_from_ultrasound).float()
            moved = self._points_mm @ index_from_ultrasound[:, :3, :3].mT
            found = inside_grid(moved + index_from_ultrasound[:, None, :3, 3], self.medium.shape)
        return self.sweep.weights * found.reshape(-1, *self.sweep.weights.shape)

    def levels(
        self, mri_from_ultrasound: Float64[Tensor, "B 4 4"], weights: Float[Tensor, "B P S N"]
    ) -> Float[Tensor, "B P S N"]:
        """Rendered frames in dB, blank where they hardly see the medium, the trend over depth removed."""
        poses = (mri_from_ultrasound[:, None] @ self.sweep.world_from_probe).flatten(0, 1)
        counted, whole = weights.sum(dim=(2, 3)), self.sweep.weights.sum(dim=(1, 2))
        seen = (counted > _LEAST_SEEN * whole).flatten().nonzero()[:, 0]
        frames = decibel_levels(self.medium, self.sweep.probe, poses[seen], self.settings)
        blank = frames.new_zeros(len(poses), *frames.shape[1:])
        sweeps = blank.index_put((seen,), frames).reshape(weights.shape)
        return without_trend(sweeps, weights.to(sweeps), self.sweep)

    @cached_property
    def _fixed(self) -> Float[Tensor, "P S N"]:
        return without_trend(self.sweep.image, self.sweep.weights, self.sweep)

    @cached_property
    def _points_mm(self) -> Float[Tensor, "M 3"]:
        return frame_points(self.sweep.probe, self.sweep.world_from_probe).reshape(-1, 3).float()


def decibel_levels(
    medium: Medium, probe: Probe, poses: Float64[Tensor, "M 4 4"], settings: RenderSettings
) -> Float[Tensor, "M S N"]:
    """Frames in dB, TGC made up for, that fade into `FLOOR_DB`."""
    envelope = render(medium, probe, poses, settings).envelope
    gained = envelope * 10 ** (time_gain_db(probe, settings, envelope) / 20)
    return 20 * torch.log10(gained + 10 ** (FLOOR_DB / 20))


def without_trend(
    images: Float[Tensor, "*B P S N"], weights: Float[Tensor, "*#B P S N"], sweep: VirtualSweep
) -> Float[Tensor, "*B P S N"]:
    """Subtract the weighted mean of each depth over the scanlines of a sweep, over a few millimetres."""
    total = (images * weights).sum(dim=(-3, -2))
    count = weights.sum(dim=(-3, -2))
    depths = sweep.probe.sample_depths_mm()
    near = ((depths[:, None] - depths).abs() <= _TREND_MM / 2).to(images)
    return images - ((total @ near) / (count @ near).clamp_min(1e-6))[..., None, None, :]
