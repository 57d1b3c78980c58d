"""``diffus evaluate``: a tissue model judged on pairs that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from diffus.checks import require_in_range
from diffus.cli.outputs import report_outputs
from diffus.cli.register_progress import shown_progress
from diffus.cli.train import open_pairs
from diffus.files import write_text

if TYPE_CHECKING:
    from rich.table import Table

    from diffus.datasets.pair import Pair
    from diffus.datasets.paired_dataset import PairedDataset
    from diffus.learning.evaluation import CaseEvaluation, Evaluation, EvaluationSettings

SKIPPED = 1
"""Exit status when some cases could not be evaluated."""
FIELDS = "fields"
"""Folder of the displacement fields, within the output folder."""


@dataclass(frozen=True)
class Evaluate:
    """Compare frames rendered from a tissue model's medium with real ultrasound, and score landmarks.

    The dataset is the folder of ReMIND2Reg or of RESECT, or a CSV of pairs. A case that cannot be used is
    named and left out. The exit status is 0 when every case was evaluated, 1 when some were not, saying
    why, and 2 for input that cannot be used. With --register each ultrasound is also registered to the
    model's medium, and for ReMIND2Reg the displacement fields are written as the challenge takes them.

    Example: diffus evaluate ReMIND2Reg --model out/train/model --out out/evaluation

    Example: diffus evaluate ReMIND2Reg --model out/train/model --register --cases 2 --out out/registered

    Args:
        dataset: folder or CSV.
        model: folder or card of a trained model; by default the untrained medium is judged.
        split: part of the dataset; by default validation for ReMIND2Reg, every case for others.
        out: folder for everything that is written.
        register: register each ultrasound to the MRI too; minutes a case.
        cases: only the first so many.
        frames: planes that are cut along each sweep; twice as many are tilted.
        survey: of the registration, motions tried at first. By default 256.
        starts: of the registration, descents. By default 12.
        seed: of everything that is drawn.
    """

    dataset: tyro.conf.Positional[Path]
    model: Path | None = None
    split: str | None = None
    out: Path = Path("out/evaluation")
    register: bool = False
    cases: int | None = None
    frames: int = 32
    survey: int | None = None
    starts: int | None = None
    seed: int = 0

    def run(self) -> int:
        """Evaluate, write, and print a table."""
        from diffus.learning import load_model
        from diffus.learning.evaluation import evaluate
        from diffus.learning.evaluation_report import save_fields, write_evaluation

        settings = self._settings()
        data, is_challenge = self._open()
        model = None if self.model is None else load_model(self.model)
        files = {case.case: case for case in data.cases}
        fields: list[Path] = []

        def finished(pair: Pair, found: CaseEvaluation) -> None:
            if is_challenge and found.registered is not None:
                fields.extend(save_fields(self.out / FIELDS, files[pair.case], pair, found.registered))

        # A folder that cannot be written to is refused now, not after hours.
        write_text(self.out / ".begun", "").unlink()
        with shown_progress() as told:
            found = evaluate(model, data.deferred()[: self.cases], settings, finished=finished, told=told)
        written = write_evaluation(self.out, found)
        for earlier in (self.out / FIELDS).glob("disp_*.nii.gz"):
            if earlier not in fields:  # of another evaluation
                earlier.unlink()
        if fields:
            written["fields"] = self.out / FIELDS
        report_outputs(written)
        _print_table(found)
        return SKIPPED if found.skipped else 0

    def _settings(self) -> EvaluationSettings:
        from diffus.learning.evaluation import EvaluationSettings
        from diffus.learning.frames import FrameSampling
        from diffus.registration import SearchSettings, VolumeSettings

        if self.cases is not None:
            require_in_range("evaluate", 1, 10**6, cases=self.cases)
        given = {"n_starts": self.survey, "n_descents": self.starts}
        search = SearchSettings(seed=self.seed, **{k: v for k, v in given.items() if v is not None})
        return EvaluationSettings(
            sampling=FrameSampling(n_frames=self.frames),
            register=self.register,
            registration=VolumeSettings(search=search),
            seed=self.seed,
        )

    def _open(self) -> tuple[PairedDataset, bool]:
        """The cases of the split, and whether they are the challenge's."""
        from diffus.datasets import remind2reg

        is_challenge = self.dataset.suffix.lower() != ".csv" and _holds_challenge(self.dataset)
        if is_challenge:
            data = remind2reg.open_dataset(self.dataset, self.split or "validation")
        else:
            data = open_pairs(self.dataset)
            if self.split is not None:
                known = sorted({case.split for case in data.cases})
                data = data.where(lambda case: case.split == self.split)
                if not len(data):
                    raise ValueError(
                        f"{self.dataset} has no case of split {self.split!r}: expected one of "
                        f"{', '.join(known)}"
                    )
        if not len(data):
            raise ValueError(
                f"{self.dataset} has no case with ultrasound and MRI in this split: name another (--split)"
            )
        return data, is_challenge


def _holds_challenge(place: Path) -> bool:
    from diffus.datasets import remind2reg

    try:
        remind2reg.find_json(place)
    except FileNotFoundError:
        return False
    return True


def _print_table(found: Evaluation) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(found))
    for case, reason in found.skipped.items():
        console.print(f"skipped {case}: {reason}", markup=False)


def _table(found: Evaluation) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from diffus.learning.frame_scores import MEASURES

    table = Table(box=box.SIMPLE_HEAD, title=f"{found.model} model, {len(found.cases)} cases")
    after = ("TRE after (mm)", "verdict") if found.settings.register else ()
    for heading in ("case", *(name.replace("_", " ") for name in MEASURES), "TRE (mm)", *after):
        table.add_column(heading)
    for case in found.cases:
        registered = case.registered
        ends = [] if registered is None else [_shown(registered.tre_mm, 2), registered.verdict]
        scores = [_shown(getattr(case.mean, name), 3) for name in MEASURES]
        table.add_row(escape(case.case), *scores, _shown(case.tre_mm, 2), *ends)
    ends = [_shown(found.registered_tre_mm, 2), ""] if after else []
    scores = [_shown(getattr(found.mean, name), 3) for name in MEASURES]
    table.add_section()
    table.add_row("mean", *scores, _shown(found.tre_mm, 2), *ends)
    return table


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
