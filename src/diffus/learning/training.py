"""Training of a tissue model on paired MRI and ultrasound: from cases to a model in a folder.

What lies in the output folder: ``config.json`` (settings), ``prepared/`` (cases made ready, and why others
were refused), ``log.jsonl``, ``panels/`` (pictures), ``checkpoints/``, and at the end ``model/``, which
`diffus.learning.load_model` and ``diffus render --model`` read.

Run by ``torchrun`` it shares the work out among processes; alone it takes a GPU if there is one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from diffus.extras import import_extra
from diffus.files import read_json, write_json
from diffus.learning.case import TrainingCase
from diffus.learning.checkpoint import checkpoints_in
from diffus.learning.model import TissueModel
from diffus.learning.preparation import PreparedCases, Told, prepare_cases, prepared_in
from diffus.learning.registry import first_model
from diffus.learning.run import TrainingResult, TrainingRun
from diffus.learning.settings import TrainingSettings
from diffus.learning.trainer import HeldOut, Trainer
from diffus.registration.volume import SweepGeometry

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_FREE_TO_CHANGE = ("steps", "patience", "checkpoint_every", "panel_every", "cases_in_memory")
"""Settings that a resumed training may have otherwise."""


def train(
    pairs: Sequence[Any],
    out: str | os.PathLike[str],
    settings: TrainingSettings | None = None,
    *,
    geometries: Mapping[str, SweepGeometry] | None = None,
    resume: bool | str | os.PathLike[str] = False,
    told: Told | None = None,
) -> TrainingResult:
    """Train a tissue model.

    Args:
        pairs: cases, each a `diffus.learning.case.PairedCase`; ``deferred()`` of a dataset gives those that
            are read one at a time. A case that is broken is put aside.
        out: folder for everything that is written.
        settings: how.
        geometries: how the probe made the ultrasound of a case, by its name; found in the ultrasound where
            it is not given.
        resume: go on from the newest checkpoint in the folder, or from the one named.
        told: progress.

    Raises:
        ValueError: when lightning-fabric or safetensors is not installed; when no case can be used, naming
            why; when the folder holds a training and ``resume`` is false, or one of other settings.
    """
    settings = settings or TrainingSettings()
    where = Path(out)
    fabric = launched(settings)
    _check_folder(where, settings, bool(resume))
    fabric.barrier()
    if fabric.is_global_zero and not resume:
        shutil.rmtree(where / "prepared", ignore_errors=True)
        write_json(where / "config.json", {"settings": settings.to_dict()})
    fabric.barrier()
    share = (fabric.global_rank, fabric.world_size)
    prepare_cases(pairs, where / "prepared", settings, geometries, share, told)
    fabric.barrier()
    ready, refused = prepared_in(where / "prepared")
    if not ready:
        why = "; ".join(f"{case}: {reason}" for case, reason in refused.items()) or "none was given"
        raise ValueError(f"no case can be trained on ({why})")
    cases = PreparedCases(ready, settings.cases_in_memory)
    trained, held_out = split(cases, settings)
    return train_on(fabric, trained, held_out, where, settings, resume=resume, refused=refused, told=told)


def train_on(
    fabric: Fabric,
    cases: Sequence[TrainingCase],
    held_out: Sequence[HeldOut],
    out: Path,
    settings: TrainingSettings,
    *,
    model: TissueModel | None = None,
    resume: bool | str | os.PathLike[str] = False,
    refused: Mapping[str, str] | None = None,
    told: Told | None = None,
) -> TrainingResult:
    """Train on cases that are prepared; see `train`.

    Args:
        fabric: from `launched`.
        cases: to train on.
        held_out: to judge by; with nothing the last weights are kept.
        out: folder for everything that is written.
        settings: how.
        model: to go on training; by default one that begins at the untrained medium.
        resume: as `train`.
        refused: cases that were put aside before, for the result.
        told: progress.
    """
    first = model or first_model(settings.model, settings.contrasts, settings.model_options)
    trainer = Trainer(fabric, first, cases, held_out, settings)
    run = TrainingRun(trainer, out, settings)
    run.begin(resume)
    while run.goes_on():
        run.step()
        if told is not None:
            told(f"training, held out {run.best_loss:.4f}", trainer.steps_taken, settings.steps)
    return run.end(refused or {})


def launched(settings: TrainingSettings) -> Fabric:
    """Lightning Fabric for this machine: torchrun's processes, else one GPU, else the CPU.

    Raises:
        ValueError: when it is not installed.
    """
    fabric_module = import_extra("lightning_fabric", "learn", "training")
    gpu = torch.cuda.is_available()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    fabric = fabric_module.Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=processes,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // processes,
        strategy="ddp" if several else "auto",
        precision=settings.precision,
    )
    fabric.launch()
    return fabric


def split(
    cases: Sequence[TrainingCase], settings: TrainingSettings
) -> tuple[Sequence[TrainingCase], list[HeldOut]]:
    """Cases to train on, and what is held out: some of the cases, or an end of the sweep of a single one."""
    share = settings.validation_share
    if len(cases) == 1:
        whole = cases[0]
        return [whole.part(0.0, 1 - share)], [HeldOut(whole.part(1 - share, 1.01), trained_as=0)]
    count = min(len(cases) - 1, max(1, round(share * len(cases))))
    order = torch.randperm(len(cases), generator=torch.Generator().manual_seed(settings.seed)).tolist()
    held, kept = sorted(order[:count]), sorted(order[count:])
    if isinstance(cases, PreparedCases):
        trained: Sequence[TrainingCase] = PreparedCases(
            [cases.paths[number] for number in kept], settings.cases_in_memory
        )
    else:
        trained = [cases[number] for number in kept]
    return trained, [HeldOut(cases[number]) for number in held]


def _check_folder(out: Path, settings: TrainingSettings, resume: bool) -> None:
    """Refuse a folder with another training in it."""
    if not checkpoints_in(out / "checkpoints"):
        return
    if not resume:
        raise ValueError(f"{out} holds a training: resume it (--resume), or give another folder (--out)")
    before = dict(read_json(out / "config.json", "training settings")["settings"])
    now = settings.to_dict()
    changed = [name for name in now if name not in _FREE_TO_CHANGE and before.get(name) != _plain(now[name])]
    if changed:
        raise ValueError(
            f"{out} holds a training of other settings ({', '.join(changed)} differ): resume it with its own "
            "config.json, or give another folder (--out)"
        )


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
