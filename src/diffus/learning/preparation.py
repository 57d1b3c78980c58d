"""Cases made ready once, kept on disk, and read as they are needed; broken ones are put aside."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffus.files import read_json, write_json
from diffus.learning.case import TrainingCase
from diffus.learning.settings import TrainingSettings
from diffus.registration.volume import SweepGeometry

_READY, _REFUSED = ".safetensors", ".refused.json"

Told = Callable[[str, int, int], None]
"""Told what is being done, how far it is and of how much."""


class PreparedCases(Sequence[TrainingCase]):
    """Cases on disk, the last few read kept in memory.

    Args:
        paths: of cases that `TrainingCase.save` wrote.
        in_memory: how many are kept.
    """

    def __init__(self, paths: Sequence[Path], in_memory: int) -> None:
        self.paths = list(paths)
        self._in_memory = in_memory
        self._held: OrderedDict[int, TrainingCase] = OrderedDict()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> TrainingCase:  # pyright: ignore[reportIncompatibleMethodOverride]
        if index not in self._held:
            self._held[index] = TrainingCase.load(self.paths[index])
        self._held.move_to_end(index)
        while len(self._held) > self._in_memory:
            self._held.popitem(last=False)
        return self._held[index]


def prepare_cases(
    pairs: Sequence[Any],
    folder: Path,
    settings: TrainingSettings,
    geometries: Mapping[str, SweepGeometry] | None = None,
    share: tuple[int, int] = (0, 1),
    told: Told | None = None,
) -> None:
    """Prepare cases and write them into a folder; what is there is left as it is.

    A case that cannot be read or prepared leaves a file that says why, and does not stop the others.

    Args:
        pairs: the cases, each a `diffus.learning.case.PairedCase`; their volumes are read one case at a time.
        folder: where to.
        settings: of the training.
        geometries: how the probe made the ultrasound, by name of the case, where it is known.
        share: number of this process and how many there are; each prepares its share.
        told: progress.
    """
    for number in range(share[0], len(pairs), share[1]):
        pair = pairs[number]
        name = str(pair.case)
        ready, refused = (folder / f"{_file_name(number, name)}{end}" for end in (_READY, _REFUSED))
        if ready.is_file():
            continue
        if told is not None:
            told("preparing cases", number, len(pairs))
        try:
            geometry = (geometries or {}).get(name)
            seed = settings.seed + number
            case = TrainingCase.prepare(pair, settings.contrasts, settings.sampling, geometry, seed)
        except (ValueError, OSError) as error:
            write_json(refused, {"case": name, "why": str(error)})
        else:
            refused.unlink(missing_ok=True)
            case.save(ready)


def prepared_in(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """What `prepare_cases` left in a folder: files of cases, and why others were refused."""
    ready = sorted(folder.glob(f"*{_READY}"))
    refused = [read_json(path, "refused case") for path in sorted(folder.glob(f"*{_REFUSED}"))]
    return ready, {str(entry["case"]): str(entry["why"]) for entry in refused}


def _file_name(number: int, case: str) -> str:
    return f"{number:04d}-" + re.sub(r"[^A-Za-z0-9_.-]", "_", case)[:80]
