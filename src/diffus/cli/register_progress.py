"""Progress of a registration in the terminal: what is done, how fast, and how long it still takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from diffus.registration.steps import Progress as Told


@contextmanager
def shown_progress() -> Iterator[Told]:
    """Show what a registration tells, on standard error, and wipe it away at the end."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task("begins", total=None)
        shown = ""

        def told(what: str, done: int, most: int) -> None:
            nonlocal shown
            if what != shown:
                bar.reset(task, description=what, total=most)
                shown = what
            bar.update(task, completed=done)

        yield told


class _Rate(ProgressColumn):
    """Steps a second, or seconds a step where they are long."""

    def render(self, task: Task) -> Text:
        """The rate in words."""
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")
