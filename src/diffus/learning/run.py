"""A training on its way: what it has found so far, and what it leaves on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffus.learning.card import load_model, save_model
from diffus.learning.checkpoint import Checkpoint, checkpoints_in
from diffus.learning.log import TrainingLog
from diffus.learning.model import TissueModel
from diffus.learning.panel import save_panel
from diffus.learning.settings import TrainingSettings
from diffus.learning.trainer import HeldOut, Trainer
from diffus.registration.virtual_sweep import frame_points
from diffus.volume import Volume

LEAST_GAIN = 1e-4
"""Fall of the validation loss that counts as an improvement."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Args:
        model: with the weights that did best on what was held out.
        card: path of its card.
        steps: that were taken.
        first_loss: loss on what was held out before training; NaN where nothing was.
        best_loss: after.
        stopped: whether it stopped early, because nothing got better.
        refused: cases that could not be used, and why.
        departures: of each training case, by how much its transform was refined: a rotation vector in
            degrees and a shift in mm, about the middle of its ultrasound.
    """

    model: TissueModel
    card: Path
    steps: int
    first_loss: float
    best_loss: float
    stopped: bool
    refused: Mapping[str, str] = field(default_factory=dict)
    departures: Mapping[str, Sequence[float]] = field(default_factory=dict)


class TrainingRun:
    """The steps of a training, and its files.

    Args:
        trainer: takes the steps.
        out: folder for everything that is written.
        settings: how long, and how often what is due.
    """

    def __init__(self, trainer: Trainer, out: Path, settings: TrainingSettings) -> None:
        self.trainer, self.out, self.settings = trainer, out, settings
        self.first_loss = self.best_loss = float("inf")
        self.best_step, self.waited, self.stopped = 0, 0, False
        self.best: dict[str, Tensor] = {}
        self.log: TrainingLog | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.trainer.fabric.is_global_zero

    def begin(self, resume: bool | str | os.PathLike[str]) -> None:
        """Start anew, or where a checkpoint was."""
        folder = self.out / "checkpoints"
        found = checkpoints_in(folder)
        if resume and (found or not isinstance(resume, bool)):
            checkpoint = Checkpoint.load(found[-1] if isinstance(resume, bool) else Path(resume))
            self.best = self.trainer.restore(checkpoint)
            words = checkpoint.words
            self.first_loss, self.best_loss = words["first_loss"], words["best_loss"]
            self.best_step, self.waited, self.stopped = words["best_step"], words["waited"], words["stopped"]
            if self.leads:
                self.log = TrainingLog(self.out / "log.jsonl", checkpoint.step)
            return
        if self.leads:
            self.log = TrainingLog(self.out / "log.jsonl")
        self._judge()
        self.first_loss = self.best_loss

    def goes_on(self) -> bool:
        """Whether another step is to be taken."""
        return not self.stopped and self.trainer.steps_taken < self.settings.steps

    def step(self) -> None:
        """One step, and what is due after it."""
        said = self.trainer.step()
        taken, settings = self.trainer.steps_taken, self.settings
        last = taken == settings.steps
        self._say(said)
        if taken % settings.validate_every == 0 or last:
            self._judge()
        if self.leads and settings.panel_every and (taken % settings.panel_every == 0 or last):
            save_held_out_panel(self.trainer, self.out / "panels" / f"step-{taken:07d}.png")
        if taken % settings.checkpoint_every == 0 or last or self.stopped:
            self._keep()

    def end(self, refused: Mapping[str, str]) -> TrainingResult:
        """Write the best model and say what came of it."""
        trainer = self.trainer
        trainer.model.load_state_dict(self.best)
        trainer.model.eval()
        card = self.out / "model" / "model.json"
        departures = {
            trainer.cases[number].name: departure.tolist()
            for number, departure in enumerate(self._departures())
        }
        if self.leads:
            training = {
                "settings": self.settings.to_dict(),
                "cases": [case.name for case in trainer.cases],
                "held_out": [held.case.name for held in trainer.held_out],
                "refused": dict(refused),
                "departures_deg_mm": departures,
                "steps": trainer.steps_taken,
                "best_step": self.best_step,
                "steps_skipped": trainer.steps_skipped,
            }
            metrics = {"held_out_loss_before": self.first_loss, "held_out_loss": self.best_loss}
            metrics = metrics if trainer.held_out else {}
            card = save_model(trainer.model, self.out / "model", training, metrics)
        trainer.fabric.barrier()
        return TrainingResult(
            load_model(card),
            card,
            trainer.steps_taken,
            self.first_loss,
            self.best_loss,
            self.stopped,
            dict(refused),
            departures,
        )

    def _judge(self) -> None:
        """Validate; keep the weights if they do best so far, or always where nothing is held out."""
        trainer = self.trainer
        loss = trainer.validate()
        if trainer.held_out:
            self._say({"step": trainer.steps_taken, "held_out_loss": loss})
        if loss < self.best_loss - LEAST_GAIN or not self.best or not trainer.held_out:
            self.best_loss, self.best_step, self.waited = loss, trainer.steps_taken, 0
            state = trainer.model.state_dict()
            self.best = {name: values.detach().cpu().clone() for name, values in state.items()}
        else:
            self.waited += 1
            self.stopped = self.waited >= self.settings.patience

    def _keep(self) -> None:
        if self.leads:
            words: dict[str, Any] = {
                "first_loss": self.first_loss,
                "best_loss": self.best_loss,
                "best_step": self.best_step,
                "waited": self.waited,
                "stopped": self.stopped,
            }
            self.trainer.checkpoint(self.best, words).save(self.out / "checkpoints")

    def _say(self, line: Mapping[str, Any]) -> None:
        if self.log is not None:
            self.log.write(**line)

    def _departures(self) -> list[Tensor]:
        prior = self.settings.transform
        if prior is None:
            return [torch.zeros(6, dtype=torch.float64) for _ in self.trainer.departures]
        sigma = torch.tensor([prior.sigma_deg] * 3 + [prior.sigma_mm] * 3, dtype=torch.float64)
        return [departure.detach() * sigma for departure in self.trainer.departures]


@torch.no_grad()
def save_held_out_panel(trainer: Trainer, path: Path) -> Path:
    """The picture of the middle frame of the first case held out, or else trained on, as the model is now."""
    held = trainer.held_out[0] if trainer.held_out else HeldOut(trainer.cases[0], trained_as=0)
    frames = held.case.frames
    one = frames.chosen(torch.tensor([len(frames) // 2]))
    departure = trainer.departure_of(held)
    levels = trainer.levels(held.case, one, departure)[0].cpu()
    sweep = one.sweep
    points = frame_points(sweep.probe, trainer.transform(held.case, departure) @ sweep.world_from_probe)[0]
    mri = Volume(held.case.mri.intensities[0], held.case.mri.world_from_voxel).sample(points.float())
    role = "held out" if trainer.held_out else "trained on"
    title = f"{held.case.name}, {role}, after {trainer.steps_taken} steps"
    return save_panel(path, sweep.probe, mri, levels, sweep.image[0], sweep.weights[0], title)
