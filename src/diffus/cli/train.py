"""``diffus train``: a tissue model from paired MRI and ultrasound."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from diffus.cli.outputs import report_outputs
from diffus.cli.register_progress import shown_progress
from diffus.files import read_json

if TYPE_CHECKING:
    from diffus.datasets.paired_dataset import DeferredPair, PairedDataset
    from diffus.learning.run import TrainingResult
    from diffus.learning.settings import TrainingSettings

_OPTIONS = ("model", "contrasts", "steps", "learning_rate", "loss", "precision", "seed")
"""Fields of the settings that are options of the command."""


@dataclass(frozen=True)
class Train:
    """Learn what tissue is to a wave from pairs of MRI and swept ultrasound.

    DATA is the folder of ReMIND2Reg or of RESECT, a CSV with a row for each patient (columns us, and cet1,
    t1, t2 or flair), or a configuration: a JSON file as {"data": "pairs.csv", "settings": {"steps": 800}},
    where any field of diffus.learning.settings.TrainingSettings can be set. Options given here go before it.
    Cases that cannot be used are listed and left out. Started by torchrun, processes share the work.

    Example: diffus train ReMIND2Reg --model voxel --steps 400 --out out/train

    Then: diffus render head_cet1.nii.gz --contrast cet1 --model out/train/model --out out/learned

    Args:
        data: dataset or configuration.
        out: folder for everything that is written.
        model: voxel (curves over intensity, and boundaries that scatter), convolutional, or published.
        contrasts: what the model is to read: t1, cet1, t2, flair; by default what the data have.
        steps: at most; training ends sooner when what is held out gets no better.
        learning_rate: of Adam; by default that of the model.
        loss: local_ncc or rayleigh.
        precision: 32-true, or bf16-mixed for networks in half precision.
        seed: of everything that is drawn.
        resume: go on from the newest checkpoint in the output folder, with the settings it was begun with.
        checkpoint: go on from this one instead.
    """

    data: tyro.conf.Positional[Path]
    out: Path = Path("out/train")
    model: str | None = None
    contrasts: tuple[str, ...] = ()
    steps: int | None = None
    learning_rate: float | None = None
    loss: str | None = None
    precision: str | None = None
    seed: int | None = None
    resume: bool = False
    checkpoint: Path | None = None

    def run(self) -> None:
        """Train and write."""
        from diffus.learning.training import train

        data, settings = self._read()
        resume = self.checkpoint or self.resume
        if os.environ.get("RANK", "0") != "0":
            train(data, self.out, settings, resume=resume)
            return
        with shown_progress() as told:
            result = train(data, self.out, settings, resume=resume, told=told)
        report_outputs(self._written(result))
        _report(result)

    def _read(self) -> tuple[list[DeferredPair], TrainingSettings]:
        """The cases and the settings."""
        from diffus.learning.settings import TrainingSettings

        place, said = self.data, {}
        if self.data.suffix.lower() == ".json":
            content = read_json(self.data, "configuration")
            if isinstance(content, dict) and ("data" in content or "settings" in content):
                if not isinstance(content.get("data"), str):
                    raise ValueError(f'{self.data}: expected "data", the path of the dataset, in it')
                place, said = self.data.parent / content["data"], dict(content.get("settings", {}))
        data = open_pairs(place)
        begun = self.out / "config.json"
        if (self.resume or self.checkpoint) and begun.is_file():
            said = dict(read_json(begun, "training settings")["settings"]) | said
        given = {name: getattr(self, name) for name in _OPTIONS}
        said |= {name: value for name, value in given.items() if value not in (None, ())}
        if "contrasts" not in said:
            said["contrasts"] = list(dict.fromkeys(name for case in data.cases for name in case.contrasts))
        return data.deferred(), TrainingSettings.from_dict(said)

    def _written(self, result: TrainingResult) -> dict[str, Path]:
        written = {"model": result.card, "log": self.out / "log.jsonl", "settings": self.out / "config.json"}
        panels = self.out / "panels"
        return written | ({"pictures": panels} if panels.is_dir() else {})


def open_pairs(place: Path) -> PairedDataset:
    """A dataset by what lies at a place: a CSV, ReMIND2Reg, or RESECT.

    Raises:
        FileNotFoundError: when nothing lies there, or no such dataset.
        ValueError: as the readers.
    """
    from diffus.datasets import paired, remind2reg, resect

    if not place.exists():
        raise FileNotFoundError(
            f"no data at {place}: expected the folder of ReMIND2Reg or RESECT, a CSV of pairs, or a JSON "
            "configuration"
        )
    if place.suffix.lower() == ".csv":
        return paired.open_dataset(place)
    try:
        remind2reg.find_json(place)
    except FileNotFoundError:
        return resect.open_dataset(place)
    return remind2reg.open_dataset(place)


def _report(result: TrainingResult) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    why = "nothing got better" if result.stopped else "all steps were taken"
    said: list[Any] = [
        f"{result.steps} steps, then {why}. Loss on what was held out: {result.first_loss:.4f} before, "
        f"{result.best_loss:.4f} after."
    ]
    said += [f"left out {case}: {reason}" for case, reason in result.refused.items()]
    for line in said:
        console.print(line, markup=False)
