"""Tables of what models learned from real pairs, as the results have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from diffus.learning import TissueModel
from diffus.learning.case import TrainingCase

from . import halves, registered, slices
from .halves import MEASURES


def halves_table(case: TrainingCase, models: Mapping[tuple[str, str], TissueModel]) -> list[str]:
    """Scores on the half that was not trained on, beside the untrained medium's."""
    found = halves.rows(case, models)
    base = {half.name: values for name, half, values in found if name == "untrained"}
    heads = [f"{measure}, {half}" for half in base for measure in MEASURES]
    lines = _head("model", heads)
    for name in dict.fromkeys(name for name, _, _ in found):
        cells = []
        for half, untrained in base.items():
            values = next(v for n, h, v in found if n == name and h.name == half)
            cells += [_beside(value, untrained[measure]) for measure, value in values.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def slices_table(data: Path, steps: int, kinds: tuple[str, ...]) -> list[str]:
    """Means over the slices that were left out, and how many of them did better than untrained."""
    found = slices.rows(slices.prepared_slices(data), steps, kinds)
    untrained = found["untrained"]
    lines = _head("model", [text for measure in MEASURES for text in (measure, f"{measure}, better")])
    for name, values in found.items():
        cells = []
        for measure in MEASURES:
            scores, before = ([slice_[measure] for slice_ in each] for each in (values, untrained))
            better = sum(after > first for after, first in zip(scores, before, strict=True))
            count = len(scores)
            cells += [_beside(sum(scores) / count, sum(before) / count), f"{better} of {count}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def registered_table(data: Path, models: Mapping[tuple[str, str], TissueModel], n_starts: int) -> list[str]:
    """How far from the shipped alignment the frames of the half that was not trained on are put."""
    lines = _head("model", ["half", "starts", "median mm", "within 2 mm", "worst mm"])
    for name, half, off in registered.rows(data, models, n_starts):
        within = f"{100 * float((off <= 2).double().mean()):.0f} %"
        cells = [half.name, str(len(off)), f"{float(off.median()):.2f}", within, f"{float(off.max()):.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _head(first: str, others: list[str]) -> list[str]:
    return [f"| {' | '.join([first, *others])} |", "|---" * (len(others) + 1) + "|"]


def _beside(value: float, base: float) -> str:
    return f"{value:.3f} ({100 * (value / base - 1):+.0f} %)"
