"""Distances of rendered frames to real ones, beside those of real frames to each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .metrics import METRICS, Distance, Images, mean_lengths_mm
from .scanline_image import pooled

ALLOWED = 1.5
"""How many times the distance of real to real we allow ourselves."""

Sets = Mapping[str, Images]


@dataclass(frozen=True)
class Row:
    """One metric.

    Args:
        name: of the metric.
        real: mean distance of a real case to the others.
        rendered: mean distance of each column's rendered sets to the real frames, by column.
    """

    name: str
    real: float
    rendered: Mapping[str, float]

    def ratio(self, column: str) -> float:
        """Rendered over real."""
        return self.rendered[column] / self.real


def rows(real: Sets, columns: Mapping[str, Sets]) -> list[Row]:
    """Every metric.

    Args:
        real: frames by case.
        columns: for each way of rendering, frames by set.
    """
    everything = together(real)
    return [
        Row(
            name,
            among(real, metric),
            {
                column: statistics.fmean(metric(images, everything) for images in sets.values())
                for column, sets in columns.items()
            },
        )
        for name, metric in METRICS.items()
    ]


def among(real: Sets, metric: Distance) -> float:
    """Mean distance of each case to all others together."""
    distances = []
    for left_out, images in real.items():
        others = {case: frames for case, frames in real.items() if case != left_out}
        distances.append(metric(images, together(others)))
    return statistics.fmean(distances)


def together(real: Sets) -> Images:
    """The frames of all cases, repeated where a case has fewer, so that every case counts alike."""
    most = max(len(images) for images in real.values())
    return [image for images in real.values() for image in list(images) * (most // len(images))]


def distance_table(title: str, found: Sequence[Row]) -> list[str]:
    """Markdown: distance, and in brackets its ratio to real against real."""
    columns = list(found[0].rendered)
    lines = [
        f"| {title} | real to real | " + " | ".join(columns) + " |",
        "|---|---" + "|---" * len(columns) + "|",
    ]
    for row in found:
        cells = [f"{row.rendered[c]:.3f} ({row.ratio(c):.2f})" for c in columns]
        lines.append(f"| {row.name} | {row.real:.3f} | " + " | ".join(cells) + " |")
    kept = [sum(row.ratio(c) <= ALLOWED for row in found) for c in columns]
    cells = [f"{n} of {len(found)}" for n in kept]
    return [*lines, f"| rows within {ALLOWED} times | | " + " | ".join(cells) + " |"]


def summary_table(sets: Sets) -> list[str]:
    """Markdown: what each set of frames is like."""
    lines = [
        "| frames | mean | std | 5, 50, 95 % of grey | axial length mm, near mid far | lateral length mm |",
        "|---|---|---|---|---|---|",
    ]
    for name, images in sets.items():
        mean = statistics.fmean(image.mean() for image in images)
        std = statistics.fmean(image.std() for image in images)
        axial, lateral = (
            " ".join(f"{v:.2f}" for v in mean_lengths_mm(images, axis).tolist())
            for axis in ("axial", "lateral")
        )
        greys = " ".join(f"{v:.2f}" for v in _percentiles(images))
        lines.append(f"| {name} | {mean:.2f} | {std:.2f} | {greys} | {axial} | {lateral} |")
    return lines


def _percentiles(images: Images) -> list[float]:
    values, weights = pooled(images)
    ordered, order = values.sort()
    reached = weights[order].cumsum(0)
    return [
        float(ordered[int((reached < share).sum().clamp(max=len(ordered) - 1))])
        for share in (0.05, 0.5, 0.95)
    ]
