"""Registrations that go on where they were cut: each step of a search is kept in a folder as it ends.

    with kept_in("out/state"):
        result = register(frame, medium)

A search is a row of steps, each a function of what came before: run again with the same inputs it meets the
same steps, reads those that were kept and does the others. Tensors keep every bit, so that the answer is that
of a run which was never cut. That the inputs are the same is for the caller to see to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from torch import Tensor

from diffus.registration.archive import read_archive, write_archive

FILE_FORMAT = "diffus-registration-step-2"
"""Steps of a search that ranked poses in another way do not go on in this one."""
FILE_VERSION = 1


@contextmanager
def kept_in(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep the steps of the one registration that runs inside the block, and read those that are there.

    A rigid registration and the deformable one that goes on from it count as one.

    Args:
        folder: of this registration alone; made with the first step that ends.
    """
    token = _CURRENT.set(_Kept(Path(folder)))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def step(name: str, work: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """What a step of a search finds: read when an earlier run kept it, else done now, and kept.

    Outside of `kept_in` it is simply done.

    Args:
        name: of the step, as a file is named; no two of one registration are called alike.
        work: finds tensors by name. Must not draw random numbers from what later steps draw from.

    Raises:
        ValueError: for a name that this registration has had, or a file that is damaged.
    """
    kept = _CURRENT.get()
    return _on_cpu(work()) if kept is None else kept.step(name, work)


class _Kept:
    """The folder of one registration, and which of its steps have been met."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._met: set[str] = set()

    def step(self, name: str, work: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        if name in self._met:
            raise ValueError(
                f"{self._folder} already keeps a step {name!r}: give each registration a kept_in of its own"
            )
        self._met.add(name)
        path = self._folder / f"{name}.npz"
        if path.is_file():
            return read_archive(path, FILE_FORMAT, FILE_VERSION, "registration step")[1]
        found = _on_cpu(work())
        write_archive(path, {"format": FILE_FORMAT, "version": FILE_VERSION, "step": name}, found)
        return found


def _on_cpu(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As they come back from a file, wherever they were found."""
    return {name: tensor.detach().cpu() for name, tensor in found.items()}


_CURRENT: ContextVar[_Kept | None] = ContextVar("kept registration", default=None)
