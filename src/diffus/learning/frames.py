"""Virtual frames of a case: planes through a swept ultrasound volume, some of them tilted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from diffus.checks import require_in_range
from diffus.registration.motion import moved
from diffus.registration.virtual_sweep import SweepSampling, VirtualSweep
from diffus.registration.volume import SweepGeometry
from diffus.volume import Volume

LEAST_SHARE = 0.3
"""Frames that show less than this share of what the fullest shows are left out."""


@dataclass(frozen=True, kw_only=True)
class FrameSampling:
    """How many frames are cut, and how densely they are sampled.

    Args:
        n_frames: planes along the sweep, as the probe made them.
        n_tilted: times that as many planes are cut again, tilted and shifted at random.
        tilt_deg: standard deviation of each component of their rotation vector.
        shift_mm: standard deviation of each component of their shift.
        n_scanlines: scanlines of a frame.
        n_samples: samples along a scanline.
        near_mm: depth below the face that is left out.
        rim_mm: distance from the border of the support that is left out.

    Raises:
        ValueError: for a number that cannot be.
    """

    n_frames: int = 32
    n_tilted: int = 2
    tilt_deg: float = 3.0
    shift_mm: float = 1.0
    n_scanlines: int = 64
    n_samples: int = 96
    near_mm: float = 5.0
    rim_mm: float = 2.0

    def __post_init__(self) -> None:
        require_in_range("FrameSampling", 0, 100, n_tilted=self.n_tilted)
        require_in_range("FrameSampling", 0, 45, tilt_deg=self.tilt_deg)
        require_in_range("FrameSampling", 0, 50, shift_mm=self.shift_mm)
        self.of_sweep()

    def of_sweep(self) -> SweepSampling:
        """What one sweep of planes needs."""
        return SweepSampling(
            n_frames=self.n_frames,
            n_scanlines=self.n_scanlines,
            n_samples=self.n_samples,
            near_mm=self.near_mm,
            rim_mm=self.rim_mm,
        )


@dataclass(frozen=True, eq=False)
class VirtualFrames:
    """Frames of one case and where in the sweep each lies.

    Args:
        sweep: the frames, in the world of the ultrasound.
        place: of each along the sweep, from 0 at one end to 1 at the other.
    """

    sweep: VirtualSweep
    place: Tensor

    def __len__(self) -> int:
        return len(self.place)

    def chosen(self, which: Int64[Tensor, " n"]) -> VirtualFrames:
        """Some of the frames."""
        sweep = self.sweep
        narrowed = VirtualSweep(
            sweep.probe, sweep.world_from_probe[which], sweep.image[which], sweep.weights[which]
        )
        return VirtualFrames(narrowed, self.place[which])

    def well_filled(self) -> VirtualFrames:
        """The frames that show at least `LEAST_SHARE` of what the fullest shows."""
        shown = self.sweep.weights.sum(dim=(1, 2))
        return self.chosen((shown >= LEAST_SHARE * shown.max()).nonzero()[:, 0])

    def between(self, start: float, stop: float) -> VirtualFrames:
        """The frames of a part of the sweep.

        Args:
            start: place where it begins.
            stop: place before which it ends.
        """
        return self.chosen(((self.place >= start) & (self.place < stop)).nonzero()[:, 0])


def cut_frames(
    ultrasound: Volume, geometry: SweepGeometry, sampling: FrameSampling, seed: int = 0
) -> VirtualFrames:
    """Cut frames from end to end of a swept volume, first as the probe made them, then tilted.

    Args:
        ultrasound: the swept volume.
        geometry: how the probe made it.
        sampling: how many frames and how dense.
        seed: of the tilts.

    Raises:
        ValueError: as `VirtualSweep.cut`, for frames that show nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    sigma = torch.tensor([sampling.tilt_deg] * 3 + [sampling.shift_mm] * 3, dtype=torch.float64)
    tangents = torch.randn(sampling.n_tilted, 6, generator=generator, dtype=torch.float64) * sigma
    at = geometry.world_from_probe
    pivot = torch.eye(4, dtype=torch.float64)
    pivot[2, 3] = float(geometry.probe.depth_mm) / 2
    poses = [at, *moved(at, tangents, pivot)]
    sweeps = [
        VirtualSweep.cut(ultrasound, geometry.probe, there, geometry.sweep_direction, sampling.of_sweep())
        for there in poses
    ]
    place = (torch.arange(sampling.n_frames, dtype=torch.float64) + 0.5) / sampling.n_frames
    together = VirtualSweep(
        sweeps[0].probe,
        torch.cat([sweep.world_from_probe for sweep in sweeps]),
        torch.cat([sweep.image for sweep in sweeps]),
        torch.cat([sweep.weights for sweep in sweeps]),
    )
    return VirtualFrames(together, place.repeat(len(sweeps))).well_filled()
