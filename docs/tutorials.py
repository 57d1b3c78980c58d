"""Runs the tutorials, and refreshes their pictures: ``python docs/tutorials.py``.

The Python blocks of each page are its script, one after the other, in an empty folder. With ``--t1 FILE`` the
first tutorial runs on that image instead, and its pictures stay in ``--out``.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

LOG = logging.getLogger("tutorials")
PAGES = Path(__file__).parent / "tutorials"
WITH_T1 = "from-mri-to-registered-frame.md"
DATA = Path(os.environ.get("DIFFUS_DATA", PAGES.parents[2] / "shared" / "data"))
HEAD = DATA / "mri" / "hanke_sub02_T1_0.7mm.nii.gz"
"""A whole head, on which the first tutorial is run as well where it is at hand."""


def script(page: Path) -> str:
    """The Python blocks of a page as one program, each line where it stands in the page."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```python"
        lines.append(line if inside and not line.startswith("```") else "")
    return "\n".join(lines)


def run(page: Path, folder: Path) -> None:
    """Run a page in a folder, where its pictures are left."""
    LOG.info("%s", page.stem)
    with contextlib.chdir(folder):
        exec(compile(script(page), str(page), "exec"), {"__name__": "tutorial"})


def run_on(t1: Path, folder: Path) -> None:
    """Run the first tutorial on an image."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(t1, folder / "head_t1.nii.gz")
    run(PAGES / WITH_T1, folder.resolve())


def refresh(page: Path) -> None:
    """Run a page, and put the pictures it shows into their place."""
    shown = set(re.findall(r"\]\(pictures/(\w+\.png)\)", page.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        run(page, Path(folder))
        for name in shown & {path.name for path in Path(folder).glob("*.png")}:
            shutil.copyfile(Path(folder) / name, PAGES / "pictures" / name)


def main() -> None:
    """Run what was asked for."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description="Run the tutorials and refresh their pictures.")
    parser.add_argument("--t1", type=Path, help="T1 image (.nii.gz): run the first tutorial on it instead")
    parser.add_argument("--out", type=Path, default=Path("out/tutorial"), help="folder of its pictures")
    given = parser.parse_args()
    if given.t1:
        run_on(given.t1, given.out)
        return
    for page in sorted(PAGES.glob("*.md")):
        refresh(page)
    if not HEAD.is_file():
        LOG.warning("%s is not at hand: its picture is left as it is", HEAD)
        return
    with tempfile.TemporaryDirectory() as folder:
        run_on(HEAD, Path(folder))
        shutil.copyfile(Path(folder) / "registered.png", PAGES / "pictures" / "hanke_registered.png")


if __name__ == "__main__":
    main()
