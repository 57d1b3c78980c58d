"""Virtual frames through a 3D ultrasound volume: what a renderer can be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_in_range, require_shape
from diffus.imaging.formation import resampled
from diffus.probe import Probe
from diffus.segmentation.morphology import close, distance_to, smooth
from diffus.volume import Volume

CLOSING_MM = 1.5
"""Half the width of the dark gaps in an ultrasound volume's support that count as image."""
_ENDS = 0.04
"""Share of the support left out at each end of the sweep, where frames show next to nothing."""


@dataclass(frozen=True, kw_only=True)
class SweepSampling:
    """How densely virtual frames sample a volume, and what they leave out.

    Args:
        n_frames: planes along the sweep.
        n_scanlines: scanlines of a frame.
        n_samples: samples along a scanline.
        near_mm: depth below the face that is left out, where the image is the probe's and not the tissue's.
        rim_mm: distance from the border of the support that is left out.
        smoothing_mm: sigma of a Gaussian over the volume beforehand; 0 for none.

    Raises:
        ValueError: for a number that cannot be.
    """

    n_frames: int = 16
    n_scanlines: int = 64
    n_samples: int = 96
    near_mm: float = 5.0
    rim_mm: float = 2.0
    smoothing_mm: float = 0.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        counts = {name: getattr(self, name) for name in ("n_frames", "n_scanlines", "n_samples")}
        require_in_range(owner, 1, 10_000, **counts)
        require_in_range(owner, 0, 1_000, near_mm=self.near_mm, rim_mm=self.rim_mm)
        require_in_range(owner, 0, 100, smoothing_mm=self.smoothing_mm)


@dataclass(frozen=True, eq=False)
class VirtualSweep:
    """Frames cut from an ultrasound volume along the scanlines of the probe that made it.

    Args:
        probe: their geometry, with a pulse that their samples resolve.
        world_from_probe: their poses in the world of the ultrasound.
        image: grey values of the volume, which a scanner has compressed: levels in dB but for a factor.
        weights: 1 where a sample counts, else 0.
    """

    probe: Probe
    world_from_probe: Float64[Tensor, "P 4 4"]
    image: Float[Tensor, "P S N"]
    weights: Float[Tensor, "P S N"]

    @classmethod
    def cut(
        cls,
        ultrasound: Volume,
        probe: Probe,
        world_from_probe: Float[Tensor, "4 4"] | Any,
        sweep_direction: Float[Tensor, "3"] | Any,
        sampling: SweepSampling | None = None,
    ) -> VirtualSweep:
        """Cut frames along the direction of the sweep, from end to end of the volume's support.

        Args:
            ultrasound: grey values; the background, where no plane came by, holds the lowest value.
            probe: geometry of the sector and frequency, as `diffus.imaging.sector_volume` finds it.
            world_from_probe: pose of a plane in the middle.
            sweep_direction: vector in the world along which the probe moved.
            sampling: how densely.

        Raises:
            ValueError: for a pose that is not rigid, a direction in the plane of the frame, a constant
                volume, or frames that show nothing of it.
        """
        sampling = sampling or SweepSampling()
        middle = pose.from_matrix(world_from_probe)
        require_shape("world_from_probe", middle.shape, "(4, 4)", middle.ndim == 2)
        direction = torch.as_tensor(sweep_direction, dtype=torch.float64)
        require_shape("sweep_direction", direction.shape, "(3,)", direction.shape == (3,))
        depth = _depth_in_support(ultrasound)
        offsets = _offsets_mm(depth, middle, direction, sampling.n_frames)
        poses = middle.repeat(len(offsets), 1, 1)
        poses[:, :3, 3] += offsets[:, None] * direction
        narrow = resampled(probe, sampling.n_scanlines, sampling.n_samples)
        points = frame_points(narrow, poses)
        inside = (depth.sample(points) > sampling.rim_mm) & (narrow.sample_depths_mm() > sampling.near_mm)
        if not bool(inside.any()):
            raise ValueError(
                f"no sample of {len(offsets)} virtual frames lies more than {sampling.rim_mm:g} mm inside "
                f"the ultrasound and {sampling.near_mm:g} mm below the face: check probe and "
                "world_from_probe, or lower rim_mm and near_mm"
            )
        image = _smoothed(ultrasound, sampling.smoothing_mm).sample(points)
        return cls(narrow, poses, image.float(), inside.float())

    @property
    def centre_mm(self) -> Float64[Tensor, "3"]:
        """Middle of the samples that count: a pivot about which turning and shifting hardly mix."""
        return frame_points(self.probe, self.world_from_probe)[self.weights > 0].mean(dim=0)


def frame_points(probe: Probe, world_from_probe: Float64[Tensor, "P 4 4"]) -> Float64[Tensor, "P S N 3"]:
    """World positions of the samples of frames."""
    turn, shift = world_from_probe[:, None, :3, :3], world_from_probe[:, None, None, :3, 3]
    return probe.sample_points_mm() @ turn.mT + shift


def support_of(ultrasound: Volume) -> Volume:
    """Where an ultrasound volume has an image, small dark gaps included.

    Raises:
        ValueError: when the volume is constant.
    """
    low, high = (float(value) for value in ultrasound.data.aminmax())
    if low == high:
        raise ValueError(f"ultrasound volume is constant ({low:g}): there is nothing to register")
    closed = close(ultrasound.data > low, ultrasound.spacing_mm, CLOSING_MM)
    return Volume(closed, ultrasound.world_from_voxel)


def _depth_in_support(ultrasound: Volume) -> Volume:
    """Distance in mm of each voxel from the outside of the support; the grid's border is an outside too."""
    support = torch.nn.functional.pad(support_of(ultrasound).data, [1] * 6)
    depth = distance_to(~support, ultrasound.spacing_mm)[1:-1, 1:-1, 1:-1]
    return Volume(depth.contiguous(), ultrasound.world_from_voxel)


def _offsets_mm(depth: Volume, middle: Tensor, direction: Tensor, count: int) -> Float64[Tensor, " P"]:
    """How far along the sweep each plane lies from the middle one."""
    normal = middle[:3, 1]
    across = float(normal @ direction) / float(direction.norm())
    if abs(across) < 0.2:
        raise ValueError(
            f"sweep_direction {direction.tolist()} lies within 12 degrees of the frame's plane: expected the "
            "way the probe moved across it"
        )
    voxels = (depth.data > 0).nonzero()[::97].double()
    world = voxels @ depth.world_from_voxel[:3, :3].T + depth.world_from_voxel[:3, 3]
    offsets = ((world - middle[:3, 3]) @ normal) / float(normal @ direction)
    ends = offsets.quantile(torch.tensor([_ENDS, 1 - _ENDS], dtype=torch.float64))
    share = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return ends[0] + share * (ends[1] - ends[0])


def _smoothed(volume: Volume, sigma_mm: float) -> Volume:
    if sigma_mm == 0:
        return volume
    return Volume(smooth(volume.data.float(), volume.spacing_mm, sigma_mm), volume.world_from_voxel)
