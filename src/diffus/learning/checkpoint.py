"""Checkpoints of a training: everything that decides how it goes on, as safetensors. No code is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from diffus.learning.card import digest_of, read_tensors, write_tensors

FILE_FORMAT = "diffus-training-checkpoint"
FILE_VERSION = 1
KEPT = 2
"""The newest, and the one before it in case the newest is damaged."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a training after a step.

    Args:
        step: steps that were taken.
        tensors: weights, state of the optimiser, best weights, by name.
        words: everything else, as plain values.
    """

    step: int
    tensors: Mapping[str, Tensor]
    words: Mapping[str, Any]

    def save(self, folder: Path) -> Path:
        """Write the checkpoint, and remove all but the newest few."""
        path = folder / f"step-{self.step:07d}.safetensors"
        said = {
            "format": FILE_FORMAT,
            "version": FILE_VERSION,
            "step": self.step,
            "sha256": digest_of(self.tensors),
            "words": dict(self.words),
        }
        contiguous = {name: values.detach().cpu().contiguous() for name, values in self.tensors.items()}
        write_tensors(path, contiguous, {"checkpoint": json.dumps(said)})
        for old in checkpoints_in(folder)[:-KEPT]:
            old.unlink()
        return path

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is damaged, not a checkpoint or of a newer version; the message names the
                checkpoint before it, if there is one.
        """
        try:
            return cls._read(path)
        except ValueError as error:
            earlier = [other for other in checkpoints_in(path.parent) if other.name < path.name]
            way_out = (
                f"resume from the one before it: {earlier[-1]}"
                if earlier
                else "there is none before it: start anew"
            )
            raise ValueError(f"checkpoint {path} cannot be used ({error}); {way_out}") from error

    @classmethod
    def _read(cls, path: Path) -> Checkpoint:
        tensors, words = read_tensors(path, "a checkpoint")
        try:
            said = json.loads(words.get("checkpoint", "{}"))
        except json.JSONDecodeError:
            said = {}
        if said.get("format") != FILE_FORMAT:
            raise ValueError("it is not a training checkpoint")
        if said.get("version", 0) > FILE_VERSION:
            raise ValueError(f"its version is {said['version']}, this program reads up to {FILE_VERSION}")
        if digest_of(tensors) != said["sha256"]:
            raise ValueError("its content is damaged")
        return cls(int(said["step"]), tensors, said["words"])


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a folder, the newest last."""
    return sorted(folder.glob("step-*.safetensors"))
