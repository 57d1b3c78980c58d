"""Peak memory of training on pairs as large as ReMIND2Reg's: 256^3, two contrasts, from the files on."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from diffus.datasets.simulate import simulate_dataset
from diffus.datasets.simulation_settings import SimulationSettings

SIZE = 256
TRAIN = """
import resource, sys, tempfile
import torch
torch.set_num_threads(2)
from diffus.datasets import remind2reg
from diffus.learning.settings import TrainingSettings
from diffus.learning.training import train
pairs = remind2reg.open_dataset(sys.argv[1], "training").deferred()
settings = TrainingSettings(model=sys.argv[2], contrasts=("cet1", "t2"), steps=4)
with tempfile.TemporaryDirectory() as out:
    train(pairs, out, settings)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
"""


def peaks_gb(kinds: tuple[str, ...]) -> dict[str, float]:
    """Peak resident memory in GB of four steps of 8 frames, in a process of its own, by kind of model."""
    with tempfile.TemporaryDirectory() as folder:
        simulate_dataset(folder, settings=SimulationSettings(cases=2, size=SIZE, n_frames=40))
        return {kind: _peak_gb(Path(folder), kind) for kind in kinds}


def _peak_gb(folder: Path, kind: str) -> float:
    command = [sys.executable, "-c", TRAIN, str(folder), kind]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
