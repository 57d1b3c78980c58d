"""Hooks of the documentation site: the tables of ``benchmarks/results`` become pages of it.

Pages link to those tables as they lie in the repository, so that the links work there as well; here they are
turned to the pages of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

RESULTS = Path("benchmarks") / "results"
_LINK = re.compile(r"\]\((?:\.\./)+benchmarks/results/(\w+\.md)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each table that was committed."""
    folder = Path(config.config_file_path).parent / RESULTS
    for table in sorted(folder.glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{table.name}", content=_as_page(table)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to the tables at their pages."""
    here = posixpath.dirname(page.file.src_uri)

    def page_of(link: re.Match[str]) -> str:
        return "](" + posixpath.relpath(f"benchmarks/{link[1]}", here or ".")

    return _LINK.sub(page_of, markdown)


def _as_page(table: Path) -> str:
    """The text of a table, with a title where it has none."""
    text = table.read_text(encoding="utf-8")
    if text.startswith("# "):
        return text
    return f"# {table.stem.replace('_', ' ').capitalize()}\n\n{text}"
