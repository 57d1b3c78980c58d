"""``diffus render``: a B-mode frame from a volume on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_one_of
from diffus.cli.outputs import report_outputs, write_outputs
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from torch import Tensor

    from diffus.medium import Medium
    from diffus.probe import Probe
    from diffus.volume import Volume

CONTRASTS = ("t1", "cet1", "t2", "flair", "ct", "labels")


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
        from diffus.render import render
        from diffus.volume import Volume

        self._check()
        probe = self._probe()
        image = Volume.load(self.volume)
        medium, mask = self._medium(image)
        frame = render(medium, probe, self._pose(mask), self.settings)
        report_outputs(write_outputs(self.out, frame, image, str(self.volume), self.spacing_mm))

    def _check(self) -> None:
        require_one_of("contrast", self.contrast, CONTRASTS)
        if (self.second is None) != (self.second_contrast is None):
            raise ValueError("--second and --second-contrast belong together: give both or neither")
        if self.entry is not None and self.target is None:
            raise ValueError("--entry needs --target, the point that the probe looks at")
        if self.pose is not None and (self.entry or self.target):
            raise ValueError("give --pose, or --entry and --target, not both")

    def _probe(self) -> Probe:
        from diffus.presets import load_probe

        probe = load_probe(self.probe or ("abdominal" if self.contrast == "ct" else "craniotomy"))
        return probe.with_options(**dict(_assignment(text) for text in self.probe_with))

    def _medium(self, image: Volume) -> tuple[Medium, Volume]:
        """The medium, and the mask of the body that the probe touches."""
        from diffus.medium import Medium
        from diffus.segmentation import body_mask, brain_mask
        from diffus.volume import Volume

        given = None if self.mask is None else Volume.load(self.mask)
        labels = image if self.contrast == "labels" else self.labels and Volume.load(self.labels)
        if self.contrast == "ct":
            body = given or body_mask(image)
            medium = Medium.from_labels(labels, self.table, image) if labels else Medium.from_ct(image)
            return medium.coupled(body), body
        if labels:
            return Medium.from_labels(labels, self.table), given or Volume(
                labels.data > 0, labels.world_from_voxel
            )
        mask = given or brain_mask(image, self.contrast)
        volumes = {self.contrast: image}
        if self.second is not None and self.second_contrast is not None:
            volumes[self.second_contrast] = Volume.load(self.second)
        return Medium.from_mri(volumes, mask=mask), mask

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
