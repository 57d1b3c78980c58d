"""The descent: its derivatives, its steps, and the stages it goes through."""

from __future__ import annotations

import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, sampled, target

from diffus import LinearProbe
from diffus.imaging.formation import samples_needed
from diffus.registration import COARSE_TO_FINE, SearchOptions, Stage, TrackedPose
from diffus.registration.descent import descend, linearised
from diffus.registration.motion import displacement_mm, moved, pivot_of, sector_points
from diffus.registration.priors import residuals
from diffus.registration.search import search
from diffus.registration.uncertainty import pose_covariance

POINTS = sector_points(PROBE)
PIVOT = pivot_of(POINTS)
STAGE = Stage(blur_mm=1.5, spacing_mm=1.0, trend_mm=8.0, window_mm=6.0)
OFFSET = torch.tensor([2.0, -2.0, 2.0, 1.5, -1.0, 1.5], dtype=torch.float64)


def test_both_sides_descend_to_the_truth() -> None:
    objective = target(sampled().scanlines).objective(STAGE)
    path = descend(objective, torch.stack([moved(TRUTH, OFFSET, PIVOT), moved(TRUTH, -OFFSET, PIVOT)]), PIVOT)
    energies = torch.stack([energy for _, energy in path.trail])
    assert float(path.energy.max()) < 0.2
    assert float(energies[-1].max()) < 0.5 * float(energies[0].max())
    assert float(displacement_mm(path.poses, TRUTH, POINTS).max()) < 0.6


def test_a_batch_descends_as_each_would_alone() -> None:
    starts = torch.stack([moved(TRUTH, OFFSET, PIVOT), TRUTH])
    together = descend(target(sampled().scanlines).objective(STAGE), starts, PIVOT).poses
    for start, expected in zip(starts, together, strict=True):
        alone = descend(target(sampled().scanlines).objective(STAGE), start[None], PIVOT).poses[0]
        assert float(displacement_mm(alone, expected, POINTS)) < 0.05


def test_derivatives_agree_with_central_differences() -> None:
    objective = target(sampled().scanlines).objective(STAGE)
    at, prior = moved(TRUTH, OFFSET, PIVOT)[None], TrackedPose(TRUTH)
    here, known = objective(at), residuals([prior], at)
    linear = linearised(objective, at, PIVOT, [prior], here, known)
    finer = linearised(objective, at, PIVOT, [prior], here, known, central=True)
    for axis in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[axis] = STAGE.step
        ahead, behind = moved(at, step, PIVOT), moved(at, -step, PIVOT)
        central = (objective(ahead).residual - objective(behind).residual)[0].double()
        central = central / (2 * STAGE.step)
        likeness = torch.nn.functional.cosine_similarity(linear.jacobian[0, axis], central, dim=0)
        assert float(likeness) > 0.9
        assert torch.allclose(finer.jacobian[0, axis], central, atol=1e-6)
        of_prior = (residuals([prior], ahead) - residuals([prior], behind))[0] / (2 * STAGE.step)
        assert torch.allclose(linear.prior_jacobian[0, axis], of_prior, atol=0.02)


def test_covariance_shrinks_with_the_frames_of_a_sweep() -> None:
    places = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    places[:, 1, 3] = torch.tensor([-6.0, -2.0, 2.0, 6.0])
    fixed = torch.cat([sampled(TRUTH @ place).scanlines for place in places])
    one = pose_covariance(target(fixed[1:2], places[1:2]).objective(STAGE), TRUTH, PIVOT)
    four = pose_covariance(target(fixed, places).objective(STAGE), TRUTH, PIVOT)
    assert float(four.det() ** (1 / 6)) < 0.5 * float(one.det() ** (1 / 6))


def test_a_survey_leaves_poor_starts_behind_and_keeps_the_initial_one() -> None:
    start = moved(TRUTH, 2 * OFFSET, PIVOT)
    options = SearchOptions(reach_mm=8, reach_deg=8, n_survey=128, n_starts=4, stages=COARSE_TO_FINE[:1])
    found = search(target(sampled().scanlines), start, options)
    away = displacement_mm(found.starts, TRUTH, POINTS)
    assert float(displacement_mm(found.starts, start, POINTS).min()) == 0
    assert float(away.min()) < float(displacement_mm(start, TRUTH, POINTS))
    assert found.rendered[0] > 128


@pytest.mark.parametrize("stage", COARSE_TO_FINE)
def test_a_coarse_sector_resolves_its_own_pulse(stage: Stage) -> None:
    for probe in (PROBE, LinearProbe()):
        coarse = stage.coarsened(probe)
        assert samples_needed(coarse) <= coarse.n_samples + 1
        assert coarse.n_samples <= probe.n_samples
        assert abs(float(coarse.sample_spacing_mm) - stage.spacing_mm) < 0.1 * stage.spacing_mm
        assert coarse.n_scanlines <= probe.n_scanlines


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SearchOptions(reach_mm=-1.0), "reach_mm"),
        (lambda: SearchOptions(n_starts=0), "n_starts"),
        (lambda: SearchOptions(stages=()), "stages is empty"),
        (lambda: Stage(blur_mm=0.0, spacing_mm=1.0, trend_mm=5.0, window_mm=5.0), "blur_mm"),
    ],
)
def test_refuses(make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()
