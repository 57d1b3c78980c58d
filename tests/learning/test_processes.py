"""Training in processes of their own: two are as one, and one that is killed loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.learning.paired import SAMPLING, prepared

from diffus.learning.checkpoint import Checkpoint, checkpoints_in
from diffus.learning.settings import TrainingSettings, TransformPrior

PROGRAM = Path(__file__).with_name("run_training.py")
SETTINGS = TrainingSettings(
    contrasts=("t1",),
    steps=20,
    frames_per_step=4,
    sampling=SAMPLING,
    validate_every=10,
    checkpoint_every=2,
    panel_every=0,
    transform=TransformPrior(),
)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("case") / "case.safetensors"
    prepared().save(path)
    return path


def started(case: Path, out: Path, settings: TrainingSettings, *launcher: str) -> subprocess.Popen[str]:
    words = [sys.executable, *launcher, str(PROGRAM), str(case), str(out), json.dumps(settings.to_dict())]
    return subprocess.Popen(
        words, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )


def finished(case: Path, out: Path, settings: TrainingSettings, *launcher: str) -> Checkpoint:
    running = started(case, out, settings, *launcher)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    return Checkpoint.load(checkpoints_in(out / "checkpoints")[-1])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["voxel", "convolutional"])
def test_two_processes_are_as_one(model: str, case: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, model=model)
    one = finished(case, tmp_path / "one", settings)
    two = finished(case, tmp_path / "two", settings, *TORCHRUN)
    assert one.step == two.step == SETTINGS.steps
    apart = {name: float((two.tensors[name] - values).abs().max()) for name, values in one.tensors.items()}
    assert max(value for name, value in apart.items() if name.startswith("model.")) < 1e-5
    # In standard deviations: the slopes of poses are sums of single precision, whose rounding Adam enlarges.
    assert apart["departures"] < 1e-3


@pytest.mark.slow
def test_a_process_that_is_killed_loses_nothing(case: Path, tmp_path: Path) -> None:
    expected = finished(case, tmp_path / "whole", SETTINGS)
    out, moment = tmp_path / "killed", random.Random(os.getpid())
    for _ in range(3):
        running = started(case, out, SETTINGS)
        before = len(checkpoints_in(out / "checkpoints"))
        for _ in range(600):
            if running.poll() is not None or len(checkpoints_in(out / "checkpoints")) > before:
                break
            time.sleep(0.05)
        time.sleep(moment.uniform(0, 0.5))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    found = finished(case, out, SETTINGS)
    assert found.step == expected.step
    for name, values in expected.tensors.items():
        assert torch.equal(found.tensors[name], values), name
