"""The command line: one file a command, each a dataclass of what it needs with a ``run`` that does it."""

from diffus.cli.main import main

__all__ = ["main"]
