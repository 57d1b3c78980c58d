"""Training of tissue models: does it learn what is there, on data it has not seen, and what does a step cost.

::

    python benchmarks/training.py --quick     fewer steps, nothing written
    python benchmarks/training.py             tables for benchmarks/results/training.md; about an hour

The real pair (RESECT Case 24) needs the shared data (../shared/data or $DIFFUS_DATA) and is left out without.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from diffus.learning import first_model
from diffus.learning.case import TrainingCase
from diffus.learning.loss import frame_loss
from diffus.learning.rendering import box_around, learned_levels
from learned.halves import MEASURES, prepared_case24, rows
from learned.made_here import hidden_model, mri, recover, sweep_over

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "training.md"
DATA = Path(os.environ.get("DIFFUS_DATA", HERE.parents[1] / "shared" / "data"))
KINDS = ("voxel", "convolutional")


def halves_table(case: TrainingCase, steps: int) -> list[str]:
    """Scores on the half that was not trained on."""
    found = rows(case, steps, KINDS)
    base = {half.name: values for name, half, values in found if name == "untrained"}
    names = list(dict.fromkeys(name for name, _, _ in found))
    halves = list(base)
    heads = [f"{measure}, {half}" for half in halves for measure in MEASURES]
    lines = [f"| model | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name in names:
        cells = []
        for half in halves:
            values = next(v for n, h, v in found if n == name and h.name == half)
            cells += [f"{v:.3f} ({100 * (v / base[half][m] - 1):+.0f} %)" for m, v in values.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def curves_table(steps: int) -> list[str]:
    """How far recovered curves lie from the hidden ones."""
    lines = ["| loss | curve | before | after | before, level free | after, level free |", "|---" * 6 + "|"]
    ways = {"rayleigh, range known": ("rayleigh", True), "rayleigh": ("rayleigh", False)}
    for name, (loss, known) in (ways | {"local_ncc": ("local_ncc", False)}).items():
        curves, counted = recover(loss, steps, known)
        for channel, curve in curves.items():
            before, after = curve.errors("before", counted), curve.errors("found", counted)
            cells = [f"{100 * value:.1f} %" for value in (before[0], after[0], before[1], after[1])]
            lines.append(f"| {name} | {channel} | {' | '.join(cells)} |")
    return lines


def cost_table(repeats: int) -> list[str]:
    """Share of each part of a step of 8 frames, and backward against forward."""
    features = mri()
    case = sweep_over(features, hidden_model(), 8)
    sweep = case.frames.sweep
    lines = ["| model | crop | model and render | loss | backward | backward / forward |", "|---" * 6 + "|"]
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
        lines.append(f"| {kind} | {shares} | {ratio:.2f} |")
    return lines


def main() -> None:
    """Run what is asked for and print; write the results unless quick."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=("cost", "curves", "halves"))
    options = parser.parse_args()
    torch.set_num_threads(2)
    quick = options.quick
    parts: dict[str, Callable[[], list[str]]] = {
        "cost": lambda: cost_table(2 if quick else 10),
        "curves": lambda: curves_table(40 if quick else 300),
    }
    if (DATA / "resect").is_dir():
        parts["halves"] = lambda: halves_table(prepared_case24(DATA), 20 if quick else 150)
    said = [f"`python benchmarks/training.py`, torch {torch.__version__}, 2 threads.", ""]
    for name, make in parts.items():
        if options.only in (None, name):
            table = make()
            print("\n".join(table), "\n", flush=True)
            said += [*table, ""]
    if not quick and options.only is None:
        RESULTS.write_text("\n".join(said))


if __name__ == "__main__":
    main()
