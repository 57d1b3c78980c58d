from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs.pages import ROOT

ROOMS = ("", ".propagation", ".similarity", ".registration", ".learning", ".segmentation", ".plot")
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\bsrc=["'](?P<src>[^"']+)|"""
    r"""<link\b(?=[^>]*\brel=["']?(?:stylesheet|preconnect|icon|preload))[^>]*\bhref=["'](?P<href>[^"']+)|"""
    r"""@import\s+url\((?P<url>[^)]+)"""
)


def loaded_from_outside(text: str) -> list[str]:
    """Addresses on other hosts that a page would load by itself."""
    found = [match["src"] or match["href"] or match["url"] for match in LOADED.finditer(text)]
    return [address for address in found if re.match(r"""["']?(?:https?:)?//""", address)]


def public_names() -> list[str]:
    """What the rooms export, but for the rooms themselves."""
    rooms = {f"diffus{room}": importlib.import_module(f"diffus{room}") for room in ROOMS}
    return [
        f"{name}.{exported}"
        for name, room in rooms.items()
        for exported in room.__all__
        if not isinstance(getattr(room, exported), ModuleType)
    ]


def test_the_check_for_other_hosts_sees_them() -> None:
    assert loaded_from_outside('<script src="https://cdn.example/x.js"></script><img src="x.png">') == [
        "https://cdn.example/x.js"
    ]
    assert loaded_from_outside("<link href='//fonts.example/css' rel='stylesheet'>") == [
        "//fonts.example/css"
    ]
    assert loaded_from_outside('<a href="https://example.org">fine</a>') == []


def test_the_site_builds_strictly_and_holds_everything(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the site needs diffus[docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}

    outside = {name: loaded_from_outside(text) for name, text in pages.items()}
    outside |= {path.name: loaded_from_outside(path.read_text()) for path in tmp_path.rglob("*.css")}
    assert {name: found for name, found in outside.items() if found} == {}

    for table in (ROOT / "benchmarks" / "results").glob("*.md"):
        assert "<table>" in pages[f"benchmarks/{table.stem}.html"]
    assert 'href="benchmarks/frame.html"' in pages["performance.html"]

    reference = "".join(text for name, text in pages.items() if name.startswith("reference/"))
    documented = {name.rpartition(".")[2] for name in re.findall(r'id="(diffus\.[\w.]+)"', reference)}
    assert [name for name in public_names() if name.rpartition(".")[2] not in documented] == []
