"""``diffus demo``: the embedded brain, rendered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from diffus.cli.outputs import report_outputs, write_outputs
from diffus.settings import RenderSettings


@dataclass(frozen=True)
class Demo:
    """Render the embedded brain (MNI152, no download) and write the pictures.

    Example: diffus demo --out out/demo --side superior

    Args:
        out: folder for everything that is written.
        side: where the probe stands: left, right, anterior, posterior, superior or inferior.
        target: world point (RAS mm) on the central beam.
        probe: preset (craniotomy, abdominal, linear, phased, radial) or a JSON file.
        settings: how the frame is computed and shown.
    """

    out: Path = Path("out/demo")
    side: str = "left"
    target: tuple[float, float, float] = (0.0, -15.0, 15.0)
    probe: str = "craniotomy"
    settings: RenderSettings = field(default_factory=RenderSettings)

    def run(self) -> None:
        """Render and write."""
        from diffus.datasets import example_brain
        from diffus.medium import Medium
        from diffus.presets import load_probe
        from diffus.render import render
        from diffus.surface import on_surface

        probe = load_probe(self.probe)
        brain = example_brain()
        assert brain.image is not None
        world_from_probe = on_surface(brain.mask, self.target, self.side)
        frame = render(Medium.from_tissue_maps(brain), probe, world_from_probe, self.settings)
        source = "the embedded brain: MNI152 2009a T1 with its tissue maps (Fonov et al. 2011)"
        report_outputs(write_outputs(self.out, frame, brain.image, source))
