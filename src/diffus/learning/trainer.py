"""Trainer: one step after the other, in one process or several, in a state that can be kept and resumed.

What a step draws depends on the seed and the number of the step alone, so that a training that was killed
goes on as if nothing had happened, and several processes know what the others do. Each process renders its
share of the frames; gradients are averaged, as in data parallel training, before a step is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from diffus import pose
from diffus.learning.case import TrainingCase
from diffus.learning.checkpoint import Checkpoint
from diffus.learning.frames import VirtualFrames
from diffus.learning.loss import frame_loss
from diffus.learning.model import TissueModel
from diffus.learning.rendering import box_around, learned_levels
from diffus.learning.settings import TrainingSettings
from diffus.registration.motion import moved, pivot_at

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LEAST_SLOPE = 1e-4
"""Adam divides by the size of slopes; below this they are rounding, which it would make whole steps of."""
_STEPS_PER_SEED = 1_000_003


@dataclass(frozen=True)
class HeldOut:
    """A case, or a part of one, that is never trained on.

    Args:
        case: with the frames that are held out.
        trained_as: number of the training case it is a part of, whose refined transform it shares.
    """

    case: TrainingCase
    trained_as: int | None = None


class Trainer:
    """Model, optimiser and cases of a training.

    Args:
        fabric: launched; says on which device and among how many processes.
        model: what is trained, in place.
        cases: what it is trained on.
        held_out: what it is judged by.
        settings: how.

    Raises:
        ValueError: for no case, or frames that cannot be shared out evenly among the processes.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: TissueModel,
        cases: Sequence[TrainingCase],
        held_out: Sequence[HeldOut],
        settings: TrainingSettings,
    ) -> None:
        if not len(cases):
            raise ValueError("no case to train on")
        if settings.frames_per_step % fabric.world_size:
            raise ValueError(
                f"frames_per_step={settings.frames_per_step} cannot be shared out evenly among "
                f"{fabric.world_size} processes: take a multiple"
            )
        self.fabric, self.settings, self.cases, self.held_out = fabric, settings, cases, held_out
        self.model = model.to(fabric.device)
        self.loss = frame_loss(settings.loss, settings.decibel_per_grey)
        self.steps_taken, self.steps_skipped = 0, 0
        self.departures = [nn.Parameter(torch.zeros(6, dtype=torch.float64)) for _ in cases]
        rate = settings.learning_rate or model.learning_rate
        groups: list[dict[str, Any]] = [{"params": list(model.parameters()), "lr": rate}]
        if settings.transform is not None:
            groups.append({"params": self.departures, "lr": settings.transform.learning_rate})
        self.optimiser = torch.optim.Adam(groups, eps=LEAST_SLOPE)

    def step(self) -> dict[str, Any]:
        """Take one step; returns what the log says of it."""
        number = self.steps_taken
        generator = torch.Generator().manual_seed(self.settings.seed * _STEPS_PER_SEED + number)
        index = self._case_of(number)
        case = self.cases[index]
        drawn = _drawn(len(case.frames), self.settings.frames_per_step, generator)
        mine = drawn[self.fabric.global_rank :: self.fabric.world_size]
        frames = case.frames.chosen(mine)
        levels = self.levels(case, frames, self.departures[index], generator)
        image = self.settings.augmentation.scanner(frames.sweep.image, generator).to(levels)
        losses = self.loss(levels, image, frames.sweep.weights.to(levels))
        data = losses.mean()
        total = data + self.settings.penalty * self.model.penalty()
        if self.settings.transform is not None:
            prior = 0.5 * self.departures[index].square().sum()
            total = total + self.settings.transform.weight * prior.to(total)
        self._descend(total, index)
        self.steps_taken += 1
        mean = self.fabric.all_reduce(data.detach(), reduce_op="mean")
        return {"step": self.steps_taken, "case": case.name, "loss": float(torch.as_tensor(mean))}

    def levels(
        self,
        case: TrainingCase,
        frames: VirtualFrames,
        departure: Float64[Tensor, "6"],
        augmented: torch.Generator | None = None,
    ) -> Float[Tensor, "F S N"]:
        """Frames rendered from what the model makes of the MRI around them, in dB."""
        poses = self.transform(case, departure) @ frames.sweep.world_from_probe
        probe = frames.sweep.probe
        box = box_around(case.mri, probe, poses, margin_voxels=self.model.reach_voxels + 1)
        mri = case.mri.crop(box)
        if augmented is not None:
            middle = pose.transform_points(case.mri_from_ultrasound, case.pivot_mm[None])[0]
            mri = mri.brightened(self.settings.augmentation.receive_field(mri, middle, augmented))
        return learned_levels(self.model, mri.to(self.fabric.device), probe, poses, self.fabric.autocast())

    def transform(self, case: TrainingCase, departure: Float64[Tensor, "6"]) -> Float64[Tensor, "4 4"]:
        """``mri_from_ultrasound`` with what the training found beside it."""
        prior = self.settings.transform
        if prior is None:
            return case.mri_from_ultrasound
        sigma = torch.tensor([prior.sigma_deg] * 3 + [prior.sigma_mm] * 3, dtype=torch.float64)
        return moved(case.mri_from_ultrasound, departure * sigma, pivot_at(case.pivot_mm))

    @torch.no_grad()
    def validate(self) -> float:
        """Mean loss over the frames held out, shared out among the processes; NaN where there are none."""
        self.model.eval()
        total = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)
        for held in self.held_out:
            frames = held.case.frames
            count = min(len(frames), self.settings.validation_frames)
            which = torch.linspace(0, len(frames) - 1, count).round().long()
            mine = frames.chosen(which[self.fabric.global_rank :: self.fabric.world_size])
            if len(mine):
                levels = self.levels(held.case, mine, self.departure_of(held))
                losses = self.loss(levels, mine.sweep.image.to(levels), mine.sweep.weights.to(levels))
                total += torch.stack([losses.double().sum(), losses.new_tensor(len(mine)).double()])
        self.model.train()
        summed = torch.as_tensor(self.fabric.all_reduce(total, reduce_op="sum"))
        return float(summed[0] / summed[1])

    def departure_of(self, held: HeldOut) -> Float64[Tensor, "6"]:
        """Departure from the given transform: that of the training case it is a part of, or none."""
        if held.trained_as is None:
            return torch.zeros(6, dtype=torch.float64)
        return self.departures[held.trained_as].detach()

    def checkpoint(self, best: dict[str, Tensor], words: dict[str, Any]) -> Checkpoint:
        """The state after the steps so far.

        Args:
            best: weights that did best so far.
            words: what else to keep.
        """
        tensors = {f"model.{name}": values for name, values in self.model.state_dict().items()}
        tensors |= {f"best.{name}": values for name, values in best.items()}
        tensors["departures"] = torch.stack([values.detach() for values in self.departures])
        for number, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{number}.{name}": values for name, values in state.items()}
        return Checkpoint(self.steps_taken, tensors, words | {"steps_skipped": self.steps_skipped})

    def restore(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Go back to a checkpoint; returns the weights that did best."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "adam": {}}
        for name, values in checkpoint.tensors.items():
            head, _, rest = name.partition(".")
            if head in parts:
                parts[head][rest] = values
        self.model.load_state_dict(parts["model"])
        with torch.no_grad():
            for parameter, values in zip(self.departures, checkpoint.tensors["departures"], strict=True):
                parameter.copy_(values)
        state: dict[int, dict[str, Tensor]] = {}
        for name, values in parts["adam"].items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = values
        self.optimiser.load_state_dict(
            {"state": state, "param_groups": self.optimiser.state_dict()["param_groups"]}
        )
        self.steps_taken = checkpoint.step
        self.steps_skipped = int(checkpoint.words["steps_skipped"])
        return parts["best"]

    def _case_of(self, step: int) -> int:
        """Each case once in every round, in an order of its own."""
        count = len(self.cases)
        generator = torch.Generator().manual_seed(self.settings.seed * _STEPS_PER_SEED + step // count)
        return int(torch.randperm(count, generator=generator)[step % count])

    def _descend(self, total: Tensor, index: int) -> None:
        """Average the gradients of all processes and step, unless they are not finite."""
        self.optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(total)
        weights = list(self.model.parameters())
        if self.settings.transform is not None:
            weights.append(self.departures[index])
        slopes = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([slope.double().flatten().to(self.fabric.device) for slope in slopes])
        flat = torch.as_tensor(self.fabric.all_reduce(flat, reduce_op="mean"))
        if not bool(flat.isfinite().all()):
            self.steps_skipped += 1
            return
        parts = flat.split([w.numel() for w in weights])
        for weight, part in zip(weights, parts, strict=True):
            weight.grad = part.reshape(weight.shape).to(weight)
        self.optimiser.step()


def _drawn(available: int, wanted: int, generator: torch.Generator) -> Tensor:
    """Numbers of frames, all different as long as there are enough."""
    rounds = -(-wanted // available)
    return torch.cat([torch.randperm(available, generator=generator) for _ in range(rounds)])[:wanted]
