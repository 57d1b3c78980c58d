"""Descents on their way, and a second look around where the best of them ended."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from tests.registration.scene import PROBE, TRUTH, sampled, target

from diffus.registration import COARSE_TO_FINE, SearchOptions
from diffus.registration.checkpoint import kept_in
from diffus.registration.motion import displacement_mm, moved, pivot_of, sector_points
from diffus.registration.search import search
from diffus.registration.steps import Steps
from diffus.registration.tracks import N_AROUND_KEPT, SAME_MM, Track, costs, look_around, walk

POINTS = sector_points(PROBE)
PIVOT = pivot_of(POINTS)
STAGE = COARSE_TO_FINE[0]
STARTS = moved(
    TRUTH, 2.5 * torch.randn(24, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64), PIVOT
)
STUCK, ARRIVES = 1, 0
"""Of the starts: one whose descent ends 6 mm off, and one whose does not."""


def _walked(which: int) -> tuple[Steps, Track]:
    steps, track = Steps(PIVOT), Track.at(STARTS[which])
    walk(steps, "alone", target(sampled().scanlines).objective(STAGE), [track])
    return steps, track


def test_a_track_remembers_its_way_and_never_stands_still() -> None:
    _, track = _walked(ARRIVES)
    assert torch.equal(track.start, STARTS[ARRIVES])
    assert torch.equal(track.trail[0][0], track.start)
    assert math.isnan(track.trail[0][1])
    assert torch.equal(track.trail[-1][0], track.pose)
    assert track.trail[-1][1] == track.score
    assert all(not torch.equal(a[0], b[0]) for a, b in zip(track.trail, track.trail[1:], strict=False))
    assert float(displacement_mm(track.pose, TRUTH, POINTS)) < 0.6


def test_looking_around_frees_a_descent_that_ended_beside_the_truth() -> None:
    steps, track = _walked(STUCK)
    objective = target(sampled().scanlines).objective(STAGE)
    assert float(displacement_mm(track.pose, TRUTH, POINTS)) > 3
    before, rendered = track.pose, steps.frames
    new = look_around(steps, objective, [track], 256, POINTS, seed=0)
    assert float(displacement_mm(new[0].pose, TRUTH, POINTS)) < 0.6
    assert new[0].cost == float(costs(new).min()) < track.cost
    assert torch.equal(track.pose, before)
    assert torch.equal(new[0].start, track.start)
    assert len(new) <= N_AROUND_KEPT
    assert steps.frames > rendered + 256
    for number, one in enumerate(new[1:], 1):
        apart = displacement_mm(torch.stack([other.pose for other in new[:number]]), one.pose, POINTS)
        assert float(apart.min()) >= SAME_MM


def test_where_nothing_better_lies_near_one_look_is_enough() -> None:
    steps, track = _walked(ARRIVES)
    told: list[str] = []
    steps.progress = lambda name, done, most: told.append(name)
    look_around(steps, target(sampled().scanlines).objective(STAGE), [track], 64, POINTS, seed=0)
    assert {"look around 1", "around the best 1"} == set(told)


def test_a_search_looks_around_where_it_began_with_a_survey(tmp_path) -> None:
    stuck = target(sampled().scanlines)
    short = replace(STAGE, n_iterations=3)
    options = SearchOptions(
        reach_mm=0.1, reach_deg=0.1, n_survey=2, n_starts=1, stages=(short,), whole_tissue=None
    )
    for count, within in ((0, False), (256, True)):
        chosen = replace(options, n_around=count)
        with kept_in(tmp_path / str(count)):
            found = search(stuck, STARTS[STUCK], chosen)
        assert (float(displacement_mm(found.pose, TRUTH, POINTS)) < 1) == within
        assert (tmp_path / str(count) / "look-around-1.npz").is_file() == within
    with kept_in(tmp_path / "256"):
        assert torch.equal(search(stuck, STARTS[STUCK], chosen).pose, found.pose)
