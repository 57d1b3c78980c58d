"""The folder of a rendered sweep: what went into it, which frames are there, and whether it may be written
to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffus.files import read_json, write_json

INPUTS, SUMMARY, FRAMES = "inputs.json", "summary.txt", "frames"
SEQUENCE, GIF, MP4 = "sweep.igs.mha", "sweep.gif", "sweep.mp4"
WRITTEN = (SEQUENCE, GIF, MP4, "poses.json", "probe.json", INPUTS, SUMMARY)
"""Everything beside the frames; ``summary.txt`` is written last, so that it says that all is there."""


class SweepFolder:
    """A folder that holds one rendered sweep.

    Args:
        out: the folder; made with the first file.
    """

    def __init__(self, out: Path) -> None:
        self.out = out

    def frame(self, number: int, extension: str) -> Path:
        """Where a frame is, or will be."""
        return self.out / FRAMES / f"frame_{number:04d}{extension}"

    def check(self, inputs: Mapping[str, Any], *, resume: bool, overwrite: bool) -> bool:
        """Whether the folder may be written to.

        Args:
            inputs: as `diffus.cli.register_folder.inputs_of` gives them.
            resume: go on with the same sweep.
            overwrite: leave nothing of an earlier one.

        Returns:
            Whether the sweep is there already.

        Raises:
            ValueError: when both are asked for, the folder holds another sweep, or this one and it was not
                said what to do with it.
        """
        if resume and overwrite:
            raise ValueError("--resume goes on and --overwrite begins anew: give one of them")
        if overwrite or not self._is_begun():
            return False
        before = read_json(self.out / INPUTS, "inputs") if (self.out / INPUTS).is_file() else {}
        changed = _differences(before if isinstance(before, dict) else {}, inputs)
        if changed:
            raise ValueError(
                f"{self.out} holds a sweep of other inputs ({', '.join(changed)}): give another --out, or "
                "--overwrite to begin anew"
            )
        finished = (self.out / SUMMARY).is_file()
        if not resume:
            state = "finished" if finished else "cut off on its way"
            raise ValueError(
                f"{self.out} holds this sweep, {state}: add --resume to go on, or --overwrite to begin anew"
            )
        return finished

    def begin(self, inputs: Mapping[str, Any], *, overwrite: bool) -> None:
        """Claim the folder, and sweep out what a killed run had begun to write."""
        for aside in self.out.glob(".sweep.*"):
            shutil.rmtree(aside)
        if overwrite:
            # The summary first: what is left after a cut is then no finished sweep.
            for path in [self.out / SUMMARY, *self.files(), *self._frames()]:
                path.unlink(missing_ok=True)
        write_json(self.out / INPUTS, inputs)

    def files(self) -> list[Path]:
        """What a sweep has left here, its frames not counted."""
        return [self.out / name for name in WRITTEN if (self.out / name).is_file()]

    def _frames(self) -> list[Path]:
        return sorted((self.out / FRAMES).glob("frame_*.n*"))

    def _is_begun(self) -> bool:
        """Whether there is anything of a sweep; one that was refused leaves its inputs alone."""
        return bool(self._frames()) or any(path.name != INPUTS for path in self.files())


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, by name."""
    if not before:
        return ["it does not say of which"]
    changed = ["the version of diffus"] if before.get("diffus") != now["diffus"] else []
    for kind in ("options", "files"):
        earlier = before.get(kind, {})
        changed += [name.replace("_", "-") for name, value in now[kind].items() if earlier.get(name) != value]
    return changed
