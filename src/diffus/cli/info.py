"""``diffus info``: what is in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Info:
    """Say what a volume holds: shape, spacing, orientation, intensities, extent, and what to mind.

    Example: diffus info head.nii.gz

    Args:
        file: NIfTI, NRRD, MHA/MHD, or a folder with one DICOM series.
    """

    file: tyro.conf.Positional[Path]

    def run(self) -> None:
        """Print the report."""
        from rich.console import Console

        from diffus.io.report import describe

        console = Console(soft_wrap=True, highlight=False)
        for line in describe(self.file).lines():
            console.print(line, markup=False)
