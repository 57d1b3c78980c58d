"""From how far away a registration finds the pose, by anatomy and by what is not known of the frame.

    python benchmarks/capture_range.py                      the study: table and plot, for the docs (3 hours)
    python benchmarks/capture_range.py --quick              few offsets, one anatomy, nothing written
    python benchmarks/capture_range.py --count 40           so many offsets a cell
    python benchmarks/capture_range.py --anatomy hanke      one anatomy; several processes can share the work
    python benchmarks/capture_range.py --report             table and plot of the trials that are kept

Every trial is kept in results/capture_range/ as it ends: a run that was cut goes on there, and more offsets
are added to those that are there. Take the files away when registration has changed.

A frame is rendered with sampled speckle of an unseen seed; the registration renders the mean image. Success
is a mean displacement of the sector's points below 1 mm. Offsets turn and shift the sector about its middle.
The real volumes are looked for in ../shared/data or $DIFFUS_DATA; else only the example brain is used.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from matplotlib.figure import Figure

import diffus
from capture.scenes import Scene, case24_scene, example_scene, hanke_scene
from capture.trials import Case, Trial, kept_trials, run_case
from diffus.plot import save_figure
from diffus.registration import SearchOptions

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "capture_range.md"
PICTURE = HERE.parent / "docs" / "pictures" / "capture_range.png"
DATA = Path(os.environ.get("DIFFUS_DATA", HERE.parents[1] / "shared" / "data"))
KEPT = HERE / "results" / "capture_range"
ANATOMIES = ("brain", "hanke", "case24")
ASKED_STARTS = 16
SUCCESS_MM = 1.0
MEDIAN_CHI_SQUARE = 5.348
"""Of six degrees of freedom."""

NEAR = SearchOptions(reach_mm=10, reach_deg=10)
FAR = SearchOptions(reach_mm=20, reach_deg=20, n_survey=8192, n_starts=48)
CASES = (
    Case("same medium, one descent, no survey", "same", 10, replace(NEAR, n_survey=1, n_starts=1)),
    Case("same medium, survey and one descent", "same", 10, replace(NEAR, n_survey=4096, n_starts=1)),
    Case("same medium, one initial pose", "same", 10, NEAR, target=0.99),
    Case("same medium, multi-start", "same", 20, FAR, target=0.95),
    Case("other medium, gain, TGC, shadow", "other", 10, NEAR, degraded=True, target=0.9),
    Case("T1 registered to FLAIR", "contrast", 10, NEAR, target=0.85),
    Case("five frames of the other medium", "other", 20, FAR, degraded=True, frames=5, target=0.95),
    Case("five frames of T1 registered to FLAIR", "contrast", 20, FAR, frames=5, target=0.95),
)
Cell = tuple[Scene, Case, list[Trial]]


def scene_makers(wanted: Sequence[str]) -> dict[str, Callable[[], Scene]]:
    """The anatomies at hand, of those that are wanted."""
    found: dict[str, Callable[[], Scene]] = {"brain": example_scene}
    if DATA.is_dir():
        found |= {"hanke": partial(hanke_scene, DATA), "case24": partial(case24_scene, DATA)}
    return {name: make for name, make in found.items() if name in wanted}


def row(scene: Scene, case: Case, trials: list[Trial]) -> str:
    """One line of the table."""
    errors = [trial.error_mm for trial in trials]
    good = [trial for trial in trials if trial.error_mm < SUCCESS_MM]
    sure = [trial for trial in trials if trial.verdict == "converged"]
    wrong = sum(trial.error_mm >= SUCCESS_MM for trial in sure)
    scale = statistics.median(trial.squared_error for trial in trials) / MEDIAN_CHI_SQUARE
    seconds = statistics.median(trial.seconds for trial in trials)
    cells = scene.probe.n_scanlines * scene.probe.n_samples
    renders = statistics.median(trial.cells / cells for trial in trials)
    asked = "" if case.target is None else f"{case.target:.0%}"
    values = [
        scene.name,
        case.name,
        f"{case.reach:g}",
        str(len(trials)),
        f"{len(good) / len(trials):.1%}",
        asked,
        f"{statistics.median(errors):.2f}",
        f"{wrong} of {len(sure)}",
        f"{scale:.2f}",
        f"{seconds:.2f}",
        f"{renders:.0f}",
    ]
    return f"| {' | '.join(values)} |"


HEAD = (
    "| anatomy | case | offsets up to (mm, deg) | trials | success | asked | median error (mm) | "
    "converged but wrong | chi-square scale | seconds | rendered, in whole frames |"
)


def cost_line() -> str:
    """Time of a registration in units of one frame's, both measured now."""
    scene, case = example_scene(), next(case for case in CASES if case.options is NEAR)
    at = scene.views(1, torch.Generator().manual_seed(0))[0]
    times = []
    with torch.no_grad():
        for _ in range(12):
            began = time.perf_counter()
            diffus.render(scene.medium, scene.probe, at)
            times.append(time.perf_counter() - began)
    ratios = {}
    for starts in (ASKED_STARTS, NEAR.n_starts):
        searched = replace(case, options=replace(NEAR, n_starts=starts))
        with tempfile.TemporaryDirectory() as folder:
            trials = run_case(scene, searched, 3, 0, Path(folder) / "cost.jsonl")
        ratios[starts] = statistics.median(trial.seconds for trial in trials) / statistics.median(times[2:])
    size, threads = f"{scene.probe.n_scanlines} x {scene.probe.n_samples}", torch.get_num_threads()
    few, many = (f"{ratio:.0f} (from {starts} starts)" for starts, ratio in ratios.items())
    return (
        f"A registration of a frame of {size} takes as long as {few} or, by default, {many} forward "
        f"renderings of it (asked: at most 600 from {ASKED_STARTS}), on {threads} threads."
    )


def draw(cells: list[Cell]) -> Figure:
    """Success against the offset, by case, over all anatomies."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    ax = figure.subplots()
    for case in CASES:
        trials = [trial for _, of, found in cells if of is case for trial in found]
        if not trials:
            continue
        edges = torch.linspace(0, max(trial.offset_mm for trial in trials) + 1e-6, 6).tolist()
        places, shares = [], []
        for low, high in pairwise(edges):
            within = [trial.error_mm < SUCCESS_MM for trial in trials if low <= trial.offset_mm < high]
            if len(within) >= 3:
                places.append((low + high) / 2)
                shares.append(sum(within) / len(within))
        ax.plot(places, shares, marker="o", label=case.name)
    ax.set(xlabel="mean displacement at the start (mm)", ylabel="share within 1 mm", ylim=(-0.03, 1.03))
    ax.legend(loc="lower left")
    return figure


def main() -> None:
    """Run, print, and keep table and plot for the docs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few offsets, one anatomy, nothing written")
    parser.add_argument("--count", type=int, help="offsets in each cell; 100 by default, 4 if quick")
    parser.add_argument("--anatomy", nargs="+", choices=ANATOMIES, default=ANATOMIES)
    parser.add_argument("--report", action="store_true", help="no trials, only what the kept ones say")
    given = parser.parse_args()
    count = given.count or (4 if given.quick else 100)
    kept = Path(tempfile.mkdtemp()) if given.quick else KEPT
    kept.mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    lines = ["`python benchmarks/capture_range.py`, seeds fixed.", "", HEAD]
    lines.append("|" + "---|" * HEAD.count(" | ") + "---|")
    print("\n".join(lines))
    for name, make in scene_makers(("brain",) if given.quick else given.anatomy).items():
        scene = make()
        for number, case in enumerate(CASES):
            file = kept / f"{name}-{number}.jsonl"
            if case.source == "contrast" and scene.contrast is None:
                continue
            if given.report and not file.is_file():
                continue
            trials = kept_trials(file) if given.report else run_case(scene, case, count, number, file)
            cells.append((scene, case, trials))
            lines.append(row(scene, case, trials))
            print(lines[-1], flush=True)
    lines += ["", cost_line()]
    print(lines[-1])
    if not given.quick and set(given.anatomy) == set(ANATOMIES):
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
        save_figure(draw(cells), PICTURE, dpi=90)


if __name__ == "__main__":
    main()
