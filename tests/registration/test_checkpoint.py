"""A registration that was cut and goes on gives the same bits as one that was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.registration.phantom_sweep import GEOMETRY, swept, tissue
from tests.registration.scene import IDENTITY, PROBE, TRUTH, sampled, target

from diffus.registration import (
    COARSE_TO_FINE,
    SearchOptions,
    SearchSettings,
    SweepSampling,
    register_deformable,
)
from diffus.registration.archive import write_archive
from diffus.registration.checkpoint import kept_in, step
from diffus.registration.deformable import DeformableRegistration, DeformableSettings
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.registration.search import Found, search
from diffus.registration.steps import Progress
from diffus.registration.volume import VolumeRegistration, VolumeSettings, register_volume

START = moved(TRUTH, torch.tensor([1.0, 1, 1, 1, 1, 1]), pivot_of(sector_points(PROBE)))
STAGES = tuple(replace(stage, n_iterations=2, spacing_mm=1.4) for stage in COARSE_TO_FINE)
OPTIONS = SearchOptions(n_survey=12, n_starts=3, reach_mm=3, reach_deg=3, stages=STAGES)
VOLUME = VolumeSettings(
    transform="affine",
    search=SearchSettings(n_starts=8, n_rounds=1, n_descents=2, n_finals=1, n_steps=2, reach_mm=4),
    coarse=SweepSampling(n_frames=3, n_scanlines=16, n_samples=24),
    fine=SweepSampling(n_frames=3, n_scanlines=20, n_samples=32),
)
FREE = DeformableSettings(spacings_mm=(20.0, 14.0), n_steps=2, grid_mm=2.0)


class Cut(Exception):
    """A run that ends in the middle."""


def cut_at(name: str) -> Progress:
    def told(what: str, done: int, most: int) -> None:
        assert 0 <= done <= most
        if what == name:
            raise Cut

    return told


def one_frame(progress: Progress | None) -> Found:
    return search(target(sampled().scanlines), START, OPTIONS, progress=progress)


def same(one: Found, other: Found) -> bool:
    tensors = ("pose", "starts", "ends", "scores", "trajectory", "trajectory_scores")
    alike = [torch.equal(*(torch.nan_to_num(getattr(at, name)) for at in (one, other))) for name in tensors]
    rivals = [(pose.tolist(), behind) for pose, behind in one.rivals]
    return all(alike) and rivals == [(pose.tolist(), behind) for pose, behind in other.rivals]


@pytest.fixture(scope="module")
def whole() -> Found:
    return one_frame(None)


@pytest.mark.parametrize("name", ["stage 1 of 3", "stage 3 of 3", "last steps"])
def test_one_frame_goes_on_where_it_was_cut(whole: Found, name: str, tmp_path: Path) -> None:
    with pytest.raises(Cut), kept_in(tmp_path):
        one_frame(cut_at(name))
    kept = {path.name for path in tmp_path.iterdir()}
    assert "survey.npz" in kept
    assert f"{name.replace(' ', '-')}.npz" not in kept
    told: list[str] = []
    with kept_in(tmp_path):
        resumed = one_frame(lambda what, done, most: told.append(f"{what} {min(done, 1)}"))
    assert "survey 0" not in told
    assert f"{name} 1" in told
    assert same(resumed, whole)
    assert resumed.rendered == whole.rendered


def test_nothing_is_done_twice(whole: Found, tmp_path: Path) -> None:
    with kept_in(tmp_path):
        one_frame(None)
    told: list[str] = []
    with kept_in(tmp_path):
        again = one_frame(lambda what, done, most: told.append(f"{what} {done}"))
    assert {"stage 1 of 3 0", "stage 2 of 3 0", "stage 3 of 3 0", "last steps 0"} <= set(told)
    assert all(at.endswith(" 0") and not at.startswith("survey") for at in told)
    assert same(again, whole)


def test_another_seed_is_another_way(whole: Found) -> None:
    other = search(target(sampled().scanlines), START, replace(OPTIONS, seed=1))
    assert not same(other, whole)


@pytest.fixture(scope="module")
def run_volume() -> Callable[[Progress | None], tuple[VolumeRegistration, DeformableRegistration]]:
    tissues = tissue()
    ultrasound = swept(tissues, IDENTITY)

    def run(progress: Progress | None) -> tuple[VolumeRegistration, DeformableRegistration]:
        found = register_volume(ultrasound, tissues, GEOMETRY, settings=VOLUME, progress=progress)
        rigid = found.candidates[0]
        return found, register_deformable(found.sweep, tissues, rigid, FREE, progress)

    return run


def test_a_volume_goes_on_from_every_step(
    run_volume: Callable[[Progress | None], tuple[VolumeRegistration, DeformableRegistration]],
    tmp_path: Path,
) -> None:
    whole, free = run_volume(None)
    for name in ("descents at level 2 of 2", "affine", "free form 2 of 2"):
        with pytest.raises(Cut), kept_in(tmp_path):
            run_volume(cut_at(name))
    with kept_in(tmp_path):
        resumed, still_free = run_volume(None)
    for tensor in (
        "mri_from_ultrasound",
        "candidates",
        "candidate_scores",
        "trajectory",
        "trajectory_scores",
    ):
        assert torch.equal(getattr(resumed, tensor), getattr(whole, tensor)), tensor
    assert resumed.summary() == whole.summary()
    assert resumed.evaluations == whole.evaluations
    assert torch.equal(still_free.displacement.coefficients, free.displacement.coefficients)
    assert still_free.scores == free.scores

    again = VolumeRegistration.load(resumed.save(tmp_path / "volume.npz"))
    assert again.summary() == whole.summary()
    assert torch.equal(again.sweep.image, whole.sweep.image)
    assert again.sweep.probe.to_dict() == whole.sweep.probe.to_dict()
    freed = DeformableRegistration.load(still_free.save(tmp_path / "free.npz"))
    points = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(freed.transform_points(points), free.transform_points(points))
    assert (freed.summary(), freed.scores) == (free.summary(), free.scores)
    with pytest.raises(ValueError, match=r"expected 'diffus-volume-registration'.*'diffus-deformable"):
        VolumeRegistration.load(tmp_path / "free.npz")


def test_the_trajectory_leads_to_the_best(
    run_volume: Callable[[Progress | None], tuple[VolumeRegistration, DeformableRegistration]],
) -> None:
    found, _ = run_volume(None)
    assert torch.equal(found.trajectory[-1], found.mri_from_ultrasound)
    assert torch.allclose(found.trajectory[-2], found.candidates[0])
    assert float(found.trajectory_scores[-1]) == found.score
    assert len(found.trajectory) == len(found.trajectory_scores) > 2


def test_outside_of_a_block_nothing_is_kept(tmp_path: Path) -> None:
    found = step("alone", lambda: {"value": torch.ones(2)})
    assert torch.equal(found["value"], torch.ones(2))
    assert not list(tmp_path.iterdir())


def test_two_registrations_do_not_share_a_folder(tmp_path: Path) -> None:
    with kept_in(tmp_path):
        step("survey", lambda: {"value": torch.ones(2)})
        with pytest.raises(ValueError, match="a kept_in of its own"):
            step("survey", lambda: {"value": torch.zeros(2)})


def test_a_damaged_step_is_refused_and_not_guessed(tmp_path: Path) -> None:
    with kept_in(tmp_path):
        step("survey", lambda: {"value": torch.ones(200)})
    path = tmp_path / "survey.npz"
    path.write_bytes(path.read_bytes()[:100])
    with kept_in(tmp_path), pytest.raises(ValueError, match=r"survey\.npz is not a registration step file"):
        step("survey", lambda: {"value": torch.ones(200)})


def test_a_step_of_an_older_search_is_refused(tmp_path: Path) -> None:
    header = {"format": "diffus-registration-step", "version": 1, "step": "survey"}
    write_archive(tmp_path / "survey.npz", header, {"energy": torch.ones(2)})
    with kept_in(tmp_path), pytest.raises(ValueError, match=r"survey\.npz is not a registration step file"):
        step("survey", lambda: {"cost": torch.ones(2)})
