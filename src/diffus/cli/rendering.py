"""What every command that renders a volume is told: the tissue, the probe and the settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_one_of
from diffus.cli.media import CONTRASTS, tissue_of
from diffus.settings import RenderSettings

if TYPE_CHECKING:
    from diffus.cli.media import Tissue
    from diffus.probe import Probe


@dataclass(frozen=True)
class Rendering:
    """Options that rendering commands share; a command adds where the probe is.

    Args:
        volume: NIfTI, NRRD, MHA/MHD, or a folder with one DICOM series.
        contrast: what the volume shows: t1, cet1, t2, flair, ct or labels.
        second: another MRI of the same head, on the same grid unless aligned.
        second_contrast: its contrast.
        align: move the second volume to where it shares most information with the first, onto its grid.
        model: folder or card of a trained tissue model, as `diffus train` writes it, for MRI.
        labels: label map on the same grid, which then gives the tissue values. With a CT, the CT gives
            those of unlabelled tissue.
        table: table of the labels: tissues, freesurfer, fast, totalsegmentator, or a CSV or JSON file.
        mask: mask of the brain, on the same grid, instead of the automatic one.
        probe: preset (craniotomy, abdominal, linear, phased, radial) or a JSON file. By default craniotomy,
            for a CT abdominal.
        probe_with: fields of the probe to change, as depth_mm=60 n_scanlines=128.
        spacing_mm: side of a pixel of the Cartesian image.
        settings: how the frame is computed and shown.
    """

    volume: tyro.conf.Positional[Path]
    contrast: str = "t1"
    second: Path | None = None
    second_contrast: str | None = None
    align: bool = False
    model: Path | None = None
    labels: Path | None = None
    table: str = "tissues"
    mask: Path | None = None
    probe: str | None = None
    probe_with: tuple[str, ...] = ()
    spacing_mm: float | None = None
    settings: RenderSettings = field(default_factory=RenderSettings)

    def require_tissue(self) -> None:
        """Refuse options of the tissue that do not go together, before anything large is read.

        Raises:
            ValueError: naming them.
        """
        require_one_of("contrast", self.contrast, CONTRASTS)
        if (self.second is None) != (self.second_contrast is None):
            raise ValueError("--second and --second-contrast belong together: give both or neither")
        if self.align and self.second is None:
            raise ValueError("--align moves the second volume: give --second and --second-contrast")
        if self.model is not None and (self.labels is not None or self.contrast in ("ct", "labels")):
            raise ValueError("--model says what an MRI shows: it does not go with a CT or with labels")
        if self.model is not None:
            from diffus.learning import load_model

            second = () if self.second_contrast is None else (self.second_contrast,)
            load_model(self.model).require_contrasts((self.contrast, *second))

    def chosen_probe(self) -> Probe:
        """The probe with its changes.

        Raises:
            FileNotFoundError: when it is neither a preset nor a file.
            ValueError: for a field that it has not, or a value that it refuses.
        """
        from diffus.presets import load_probe

        usual = "abdominal" if self.contrast == "ct" else "craniotomy"
        return self.changed(load_probe(self.probe or usual))

    def changed(self, probe: Probe) -> Probe:
        """A probe with the fields of ``--probe-with``.

        Raises:
            ValueError: for a field that it has not, or a value that it refuses.
        """
        return probe.with_options(**dict(_assignment(text) for text in self.probe_with))

    def read_tissue(self) -> Tissue:
        """Read the volumes and make the medium; see `tissue_of`."""
        from diffus.medium import Medium

        volumes, contrasts = [self.volume], [self.contrast]
        if self.second is not None and self.second_contrast is not None:
            volumes, contrasts = [self.volume, self.second], [self.contrast, self.second_contrast]
        tissue = tissue_of(
            volumes, contrasts, mask=self.mask, labels=self.labels, table=self.table, align=self.align
        )
        if self.model is None:
            return tissue
        return tissue._replace(medium=Medium.from_model(tissue.contrasts, self.model, mask=tissue.body))


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
