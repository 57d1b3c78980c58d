"""The folder of a registration: what went into it, how far it is, and whether it may be written to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import diffus
from diffus.files import read_json, write_json

INPUTS, RESULT, STATE = "inputs.json", "result.npz", "state"
WRITTEN = (
    INPUTS,
    RESULT,
    "deformation.npz",
    "summary.txt",
    "pose.txt",
    "pose.json",
    "transform.tfm",
    "transform.h5",
    "displacement.nii.gz",
    "before_after.png",
    "checkerboard.png",
    "overlay.png",
    "descent.gif",
)
"""Everything that a registration may leave; ``result.npz`` last, so that it says that all is there."""
_BLOCK = 1 << 20


def inputs_of(options: Mapping[str, Any], files: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """What an answer depends on: the options, the content of every file, and the version of this program.

    Args:
        options: plain values by name.
        files: by what they are.

    Raises:
        FileNotFoundError: when a file is not there.
    """
    content = {name: [_digest(path) for path in paths] for name, paths in files.items()}
    return {"diffus": diffus.__version__, "options": dict(options), "files": content}


class RunFolder:
    """A folder that holds one registration.

    Args:
        out: the folder; made with the first file.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.state = out / STATE

    def begin(self, inputs: Mapping[str, Any], *, resume: bool, overwrite: bool) -> bool:
        """Claim the folder for a registration of these inputs.

        Args:
            inputs: as `inputs_of` gives them.
            resume: go on with the same registration, or give its result again.
            overwrite: leave nothing of an earlier one.

        Returns:
            Whether its result is there already.

        Raises:
            ValueError: when both are asked for, the folder holds another registration, or this one and it was
                not said what to do with it.
        """
        if resume and overwrite:
            raise ValueError("--resume goes on and --overwrite begins anew: give one of them")
        if overwrite:
            self._clear()
        elif self._is_begun() and (self.out / INPUTS).is_file():
            self._require_same(read_json(self.out / INPUTS, "inputs"), inputs)
            finished = (self.out / RESULT).is_file()
            if finished and not resume:
                raise ValueError(
                    f"{self.out} holds this registration, finished: add --resume to be told its result, "
                    "or --overwrite to do it anew"
                )
            if not resume:
                raise ValueError(
                    f"{self.out} holds this registration, cut off on its way: add --resume to go on, or "
                    "--overwrite to begin anew"
                )
            return finished
        elif self._is_begun():
            raise ValueError(
                f"{self.out} holds a registration that does not say of what: give another --out, or "
                "--overwrite"
            )
        write_json(self.out / INPUTS, inputs)
        return False

    def files(self) -> list[Path]:
        """What a registration has left here, its state not counted."""
        return [self.out / name for name in WRITTEN if (self.out / name).is_file()]

    def finish(self) -> None:
        """Remove the state, which the result has made superfluous."""
        for path in self._kept():
            path.unlink()
        if self.state.is_dir():
            self.state.rmdir()

    def _clear(self) -> None:
        # The result first: what is left after a cut is then no finished registration.
        for name in (RESULT, *WRITTEN):
            (self.out / name).unlink(missing_ok=True)
        for path in self._kept():
            path.unlink()

    def _is_begun(self) -> bool:
        """Whether there is anything of a registration; one that was refused leaves its inputs alone."""
        return bool(self._kept()) or any(path.name != INPUTS for path in self.files())

    def _kept(self) -> list[Path]:
        return sorted(self.state.glob("*.npz"))

    def _require_same(self, before: Any, now: Mapping[str, Any]) -> None:
        changed = _differences(before if isinstance(before, dict) else {}, now)
        if changed:
            raise ValueError(
                f"{self.out} holds a registration of other inputs: {'; '.join(changed)}. Give another --out, "
                "or --overwrite to begin anew"
            )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Each difference in words."""
    said = []
    if before.get("diffus") != now["diffus"]:
        said.append(f"version {before.get('diffus')} of diffus, now {now['diffus']}")
    earlier = before.get("options", {})
    for name, value in now["options"].items():
        if earlier.get(name) != value:
            said.append(f"{name.replace('_', '-')} was {earlier.get(name)}, now {value}")
    earlier = before.get("files", {})
    for name, value in now["files"].items():
        hashes = [[part["sha256"] for part in parts] for parts in (earlier.get(name, []), value)]
        if hashes[0] != hashes[1]:
            files = ", ".join(part["name"] for part in value) or "none now"
            said.append(f"another content of {name} ({files})")
    return said


def _digest(path: Path) -> dict[str, str]:
    """Name and hash of a file, or of a folder's files by name."""
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    total = hashlib.sha256()
    for part in sorted(path.iterdir()) if path.is_dir() else [path]:
        if part.is_file():
            if path.is_dir():
                total.update(part.name.encode())
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    total.update(block)
    return {"name": path.name, "sha256": total.hexdigest()}
