"""``diffus render``: a B-mode frame from a volume on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_one_of
from diffus.cli.media import CONTRASTS, tissue_of
from diffus.cli.outputs import report_outputs, write_outputs
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from torch import Tensor

    from diffus.probe import Probe
    from diffus.volume import Volume


@dataclass(frozen=True)
class Render:
    """Render a B-mode frame from an MRI, a CT or a label map.

    Without a pose the probe stands on the surface of the brain (or body), found automatically, looking at the
    target.

    Example: diffus render head_t1.nii.gz --contrast t1 --side left --target 0 -15 15 --out out/head

    Args:
        volume: NIfTI, NRRD, MHA/MHD, or a folder with one DICOM series.
        contrast: what the volume shows: t1, cet1, t2, flair, ct or labels.
        second: another MRI of the same head on the same grid.
        second_contrast: its contrast.
        model: folder or card of a trained tissue model, as `diffus train` writes it, for MRI.
        labels: label map on the same grid, which then gives the tissue values. With a CT, the CT gives
            those of unlabelled tissue.
        table: table of the labels: tissues, freesurfer, fast, totalsegmentator, or a CSV or JSON file.
        mask: mask of the brain, on the same grid, instead of the automatic one.
        probe: preset (craniotomy, abdominal, linear, phased, radial) or a JSON file. By default craniotomy,
            for a CT abdominal.
        probe_with: fields of the probe to change, as depth_mm=60 n_scanlines=128.
        pose: pose file (JSON), as written by an earlier run.
        entry: world point (RAS mm) of the middle of the transducer's face.
        target: world point (RAS mm) on the central beam.
        side: where the probe stands when neither pose nor entry is given: left, right, anterior, posterior,
            superior or inferior.
        spacing_mm: side of a pixel of the Cartesian image.
        settings: how the frame is computed and shown.
        out: folder for everything that is written.
    """

    volume: tyro.conf.Positional[Path]
    contrast: str = "t1"
    second: Path | None = None
    second_contrast: str | None = None
    model: Path | None = None
    labels: Path | None = None
    table: str = "tissues"
    mask: Path | None = None
    probe: str | None = None
    probe_with: tuple[str, ...] = ()
    pose: Path | None = None
    entry: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    side: str = "left"
    spacing_mm: float | None = None
    settings: RenderSettings = field(default_factory=RenderSettings)
    out: Path = Path("out/render")

    def run(self) -> None:
        """Render and write."""
        from diffus.medium import Medium
        from diffus.render import render
        from diffus.volume import Volume

        self._check()
        probe = self._probe()
        volumes, contrasts = [self.volume], [self.contrast]
        if self.second is not None and self.second_contrast is not None:
            volumes, contrasts = [self.volume, self.second], [self.contrast, self.second_contrast]
        tissue = tissue_of(volumes, contrasts, mask=self.mask, labels=self.labels, table=self.table)
        if self.model is not None:
            images = {name: Volume.load(path) for name, path in zip(contrasts, volumes, strict=True)}
            tissue = tissue._replace(medium=Medium.from_model(images, self.model, mask=tissue.body))
        frame = render(tissue.medium, probe, self._pose(tissue.body), self.settings)
        report_outputs(write_outputs(self.out, frame, tissue.image, str(self.volume), self.spacing_mm))

    def _check(self) -> None:
        require_one_of("contrast", self.contrast, CONTRASTS)
        if (self.second is None) != (self.second_contrast is None):
            raise ValueError("--second and --second-contrast belong together: give both or neither")
        if self.model is not None and (self.labels is not None or self.contrast in ("ct", "labels")):
            raise ValueError("--model says what an MRI shows: it does not go with a CT or with labels")
        if self.model is not None:
            from diffus.learning import load_model

            second = () if self.second_contrast is None else (self.second_contrast,)
            load_model(self.model).require_contrasts((self.contrast, *second))
        if self.entry is not None and self.target is None:
            raise ValueError("--entry needs --target, the point that the probe looks at")
        if self.pose is not None and (self.entry or self.target):
            raise ValueError("give --pose, or --entry and --target, not both")

    def _probe(self) -> Probe:
        from diffus.presets import load_probe

        probe = load_probe(self.probe or ("abdominal" if self.contrast == "ct" else "craniotomy"))
        return probe.with_options(**dict(_assignment(text) for text in self.probe_with))

    def _pose(self, mask: Volume) -> Tensor:
        from diffus import pose
        from diffus.surface import on_surface

        if self.pose is not None:
            return pose.load(self.pose)
        if self.entry is not None and self.target is not None:
            return pose.look_at(self.entry, self.target)
        return on_surface(mask, self.target, self.side)


def _assignment(text: str) -> tuple[str, float | int | bool | str]:
    """``name=value`` with a number, true/false, or the word of a field that takes words."""
    from diffus.probe import Probe

    name, equals, value = text.partition("=")
    if equals and name in Probe.CHOICES:
        return name, value
    words = {"true": True, "false": False}
    if equals and value.lower() in words:
        return name, words[value.lower()]
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"--probe-with takes name=number, as depth_mm=60; got {text!r}") from None
    return name, int(number) if number.is_integer() and name.startswith("n_") else number
