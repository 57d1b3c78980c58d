"""Entry point: parse, run, and turn every refusal into one line and exit status 2."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Sequence

import tyro
from rich.console import Console
from rich.logging import RichHandler

import diffus
from diffus.cli.dataset import Dataset
from diffus.cli.demo import Demo
from diffus.cli.evaluate import Evaluate
from diffus.cli.info import Info
from diffus.cli.register import Register
from diffus.cli.render import Render
from diffus.cli.scalars import REGISTRY
from diffus.cli.sector import FindSector
from diffus.cli.sweep import Sweep
from diffus.cli.train import Train
from diffus.cli.view import View

COMMANDS: dict[str, type] = {
    "demo": Demo,
    "info": Info,
    "render": Render,
    "sweep": Sweep,
    "view": View,
    "sector": FindSector,
    "register": Register,
    "dataset": Dataset,
    "train": Train,
    "evaluate": Evaluate,
}
"""Command classes by name; each has ``run()``, which may return an exit status."""

DESCRIPTION = "Differentiable B-mode ultrasound rendered from MRI, CT and label maps."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 2 after a refusal in one line, or what the command says.

    Args:
        arguments: as given in the shell, without the program's name; by default those of this process.
    """
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=errors)])
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["--version"]:
        Console(highlight=False).print(f"diffus {diffus.__version__}")
        return 0
    try:
        command = _parse(given)
        status = command.run()  # pyright: ignore[reportAttributeAccessIssue]
    except _UsageError as error:
        errors.print(f"diffus: {error}", markup=False)
        return 2
    except (ValueError, FileNotFoundError) as error:
        errors.print(f"diffus: {_one_line(str(error))}", markup=False)
        return 2
    except BrokenPipeError:
        # What reads the output has gone, as `head` does; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        errors.print("diffus: stopped")
        return 130
    return status or 0


class _UsageError(Exception):
    """A command line that cannot be parsed, in one line."""


def _parse(arguments: list[str]) -> object:
    said = io.StringIO()
    try:
        # The parser draws a box of many lines; it is caught here and folded into one.
        with contextlib.redirect_stderr(said), REGISTRY:
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                prog="diffus",
                description=DESCRIPTION,
                args=arguments or ["--help"],
                use_underscores=False,
            )
    except SystemExit as stop:
        if stop.code in (None, 0):
            raise
        raise _UsageError(_one_line(said.getvalue())) from None


def _one_line(text: str) -> str:
    """Text without box-drawing characters, colours and line breaks."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", " ", text)
    return re.sub(r"\s+", " ", plain).strip()
