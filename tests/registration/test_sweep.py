"""A tracked sweep: one transform for all frames, and frames that the tracker has slightly wrong."""

from __future__ import annotations

import pytest
import torch
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium, sampled

from diffus import pose
from diffus.registration import Jitter, SearchOptions, register_sweep
from diffus.registration.motion import displacement_mm, moved, pivot_of, sector_points

from tests.registration.scene import target  # isort: skip

COUNT = 3
POINTS = sector_points(PROBE)
WORLD_FROM_TRACKER = pose.from_euler((10.0, -20.0, 30.0), (5.0, -7.0, 9.0))
QUICK = SearchOptions(reach_mm=6, reach_deg=6, n_survey=64, n_starts=3)


def _tracked() -> torch.Tensor:
    """Poses a few mm apart across the image plane, as the tracker has them."""
    steps = torch.zeros(COUNT, 6, dtype=torch.float64)
    steps[:, 4] = torch.linspace(-4, 4, COUNT, dtype=torch.float64)
    return pose.compose(pose.inverse(WORLD_FROM_TRACKER), moved(TRUTH, steps, IDENTITY))


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.cat([sampled(WORLD_FROM_TRACKER @ at).scanlines for at in _tracked()])


def test_finds_the_transform_of_the_tracker(frames: torch.Tensor) -> None:
    points = target(frames, _tracked()).points()
    start = moved(WORLD_FROM_TRACKER, torch.tensor([2.0, -2, 2, 2, -2, 2]), pivot_of(points))
    found = register_sweep(frames, medium(), _tracked(), PROBE, start, options=QUICK)
    assert found.displacement_mm(start) > 3
    assert found.displacement_mm(WORLD_FROM_TRACKER) < 0.2
    assert found.converged, found.reason
    assert torch.allclose(found.world_from_probe, found.world_from_sweep @ _tracked())


def test_jitter_moves_each_frame_to_its_own_place(frames: torch.Tensor) -> None:
    wrong = torch.zeros(COUNT, 6, dtype=torch.float64)
    wrong[:, 3] = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64)
    tracked = moved(_tracked(), wrong, IDENTITY)
    near = SearchOptions(n_survey=1, n_starts=1)
    found = register_sweep(
        frames, medium(), tracked, PROBE, WORLD_FROM_TRACKER, jitter=Jitter(1.0, 1.0), options=near
    )
    truth = WORLD_FROM_TRACKER @ _tracked()
    rigid = displacement_mm(found.world_from_sweep @ tracked, truth, POINTS)
    settled = displacement_mm(found.world_from_probe, truth, POINTS)
    assert float(rigid[:2].min()) > 0.7
    assert float(settled.max()) < 0.3


def test_a_frame_that_begins_outside_the_volume_does_not_stop_the_sweep(frames: torch.Tensor) -> None:
    outside = _tracked()[:1].clone()
    outside[0, :3, 3] += 400
    tracked = torch.cat([outside, _tracked()])
    shown = torch.cat([frames[:1], frames])
    near = SearchOptions(n_survey=1, n_starts=1)
    start = moved(WORLD_FROM_TRACKER, torch.tensor([0.2, -0.2, 0.2, 0.5, -0.5, 0.5]), IDENTITY)
    found = register_sweep(shown, medium(), tracked, PROBE, start, jitter=Jitter(1.0, 1.0), options=near)
    off = displacement_mm(found.world_from_sweep @ _tracked(), WORLD_FROM_TRACKER @ _tracked(), POINTS)
    assert float(off.max()) < 0.3
    kept = displacement_mm(found.world_from_probe[:1], (found.world_from_sweep @ tracked)[:1], POINTS)
    assert float(kept) < 0.01  # nothing is seen there that could move it
    with pytest.raises(ValueError, match="at the initial pose: the fan of pose 0 misses the volume"):
        register_sweep(shown[:1], medium(), outside, PROBE, start, options=near)


def test_each_stage_looks_at_frames_of_its_own(frames: torch.Tensor) -> None:
    many = target(frames[:1].expand(40, -1, -1), IDENTITY.repeat(40, 1, 1))
    generator = torch.Generator().manual_seed(0)
    drawn = [many.drawn(5, generator) for _ in range(3)]
    assert all(which is not None and which.diff().unique().tolist() == [8] for which in drawn)
    assert len({tuple(which.tolist()) for which in drawn if which is not None}) > 1
    assert many.drawn(40, generator) is None


def test_refuses_another_number_of_poses(frames: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="got 3 frames and 2 poses"):
        register_sweep(frames, medium(), _tracked()[:2], PROBE, WORLD_FROM_TRACKER)
