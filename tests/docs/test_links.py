from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.pages import PAGES, ROOT, anchors, name_of, prose

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OUTSIDE = ("http://", "https://")


def broken_links(page: Path) -> list[str]:
    """Links of a page to files, or to headings in them, that are not there."""
    broken = []
    for link in LINK.findall(prose(page)):
        if link.startswith(OUTSIDE):
            continue
        place, _, heading = link.partition("#")
        file = page.parent / place if place else page
        if not file.is_file() or (heading and heading not in anchors(file)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    there = tmp_path / "there.md"
    there.write_text("# One `heading`, two\n")
    page = tmp_path / "page.md"
    page.write_text("[a](there.md#one-heading-two) [b](there.md#three) ![c](lost.png) `[d](no-link.md)`\n")
    assert broken_links(page) == ["there.md#three", "lost.png"]


def test_every_picture_is_shown_somewhere() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in LINK.findall(prose(page))
        if link.endswith((".png", ".gif"))
    }
    pictures = {path for kind in ("png", "gif") for path in (ROOT / "docs").rglob(f"*.{kind}")}
    assert {str(path.relative_to(ROOT)) for path in pictures - shown} == set()


def test_every_table_that_was_committed_is_linked_from_the_benchmarks() -> None:
    page = ROOT / "docs" / "benchmarks.md"
    linked = {Path(link.partition("#")[0]).name for link in LINK.findall(prose(page)) if "results/" in link}
    assert linked == {path.name for path in (ROOT / "benchmarks" / "results").glob("*.md")}
