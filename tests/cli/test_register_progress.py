"""What a long registration shows meanwhile."""

from __future__ import annotations

import io
from collections import deque
from itertools import count

import pytest
from rich.console import Console
from rich.progress import ProgressSample, Task, TaskID

from diffus.cli import register_progress
from diffus.cli.register_progress import _Rate, shown_progress


def test_says_what_is_done_and_of_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=140)
    monkeypatch.setattr(register_progress, "Console", lambda **_: terminal)
    with shown_progress() as told:
        told("survey", 500, 1000)
        _wait_for("500/1000", shown)
        told("stage 1 of 3", 4, 16)
        _wait_for("4/16", shown)
    said = shown.getvalue()
    assert said.index("survey") < said.index("stage 1 of 3")


def _wait_for(words: str, shown: io.StringIO) -> None:
    """The terminal is drawn ten times a second."""
    from time import monotonic, sleep

    end = monotonic() + 10
    while words not in shown.getvalue():
        assert monotonic() < end, f"{words} is not shown"
        sleep(0.02)


@pytest.mark.parametrize(
    ("step_s", "expected"), [(4.0, "4.0 s each"), (1 / 16, "16.0/s"), (None, "")], ids=str
)
def test_rate_in_steps_a_second_or_seconds_a_step(step_s: float | None, expected: str) -> None:
    clock = count()
    task = Task(TaskID(0), "", 100, 5, _get_time=lambda: float(next(clock)))
    task.start_time = 0.0
    if step_s is not None:
        task._progress = deque(ProgressSample(number * step_s, 1) for number in range(6))
    assert _Rate().render(task).plain == expected
