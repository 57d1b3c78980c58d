"""Shape annotations are enforced in the tests, and the Python examples of README.md and docs/ are run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
import torch
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Triton's interpreter stands in for the GPU where there is none. Triton looks at this when it is imported,
# which torch's compiler may do long before the tests of the kernels are collected.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

SOURCE = Path(__file__).parent / "src"
KERNELS = ("_numba", "_simd", "_triton", "triton_backend")
"""What Numba and Triton compile cannot be wrapped."""


def checked_modules() -> list[str]:
    """Every module whose annotations can be enforced; not packages, which would bring all within."""
    paths = (path for path in sorted(SOURCE.rglob("*.py")) if not path.stem.startswith(("__", *KERNELS)))
    return [".".join(path.relative_to(SOURCE).with_suffix("").parts) for path in paths]


# The numeric tower lets an int stand where a float is asked for, as Python itself does.
jaxtyping.install_import_hook(
    checked_modules(), "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
)


class PageScheduling(LoadScopeScheduling):
    """Tests are shared among processes one by one, but two kinds of files go to one process as a whole.

    The examples of a documentation page build on one another, and tests of the viewer's page share a browser.

    xdist's own groups do not reach the names of tests in pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return file if file.endswith((".md", "viewer/test_page.py")) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> PageScheduling | None:
    """Used where tests run in several processes without another wish."""
    return PageScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="module")
def in_empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Examples write into a folder of their own."""
    folder = tmp_path_factory.mktemp("example")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    fixtures=["in_empty_folder"],
).pytest()
