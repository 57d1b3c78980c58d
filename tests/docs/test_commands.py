"""Every ``diffus`` command in the documentation is one that the program takes; none is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, fenced, name_of

from diffus.cli.main import COMMANDS, _parse, _UsageError

CALL = re.compile(r"^(?:.*-m )?diffus (.+)$", re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Arguments of each command in the code blocks of a page."""
    for language, content in fenced(page.read_text(encoding="utf-8")):
        if language != "python":
            for line in CALL.findall(content.replace("\\\n", " ")):
                yield shlex.split(line, comments=True)


def is_taken(arguments: list[str]) -> bool:
    try:
        _parse(arguments)
    except _UsageError:
        return False
    except SystemExit:
        return True  # --help
    return True


@pytest.mark.parametrize("page", [page for page in PAGES if any(True for _ in commands(page))], ids=name_of)
def test_commands_are_taken(page: Path) -> None:
    assert [" ".join(arguments) for arguments in commands(page) if not is_taken(arguments)] == []


def test_a_command_that_is_not_taken_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\ndiffus info head.nii.gz  # fine\ndiffus info head.nii.gz --nonsense 3\n```\n")
    assert [is_taken(arguments) for arguments in commands(page)] == [True, False]


def test_every_command_is_shown_somewhere() -> None:
    shown = {arguments[0] for page in PAGES for arguments in commands(page)}
    assert set(COMMANDS) - shown == set()
