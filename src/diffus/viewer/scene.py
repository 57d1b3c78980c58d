"""What a viewer shows: a volume, the medium made from it, a probe, where it stands, and real ultrasound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus import pose
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.render import render
from diffus.settings import RenderSettings
from diffus.viewer.real import RealUltrasound
from diffus.volume import Volume


@dataclass(frozen=True, eq=False)
class ViewerScene:
    """What a viewer shows, as it is at the start.

    Args:
        image: the volume that is drawn in slices.
        medium: what is rendered.
        probe: the transducer.
        world_from_probe: where it stands, (4, 4).
        settings: how frames are rendered.
        ultrasound: a real image to compare with, or None.
        name: of the volume, for people.
        model: how the medium was made, for people.

    Raises:
        ValueError: when the pose is not rigid, or the fan misses the medium.
    """

    image: Volume
    medium: Medium
    probe: Probe
    world_from_probe: Float64[Tensor, "4 4"]
    settings: RenderSettings = field(default_factory=RenderSettings)
    ultrasound: RealUltrasound | None = None
    name: str = "volume"
    model: str = "tissue classes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "world_from_probe", pose.from_matrix(self.world_from_probe))
        self.frame_at(self.world_from_probe)  # refuses what cannot be seen, and compiles the kernels

    def frame_at(
        self,
        world_from_probe: Float64[Tensor, "4 4"] | Any,
        probe: Probe | None = None,
        settings: RenderSettings | None = None,
    ) -> Frame:
        """The frame at a pose, by default with the probe and the settings of the start.

        Raises:
            ValueError: as `render`.
        """
        with torch.no_grad():
            return render(self.medium, probe or self.probe, world_from_probe, settings or self.settings)

    def with_ultrasound(self, ultrasound: RealUltrasound) -> ViewerScene:
        """The same scene beside a real image, with the probe where that image was taken, if it says so."""
        at = ultrasound.world_from_probe
        return replace(
            self,
            ultrasound=ultrasound,
            probe=ultrasound.probe or self.probe,
            world_from_probe=self.world_from_probe if at is None else at,
        )
