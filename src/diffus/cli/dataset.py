"""``diffus dataset``: check a paired dataset, or make one to rehearse with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console

from diffus.cli.outputs import report_outputs
from diffus.datasets.simulation_settings import SimulationSettings

if TYPE_CHECKING:
    from rich.table import Table

    from diffus.datasets.check import CaseReport, DatasetReport, Told

PROBLEMS = 1
"""Exit status when something is wrong with the dataset."""
_LISTED = 12
"""Missing files that are named one by one."""


@dataclass(frozen=True)
class Check:
    """Read every file of a dataset and list what is absent, broken, empty, misplaced or swapped.

    The dataset is ReMIND2Reg or one made by `diffus dataset simulate` (a folder with its JSON), RESECT (a
    folder), or a CSV of pairs. A broken case is reported and does not stop the others. The exit status is 0
    when all is well, 1 when something is wrong, 2 when there is no dataset.

    Example: diffus dataset check ReMIND2Reg

    Args:
        dataset: folder or CSV.
    """

    dataset: tyro.conf.Positional[Path]

    def run(self) -> int:
        """Check, and print a table."""
        from diffus.datasets.check import check_dataset

        with _progress() as told:
            report = check_dataset(self.dataset, told)
        _print_report(report)
        return 0 if report.is_fine else PROBLEMS


@dataclass(frozen=True)
class Simulate:
    """Make a dataset in the layout of ReMIND2Reg, with the truth beside it.

    Ultrasound is rendered with hidden acoustic values, swept over a craniotomy and put together into a
    volume, which lies a known rigid motion away from the MRI. A run that was cut goes on where it was.

    Example: diffus dataset simulate --out out/rehearsal --cases 6 --size 128 --spacing-mm 1

    Args:
        mri: MRI of a head to simulate from; by default the embedded brain.
        contrast: what it shows: t1, cet1 or t2.
        settings: what is made.
        out: the dataset's folder.
    """

    mri: Path | None = None
    contrast: str = "t1"
    settings: tyro.conf.OmitArgPrefixes[SimulationSettings] = field(default_factory=SimulationSettings)
    out: Path = Path("out/simulated")

    def run(self) -> None:
        """Simulate, and say where everything is."""
        from diffus.datasets.simulate import TRUTH, simulate_dataset

        with _progress() as told:
            path = simulate_dataset(self.out, self.mri, self.contrast, self.settings, told)
        report_outputs(
            {"dataset": path, "volumes": self.out / "imagesTr", "what is hidden": self.out / TRUTH}
        )


@dataclass(frozen=True)
class Dataset:
    """Check a paired dataset, or simulate one.

    Example: diffus dataset check ReMIND2Reg

    Example: diffus dataset simulate --out out/rehearsal --cases 6

    Args:
        action: what to do.
    """

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Simulate, tyro.conf.subcommand("simulate")]
    ]

    def run(self) -> int | None:
        """Do it."""
        return self.action.run()


@contextmanager
def _progress() -> Iterator[Told]:
    """Show cases as they are done, on standard error, and wipe it away at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, transient=True, console=Console(stderr=True))
    task = bar.add_task("", total=None)

    def told(what: str, done: int, most: int) -> None:
        bar.start()  # not before there is something to tell: a refusal is one line
        bar.update(task, description=what, completed=done, total=most)

    try:
        yield told
    finally:
        if bar.live.is_started:
            bar.stop()


def _print_report(report: DatasetReport) -> None:
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{report.kind} at {report.root}: {_counted(report)}", markup=False)
    console.print(_table(report))
    for case in report.cases:
        for kind, found in (("error", case.problems), ("warning", case.warnings)):
            for text in found:
                console.print(f"{kind}: {case.case}: {text}", markup=False)
    missing = report.missing
    if missing:
        console.print(f"{len(missing)} files are missing:", markup=False)
        for path in missing[:_LISTED]:
            console.print(f"  {path}", markup=False)
        if len(missing) > _LISTED:
            console.print(f"  and {len(missing) - _LISTED} more", markup=False)
        console.print(f"Where to get them: {report.source}", markup=False)


def _counted(report: DatasetReport) -> str:
    broken = sum(not case.is_fine for case in report.cases)
    state = "all is well" if report.is_fine else f"something is wrong with {broken}"
    return f"{len(report.cases)} cases, {state}"


def _table(report: DatasetReport) -> Table:
    from rich import box
    from rich.table import Table

    contrasts = list(dict.fromkeys(name for case in report.cases for name in case.has))
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("case", "split", *contrasts, "state"):
        table.add_column(heading)
    for case in report.cases:
        cells = ["yes" if name in case.has else "-" for name in contrasts]
        table.add_row(case.case, case.split, *cells, _state(case))
    return table


def _state(case: CaseReport) -> str:
    parts = [
        f"{len(found)} {what}{'s' if len(found) > 1 and what != 'missing' else ''}"
        for what, found in (
            ("missing", case.missing),
            ("error", case.problems),
            ("warning", case.warnings),
        )
        if found
    ]
    return ", ".join(parts) or "fine"
