"""A log of one JSON object a line, which a killed run leaves readable and a resumed one continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffus.files import write_text


class TrainingLog:
    """Lines of a file, each written at once.

    Args:
        path: of the file.
        from_step: lines of later steps, which a killed run wrote after its last checkpoint, are dropped.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        self.path = path
        kept = [line for line in read_log(path) if line.get("step", 0) <= from_step] if from_step else []
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, **line: Any) -> None:
        """Append one line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; none where there is no file. A last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines
