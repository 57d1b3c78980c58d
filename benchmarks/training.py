"""Training of tissue models: does it learn what is there, on data it has not seen, and what does a step cost.

::

    python benchmarks/training.py --quick            fewer steps, nothing written
    python benchmarks/training.py                    tables for benchmarks/results/training.md; about an hour
    python benchmarks/training.py --only cost halves some of them anew; the others stay as they were kept

Tables are kept in out/training/ as they are made. The real pairs (RESECT Case 24, slices of the ReMIND
domain) need the shared data (../shared/data or $DIFFUS_DATA) and are left out without.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from diffus.learning import first_model
from diffus.learning.loss import frame_loss
from diffus.learning.rendering import box_around, learned_levels
from learned.boundaries import recover_steps
from learned.halves import prepared_case24, taught
from learned.made_here import hidden_model, mri, predicted, recover, sweep_over
from learned.memory import SIZE, peaks_gb
from learned.tables import halves_table, registered_table, slices_table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "training.md"
DATA = Path(os.environ.get("DIFFUS_DATA", HERE.parents[1] / "shared" / "data"))
KEPT = HERE.parent / "out" / "training"
KINDS = ("voxel", "convolutional")
TITLES = {
    "cost": "What a step costs",
    "memory": "Memory",
    "curves": "Hidden curves found again",
    "halves": "RESECT Case 24: trained on one half, scored on the other",
    "registered": "RESECT Case 24: one half registered with what the other taught",
    "slices": "Slices of the ReMIND domain: trained on four, scored on the fifth",
}
"""Tables of the results, in their order."""


def curves_table(steps: int) -> list[str]:
    """How far recovered curves and steps of impedance lie from the hidden ones, and what speckle leaves."""
    heads = ("loss", "curve", "before", "after", "before, level free", "after, level free", "predicted sd")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    ways = {"rayleigh, range known": ("rayleigh", True), "rayleigh": ("rayleigh", False)}
    for name, (loss, known) in (ways | {"local_ncc": ("local_ncc", False)}).items():
        curves, counted = recover(loss, steps, known)
        # Information is that of the likelihood; correlation is another estimator.
        told = predicted(known, counted) if loss == "rayleigh" else {}
        for channel, curve in curves.items():
            before, after = curve.errors("before", counted), curve.errors("found", counted)
            values = (before[0], after[0], before[1], after[1], told.get(channel))
            cells = ["" if value is None else f"{100 * value:.1f} %" for value in values]
            lines.append(f"| {name} | {channel} | {' | '.join(cells)} |")
        for step in recover_steps(steps, known) if loss == "rayleigh" else ():
            errors = [step.error(which, free) for free in (False, True) for which in ("before", "found")]
            cells = [f"{100 * error:+.1f} %" for error in errors]
            what = f"step of impedance, {step.low:.2f} to {step.high:.2f}"
            told_step = f"{100 * step.sigma:.1f} % ({100 * step.sigma_free:.0f} % with the level)"
            lines.append(f"| {name} | {what} | {' | '.join(cells)} | {told_step} |")
    return lines


def cost_table(repeats: int) -> list[str]:
    """Share of each part of a step of 8 frames, and backward against forward."""
    features = mri()
    case = sweep_over(features, hidden_model(), 8)
    sweep = case.frames.sweep
    lines = [
        "| model | frames a second | crop | model and render | loss | backward | backward / forward |",
        "|---" * 7 + "|",
    ]
    for kind in KINDS:
        model = first_model(kind, ("t1",))
        spent: dict[str, float] = dict.fromkeys(("crop", "render", "loss", "backward"), 0.0)

        @contextmanager
        def timed(what: str, spent: dict[str, float] = spent) -> Iterator[None]:
            begin = time.perf_counter()
            yield
            spent[what] += time.perf_counter() - begin

        for repeat in range(repeats + 1):
            if repeat == 1:  # the first compiles
                spent.update(dict.fromkeys(spent, 0.0))
            with timed("crop"):
                box = box_around(features, sweep.probe, case.poses, margin_voxels=model.reach_voxels + 1)
                part = features.crop(box)
            with timed("render"):
                levels = learned_levels(model, part, sweep.probe, case.poses)
            with timed("loss"):
                value = frame_loss("local_ncc")(levels, sweep.image, sweep.weights).mean()
            with timed("backward"):
                value.backward()
        whole = sum(spent.values())
        shares = " | ".join(f"{100 * seconds / whole:.0f} %" for seconds in spent.values())
        ratio = spent["backward"] / (whole - spent["backward"])
        speed = len(case.frames) * repeats / whole
        lines.append(f"| {kind} | {speed:.1f} | {shares} | {ratio:.2f} |")
    return lines


def memory_table() -> list[str]:
    """Peak of a training, from the files on."""
    lines = ["| model | pair | peak memory |", "|---|---|---|"]
    for kind, peak in peaks_gb(KINDS).items():
        lines.append(f"| {kind} | {SIZE}^3, two contrasts | {peak:.1f} GB |")
    return lines


def parts(quick: bool) -> dict[str, Callable[[], list[str]]]:
    """What makes each table, those that need the real data only where they are."""
    found: dict[str, Callable[[], list[str]]] = {
        "cost": lambda: cost_table(2 if quick else 10),
        "memory": memory_table,
        "curves": lambda: curves_table(40 if quick else 300),
    }
    if quick:
        del found["memory"]  # minutes, whatever the number of steps
    if (DATA / "resect").is_dir():
        case = cache(lambda: prepared_case24(DATA))
        models = cache(lambda: taught(case(), 20 if quick else 150, KINDS))
        found["halves"] = lambda: halves_table(case(), models())
        found["registered"] = lambda: registered_table(DATA, models(), 2 if quick else 12)
    if (DATA / "remind_slices").is_dir():
        found["slices"] = lambda: slices_table(DATA, 10 if quick else 60, KINDS)
    return found


def main() -> None:
    """Make what is asked for and print it; write the results unless quick."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=tuple(TITLES), nargs="+")
    options = parser.parse_args()
    torch.set_num_threads(2)
    for name, make in parts(options.quick).items():
        if options.only is None or name in options.only:
            table = "\n".join(make())
            print(table, "\n", flush=True)
            if not options.quick:
                KEPT.mkdir(parents=True, exist_ok=True)
                (KEPT / f"{name}.md").write_text(table)
    if not options.quick:
        tables = {name: KEPT / f"{name}.md" for name in TITLES}
        said = [f"`python benchmarks/training.py`, torch {torch.__version__}, 2 threads."]
        said += [
            f"## {TITLES[name]}\n\n{path.read_text()}" for name, path in tables.items() if path.is_file()
        ]
        RESULTS.write_text("\n\n".join(said) + "\n")


if __name__ == "__main__":
    main()
