"""What tests start as a program of its own, alone or by torchrun: ``run_training.py CASE OUT SETTINGS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from diffus.learning.case import TrainingCase
from diffus.learning.settings import TrainingSettings
from diffus.learning.training import launched, split, train_on


def main(case: Path, out: Path, settings: TrainingSettings) -> None:
    """Train on a prepared case; goes on where an earlier run was killed."""
    torch.set_num_threads(1)
    trained, held_out = split([TrainingCase.load(case)], settings)
    train_on(launched(settings), trained, held_out, out, settings, resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), TrainingSettings.from_dict(json.loads(sys.argv[3])))
