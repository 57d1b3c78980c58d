"""Rendered frames against real ultrasound of the brain, as distributions.

How far apart they are, beside how far real frames of one patient are from those of others::

    python benchmarks/against_real.py                     the study: table and pictures, for the docs
    python benchmarks/against_real.py --quick             fewer planes, nothing written
    python benchmarks/against_real.py --set noise_db=-110 --set aperture_mm=6 --set tissue.csf=0.001
                                                          a candidate of yours, nothing written
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

from real.candidate import CALIBRATED, DEFAULT, Candidate, candidate_of
from real.cases import GROUPS, real_images, sectors
from real.pictures import draw_rows
from real.published import render_published
from real.rendered import render_view, views
from real.scanline_image import ScanlineImage
from real.table import distance_table, rows, summary_table

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "against_real.md"
DATA = Path(os.environ.get("DIFFUS_DATA", HERE.parents[1] / "shared" / "data"))

PICTURES = HERE.parent / "docs" / "pictures"
PLANES, QUICK_PLANES = 5, 2
PICTURED = {"RESECT": 1, "ReMIND": 4}
"""Planes of each set that are drawn."""
SHOWN_WHITE = {"RESECT": 0.6, "ReMIND": 0.8}
"""Grey that the pictures draw white: the real frames are dark on a page."""

Sets = dict[str, list[ScanlineImage]]
Candidates = Mapping[str, Candidate]


def real_sets(group: str) -> Sets:
    """Real frames by case."""
    return {name: real_images(DATA, sector) for name, sector in sectors(group).items()}


def rendered_sets(group: str, candidate: Candidate, count: int) -> Sets:
    """Rendered frames by set."""
    settings = candidate.render_settings()
    return {
        name: [render_view(view, settings) for view in planes]
        for name, planes in views(group, DATA, candidate, count).items()
    }


def published_sets(group: str, count: int) -> Sets:
    """Frames by the published model."""
    return {
        name: [render_published(view, seed) for seed, view in enumerate(planes)]
        for name, planes in views(group, DATA, DEFAULT, count).items()
    }


def render_all(candidates: Candidates, count: int) -> dict[str, Sets]:
    """All sets of one column, by group of real frames."""
    return {group: rendered_sets(group, candidates[group], count) for group in GROUPS}


def draw(real: dict[str, Sets], columns: dict[str, dict[str, Sets]]) -> None:
    """A picture for each group: real frames, then every column's, on one grey scale."""
    for group in GROUPS:
        cases = sectors(group)
        shown = {f"real, {group}": [(images[0], cases[name].probe) for name, images in real[group].items()]}
        for column, groups in columns.items():
            shown[column] = [
                (image, view.probe)
                for name, planes in views(group, DATA, DEFAULT, PLANES).items()
                for image, view in list(zip(groups[group][name], planes, strict=True))[
                    1 : 1 + PICTURED[group]
                ]
            ]
        draw_rows(shown, PICTURES / f"against_real_{group.lower()}.png", SHOWN_WHITE[group])


def report(real: dict[str, Sets], columns: dict[str, dict[str, Sets]]) -> list[str]:
    """Distances to each group of real frames and to all of them, and what the frames are like."""
    lines = []
    for group in GROUPS:
        found = rows(real[group], {name: sets[group] for name, sets in columns.items()})
        lines += [*distance_table(f"against {group}", found), ""]
    found = rows(_merged(real), {name: _merged(sets) for name, sets in columns.items()})
    lines += [*distance_table("against both", found), ""]
    named = {f"real, {group}: {name}": images for group in GROUPS for name, images in real[group].items()}
    for column, groups in columns.items():
        named |= {f"{column}, {g}: {name}": images for g in GROUPS for name, images in groups[g].items()}
    return [*lines, *summary_table(named), ""]


def main() -> None:
    """Measure, print, and keep the table for the docs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer planes, nothing written")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change the candidate"
    )
    parser.add_argument(
        "--on", choices=("default", "calibrated"), default="default", help="what --set changes"
    )
    options = parser.parse_args()
    start = time.perf_counter()
    count = QUICK_PLANES if options.quick else PLANES
    bases = {"default": dict.fromkeys(GROUPS, DEFAULT), "calibrated": CALIBRATED}
    if options.set:
        base = bases[options.on]
        changed = {group: candidate_of(options.set, base[group], group) for group in GROUPS}
        columns = {"candidate": render_all(changed, count)}
    else:
        columns = {name: render_all(candidates, count) for name, candidates in bases.items()}
        columns["published"] = {group: published_sets(group, count) for group in GROUPS}
    real = {group: real_sets(group) for group in GROUPS}
    lines = report(real, columns)
    print("\n".join(lines))
    print(f"{time.perf_counter() - start:.0f} s")
    if not options.quick and not options.set:
        RESULTS.write_text("\n".join(lines), encoding="utf-8")
        draw(real, columns)


def _merged(groups: Mapping[str, Sets]) -> Sets:
    return {f"{group}, {name}": images for group, sets in groups.items() for name, images in sets.items()}


if __name__ == "__main__":
    main()
