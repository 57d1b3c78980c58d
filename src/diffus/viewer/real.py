"""Real ultrasound beside the rendered: one frame, or a swept volume that is cut where the probe stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn.functional import grid_sample

from diffus import pose
from diffus.frame import Frame
from diffus.imaging.gain import expand
from diffus.imaging.scan_conversion import PixelGrid, to_cartesian
from diffus.keeping import kept
from diffus.probe import Probe
from diffus.registration.virtual_sweep import support_of
from diffus.settings import RenderSettings
from diffus.volume import Volume

_LEAST_SUPPORT = 0.02
"""Share of the sector that must lie in a volume's support for it to be registered there."""


class ToRegister(NamedTuple):
    """A frame, what of it to compare, and the pose it is thought to have."""

    frame: Frame
    mask: Bool[Tensor, "S N"] | None


class RealUltrasound(ABC):
    """A real image that the rendered one can be held against.

    Args:
        name: for people.
        probe: that made it; None where it does not say.
        world_from_probe: where that probe stood; None where it does not say.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, probe: Probe | None, world_from_probe: Tensor | None) -> None:
        self.name, self.probe, self.world_from_probe = name, probe, world_from_probe

    @abstractmethod
    def pixels(
        self, probe: Probe, ultrasound_from_probe: Float64[Tensor, "4 4"], grid: PixelGrid
    ) -> Float[Tensor, "H W"]:
        """Display values in [0, 1] where a probe stands, zero where there is no image.

        Args:
            probe: gives the field of view.
            ultrasound_from_probe: where it stands in the ultrasound's world.
            grid: pixels in the probe frame.
        """

    @abstractmethod
    def to_register(self, probe: Probe, ultrasound_from_probe: Float64[Tensor, "4 4"]) -> ToRegister:
        """What a registration takes.

        Raises:
            ValueError: when there is no image where the probe stands.
        """

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        at = self.world_from_probe
        flat = None if at is None else at.flatten().tolist()
        return {"kind": self.kind, "name": self.name, "pose": flat}


class RealFrame(RealUltrasound):
    """One image on its probe's scanlines.

    Args:
        frame: one image.
        mask: which samples are image, (S, N); None for all.
        has_pose: whether the pose it carries means anything.
        name: for people.
    """

    kind: ClassVar[str] = "frame"

    def __init__(
        self,
        frame: Frame,
        mask: Bool[Tensor, "S N"] | None = None,
        has_pose: bool = True,
        name: str = "frame",
    ) -> None:
        if len(frame) != 1:
            raise ValueError(f"the viewer shows one real frame, got {len(frame)}: give frame[0]")
        super().__init__(name, frame.probe, frame.world_from_probe[0] if has_pose else None)
        self.frame, self.mask = frame.detach(), mask

    def pixels(self, probe: Probe, ultrasound_from_probe: Tensor, grid: PixelGrid) -> Tensor:
        """The frame in its own field of view, wherever the probe stands."""
        return to_cartesian(self.frame.scanlines, self.frame.probe, grid)[0]

    def to_register(self, probe: Probe, ultrasound_from_probe: Tensor) -> ToRegister:
        """The frame."""
        return ToRegister(self.frame, self.mask)


class RealVolume(RealUltrasound):
    """A swept volume; it is shown and registered in the plane of the probe.

    Args:
        volume: grey values; where no plane came by it holds its lowest value.
        name: for people.
        probe: that swept it, if known.
        world_from_probe: a plane in the middle of its sweep, if known.

    Raises:
        ValueError: for a constant volume.
    """

    kind: ClassVar[str] = "volume"

    def __init__(
        self,
        volume: Volume,
        name: str = "volume",
        probe: Probe | None = None,
        world_from_probe: Float64[Tensor, "4 4"] | None = None,
    ) -> None:
        super().__init__(name, probe, world_from_probe)
        self._support = support_of(volume)
        low, high = (float(value) for value in volume.data.aminmax())
        levels = (volume.data.float() - low).div_(high - low)
        self.volume = Volume(levels, volume.world_from_voxel)
        self._unit_from_world = _unit_from_voxel(volume.shape) @ volume.voxel_from_world

    def pixels(self, probe: Probe, ultrasound_from_probe: Tensor, grid: PixelGrid) -> Tensor:
        """The slice of the volume in the fan's plane, within the fan."""
        return to_cartesian(self._lines(probe, ultrasound_from_probe)[None], probe, grid)[0]

    def to_register(self, probe: Probe, ultrasound_from_probe: Tensor) -> ToRegister:
        """The slice on the probe's scanlines, and which samples lie in the volume's support."""
        points = pose.transform_points(ultrasound_from_probe, probe.sample_points_mm())
        inside = self._support.sample(points.float()) > 0.5
        share = float(inside.float().mean())
        if share < _LEAST_SUPPORT:
            raise ValueError(
                f"the fan misses the real ultrasound volume: {share:.1%} of the sector lies in it; move the "
                "probe to where the volume shows something"
            )
        lines, settings = self._lines(probe, ultrasound_from_probe)[None], RenderSettings()
        at = pose.as_batch(ultrasound_from_probe)
        return ToRegister(Frame(lines, expand(lines, probe, settings), probe, at, settings), inside)

    def _lines(self, probe: Probe, ultrasound_from_probe: Tensor) -> Float[Tensor, "S N"]:
        to_unit = (self._unit_from_world @ ultrasound_from_probe).float()
        places = _sample_points(probe) @ to_unit[:3, :3].T + to_unit[:3, 3]
        # PyTorch's sampler: no second derivatives, which nobody asks for here, and five times as fast.
        return grid_sample(self.volume.data[None, None], places[None, None], align_corners=True)[0, 0, 0]


@kept
def _sample_points(probe: Probe) -> Float[Tensor, "S N 3"]:
    return probe.sample_points_mm().float()


def _unit_from_voxel(shape: tuple[int, int, int]) -> Float64[Tensor, "4 4"]:
    """From voxel indices to what `grid_sample` takes: from -1 to 1, the last index first."""
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    for axis, size in enumerate(shape):
        matrix[2 - axis, axis], matrix[2 - axis, 3] = 2 / max(size - 1, 1), -1.0
    matrix[3, 3] = 1.0
    return matrix
