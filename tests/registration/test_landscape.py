"""The landscape around a pose: its scores are those of single renderings, its top is the truth."""

from __future__ import annotations

import math

import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled, target
from tests.support import as_users_run

from diffus import RenderSettings, pose, render, similarity
from diffus.registration.landscape import DEGREES_OF_FREEDOM, landscape, landscape_plane
from diffus.registration.stages import COARSE_TO_FINE

SMALL = PROBE.with_options(n_scanlines=24, n_samples=96, fractional_bandwidth=0.3)
EXPECTED = RenderSettings(speckle="expected")


def _moved(axis: int, amount: float) -> torch.Tensor:
    """From first principles: about the middle of the samples of the sector, in the probe's own axes."""
    sparse = SMALL.with_options(n_scanlines=16, n_samples=16)
    middle = torch.eye(4, dtype=torch.float64)
    middle[:3, 3] = sparse.sample_points_mm().flatten(0, 1).mean(dim=0)
    change = torch.eye(4, dtype=torch.float64)
    if axis < 3:
        sine, cosine = math.sin(math.radians(amount)), math.cos(math.radians(amount))
        first, second = ((1, 2), (2, 0), (0, 1))[axis]
        change[first, first] = change[second, second] = cosine
        change[first, second], change[second, first] = -sine, sine
    else:
        change[axis - 3, 3] = amount
    return TRUTH @ middle @ change @ torch.linalg.inv(middle)


def test_scores_are_those_of_single_renderings() -> None:
    fixed = render(medium(), SMALL, TRUTH, EXPECTED)
    settings = RenderSettings(max_memory_mb=12.0)  # a few poses at a time
    curves = landscape(fixed, medium(), count=3, similarity=similarity.NCC(), settings=settings)
    for axis, name in enumerate(DEGREES_OF_FREEDOM):
        assert curves.names[axis] == name
        assert curves.offsets[axis].tolist() == [-10, 0, 10]
        for place, amount in enumerate((-10.0, 0.0, 10.0)):
            alone = render(medium(), SMALL, _moved(axis, amount), EXPECTED).scanlines
            expected = float(similarity.ncc(alone, fixed.scanlines)[0])
            assert float(curves.scores[axis, place]) == pytest.approx(expected, abs=1e-4), (name, amount)


@pytest.mark.parametrize("measure", [None, similarity.LocalNCC(), similarity.NCC()])
def test_the_top_lies_at_the_true_pose(measure: similarity.Similarity | None) -> None:
    curves = landscape(sampled(), medium(), count=9, reach_deg=8, reach_mm=8, similarity=measure)
    for name in DEGREES_OF_FREEDOM:
        assert abs(curves.best(name)) <= 2, name
    assert bool((curves.scores[:, 4] == curves.scores[0, 4]).all()), "the same pose has the same score"
    # Seen from elsewhere, the top lies where the truth is.
    aside = _moved(3, 4.0)
    seen = landscape(
        sampled(), medium(), aside, names=["shift_x_mm"], count=9, reach_mm=8, similarity=measure
    )
    assert seen.best("shift_x_mm") == -4


def test_by_default_it_is_what_register_climbs() -> None:
    curves = landscape(sampled(), medium(), names=["shift_z_mm"], count=3, reach_mm=2)
    objective = target(sampled().scanlines).objective(COARSE_TO_FINE[-1])
    assert float(curves.scores[0, 1]) == pytest.approx(1 - float(objective(TRUTH[None]).energy) / 2, abs=1e-5)


def test_a_plane_holds_the_curves_and_finds_poses() -> None:
    names = ("shift_x_mm", "turn_y_deg")
    fixed = render(medium(), SMALL, TRUTH, EXPECTED)
    options = {"count": 5, "reach_deg": 6.0, "reach_mm": 4.0, "similarity": similarity.NCC()}
    plane = landscape_plane(fixed, medium(), names=names, **options)
    curves = landscape(fixed, medium(), names=names, **options)
    assert torch.allclose(plane.scores[:, 2], curves.scores[0], atol=1e-4)
    assert torch.allclose(plane.scores[2], curves.scores[1], atol=1e-4)
    assert plane.best() == (0, 0)
    places = plane.place(torch.stack([TRUTH, _moved(3, 3.0), _moved(1, -5.0)]))
    assert torch.allclose(places, torch.tensor([[0, 0], [3, 0], [0, -5]], dtype=torch.float64), atol=1e-6)


def test_where_nothing_is_seen_there_is_no_score() -> None:
    for measure in (None, similarity.NCC()):
        options = {"count": 3, "reach_mm": 300.0, "similarity": measure}
        curves = landscape(sampled(), medium(), names=["shift_y_mm"], **options)
        assert curves.scores[0].isnan().tolist() == [True, False, True]
        assert curves.best("shift_y_mm") == 0


def test_refuses_what_it_cannot_compute() -> None:
    with pytest.raises(ValueError, match=r"unknown degree of freedom 'roll'.*'turn_x_deg'"):
        landscape(sampled(), medium(), names=["roll"])
    with pytest.raises(ValueError, match="names: expected shape one or more different ones"):
        landscape(sampled(), medium(), names=[])
    with pytest.raises(ValueError, match="count must be a whole number of 2 or more, got 1"):
        landscape(sampled(), medium(), count=1)
    with pytest.raises(ValueError, match="reach_mm must be a finite number above 0"):
        landscape(sampled(), medium(), reach_mm=0)
    with as_users_run(), pytest.raises(ValueError, match="expected two degrees of freedom, got shift_x_mm"):
        landscape_plane(sampled(), medium(), names=("shift_x_mm",))  # type: ignore[arg-type]
    two = render(medium(), SMALL, torch.stack([TRUTH, pose.perturb(TRUTH, torch.ones(6))]))
    with pytest.raises(ValueError, match=r"one image and one pose, got 2 and 2: take frame\[0\]"):
        landscape(two, medium())
