"""``diffus render``: a B-mode frame from a volume on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diffus.cli.outputs import report_outputs, write_outputs
from diffus.cli.rendering import Rendering

if TYPE_CHECKING:
    from torch import Tensor

    from diffus.volume import Volume


@dataclass(frozen=True)
class Render(Rendering):
    """Render a B-mode frame from an MRI, a CT or a label map.

    Without a pose the probe stands on the surface of the brain (or body), found automatically, looking at the
    target.

    Example: diffus render head_t1.nii.gz --contrast t1 --side left --target 0 -15 15 --out out/head

    Args:
        pose: pose file (JSON), as written by an earlier run.
        entry: world point (RAS mm) of the middle of the transducer's face.
        target: world point (RAS mm) on the central beam.
        side: where the probe stands when neither pose nor entry is given: left, right, anterior, posterior,
            superior or inferior.
        out: folder for everything that is written.
    """

    pose: Path | None = None
    entry: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    side: str = "left"
    out: Path = Path("out/render")

    def run(self) -> None:
        """Render and write."""
        from diffus.render import render

        self._check()
        probe = self.chosen_probe()
        tissue = self.read_tissue()
        frame = render(tissue.medium, probe, self._pose(tissue.body), self.settings)
        report_outputs(write_outputs(self.out, frame, tissue.image, str(self.volume), self.spacing_mm))

    def _check(self) -> None:
        self.require_tissue()
        if self.entry is not None and self.target is None:
            raise ValueError("--entry needs --target, the point that the probe looks at")
        if self.pose is not None and (self.entry or self.target):
            raise ValueError("give --pose, or --entry and --target, not both")

    def _pose(self, mask: Volume) -> Tensor:
        from diffus import pose
        from diffus.surface import on_surface

        if self.pose is not None:
            return pose.load(self.pose)
        if self.entry is not None and self.target is not None:
            return pose.look_at(self.entry, self.target)
        return on_surface(mask, self.target, self.side)
