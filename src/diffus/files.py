"""Writing files so that nothing is lost: aside first, then moved into place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def write_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place when the block succeeds.

    A killed run leaves the old file or the new one, never half of either. The temporary name keeps the
    full extension, because image writers choose the format by it. Missing parent folders are made.

    Raises:
        ValueError: when the folder cannot be made or written to.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(f"{target} is a folder")
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    except OSError as error:
        raise ValueError(
            f"cannot write {target}: {error.strerror or error}; give a path in a folder you may write to"
        ) from error
    temporary = aside / target.name
    try:
        yield temporary
        temporary.replace(target)
    finally:
        for leftover in aside.iterdir():
            leftover.unlink()
        aside.rmdir()


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write text as UTF-8, atomically, and return the path."""
    with write_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """Write indented JSON, atomically, and return the path."""
    return write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """Read JSON, refusing with the file's name and its role.

    Args:
        path: the file.
        what: its role in words, for the message (``"pose"``).

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is not JSON.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"{what} file not found: {source}")
    try:
        return json.loads(source.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{source} is not a JSON {what} file: {error}") from error
