"""The command line: one file a command, each a dataclass that says what it needs and a ``run`` that does it."""

from diffus.cli.main import main

__all__ = ["main"]
