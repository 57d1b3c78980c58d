"""Evaluation: its numbers are those of the measures, the true model wins, broken cases are named."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance
from tests.learning.paired import (
    CENTRE,
    GEOMETRY,
    SAMPLING,
    TRUE,
    features,
    hidden,
    pair,
    prepared,
)

from diffus import Medium, Volume, pose
from diffus.datasets.case_files import CaseFiles
from diffus.datasets.landmarks import Landmarks
from diffus.datasets.pair import Pair
from diffus.learning import VoxelModel, apply_model, challenge, evaluation
from diffus.learning.evaluation import Evaluation, EvaluationSettings, evaluate
from diffus.learning.evaluation_report import save_fields, summary, write_evaluation
from diffus.learning.frame_scores import MEASURES, FrameScores, mean_scores, score_frames
from diffus.learning.loss import SCALES
from diffus.learning.rendering import learned_levels
from diffus.learning.untrained import UntrainedModel
from diffus.registration.rigid_search import SearchSettings
from diffus.registration.virtual_sweep import SweepSampling
from diffus.registration.volume import SweepGeometry, VolumeSettings
from diffus.similarity import lc2, mind, ncc

SETTINGS = EvaluationSettings(sampling=SAMPLING)
QUICK = VolumeSettings(
    search=SearchSettings(
        reach_mm=4, reach_deg=4, n_starts=12, n_rounds=1, n_descents=1, n_finals=1, n_steps=8
    ),
    coarse=SweepSampling(n_frames=4, n_scanlines=20, n_samples=36),
    fine=SweepSampling(n_frames=5, n_scanlines=32, n_samples=48),
)
SWEEPS = {"one": GEOMETRY, "two": GEOMETRY}
IDENTITY = torch.eye(4, dtype=torch.float64)


@cache
def marks() -> Landmarks:
    """Four places about the middle of the sweep, which `TRUE` takes to those of the MRI."""
    apart = torch.tensor([[3.0, 0, 0], [0, 4, 0], [0, 0, 5], [-3, -2, 1]], dtype=torch.float64)
    return Landmarks(pose.transform_points(TRUE, CENTRE + apart), CENTRE + apart)


def whole(case: str = "one", transform: torch.Tensor | None = TRUE) -> Pair:
    """The pair made here, with landmarks."""
    given = pair()
    return Pair(case, given.ultrasound, given.contrasts, transform, given.mask, marks())


def broken(case: str = "two") -> Pair:
    given = whole(case)
    return replace(given, ultrasound=Volume(0 * given.ultrasound.data, given.ultrasound.world_from_voxel))


@cache
def of_truth() -> Evaluation:
    return evaluate(hidden(), [whole(), broken()], SETTINGS, geometries=SWEEPS)


@cache
def registered() -> Evaluation:
    settings = replace(SETTINGS, register=True, registration=QUICK)
    return evaluate(hidden(), [whole(transform=None)], settings, geometries=SWEEPS)


def test_scores_are_those_of_the_measures_on_the_frames_of_training() -> None:
    case = prepared()
    sweep = case.frames.sweep
    with torch.no_grad():
        levels = learned_levels(hidden(), case.mri, sweep.probe, case.poses)
    images = (levels, sweep.image, sweep.weights)
    (found,) = of_truth().cases
    assert len(found.frames) == len(case.frames) > SAMPLING.n_frames
    assert found.places == tuple(case.frames.place.tolist())
    for name, expected in {
        "ncc": ncc(*images),
        "local_ncc": SCALES(*images),
        "lc2": lc2(*images, window=9),
        "mind_distance": 1 - mind(*images),
    }.items():
        scored = torch.tensor([getattr(frame, name) for frame in found.frames])
        assert torch.allclose(scored, expected, atol=1e-5), name
        assert getattr(found.mean, name) == pytest.approx(float(expected.mean()), abs=1e-5)


def test_histogram_distance_is_that_of_scipy_and_blind_to_gain() -> None:
    generator = torch.Generator().manual_seed(1)
    rendered = torch.randn(3, 40, 48, generator=generator)
    real = torch.rand(3, 40, 48, generator=generator) ** 3 * 255
    weights = (torch.rand(3, 40, 48, generator=generator) > 0.02).float()
    weights[1, :, 36:] = 0
    found = [frame.histogram_distance for frame in score_frames(rendered, real, weights)]
    for number in range(3):
        counted = weights[number] > 0
        one, other = (image[number][counted].double().numpy() for image in (rendered, real))
        expected = wasserstein_distance((one - one.mean()) / one.std(), (other - other.mean()) / other.std())
        assert found[number] == pytest.approx(expected, abs=1e-5)
    louder = [frame.histogram_distance for frame in score_frames(rendered * 7 - 40, real, weights)]
    assert louder == pytest.approx(found, abs=1e-4)
    assert min(found) > 0.1


def test_a_frame_is_nearest_to_itself() -> None:
    sweep = prepared().frames.sweep
    for frame in score_frames(sweep.image, sweep.image, sweep.weights):
        assert frame.ncc == pytest.approx(1, abs=1e-4)
        assert frame.mind_distance == pytest.approx(0, abs=1e-5)
        assert frame.histogram_distance == 0


def test_the_true_model_beats_the_untrained_and_a_wrong_one() -> None:
    wrong = hidden()
    with torch.no_grad():
        next(wrong.parameters()).neg_()  # what is brighter than the untrained medium is darker
    best = of_truth().mean
    bare = replace(whole(), landmarks=None)
    others = [evaluate(model, [bare], SETTINGS, geometries=SWEEPS) for model in (None, wrong)]
    assert others[0].tre_mm is None
    assert [other.model for other in others] == ["untrained", "voxel"]
    for mean, margin in zip((other.mean for other in others), (0.01, 0.1), strict=True):
        assert best.ncc > mean.ncc + margin
        assert best.local_ncc > mean.local_ncc + 3 * margin
        assert best.mind_distance < mean.mind_distance - 0.01
    # LC2 fits its regressors anew in every window, and does not tell the true model from the untrained one.
    assert best.lc2 > others[1].mean.lc2 + 0.05


def test_untrained_is_the_untrained_medium() -> None:
    assert torch.equal(UntrainedModel()(features()), features().untrained)


def test_a_broken_case_is_named_and_the_others_are_evaluated() -> None:
    found = of_truth()
    assert [case.case for case in found.cases] == ["one"]
    assert set(found.skipped) == {"two"}
    assert "constant" in found.skipped["two"]
    with pytest.raises(ValueError, match=r"no case can be evaluated \(two: .*constant"):
        evaluate(hidden(), [broken()], SETTINGS, geometries=SWEEPS)
    with pytest.raises(ValueError, match=r"no case can be evaluated .*the model reads flair"):
        evaluate(VoxelModel(("flair",)), [whole()], SETTINGS, geometries=SWEEPS)
    with pytest.raises(ValueError, match="none was given"):
        evaluate(None, [], SETTINGS)


def test_tre_by_hand() -> None:
    assert of_truth().cases[0].tre_mm == pytest.approx(0, abs=1e-9)
    (found,) = registered().cases
    apart = marks().ultrasound_mm - marks().mri_mm
    assert found.tre_mm == pytest.approx(float(np.linalg.norm(apart.numpy(), axis=1).mean()))
    assert registered().tre_mm == found.tre_mm
    assert of_truth().registered_tre_mm is None


def test_registration_with_the_true_model_brings_landmarks_together() -> None:
    (found,) = registered().cases
    assert found.registered is not None and found.registered.score is not None
    assert found.tre_mm is not None and found.registered.tre_mm is not None
    assert found.registered.tre_mm < 0.5 * found.tre_mm
    moved = pose.transform_points(found.registered.mri_from_ultrasound, marks().ultrasound_mm)
    by_hand = (moved - marks().mri_mm).norm(dim=1)
    assert found.registered.tre_mm == pytest.approx(float(by_hand.mean()))
    assert found.registered.score.errors_mm == pytest.approx(by_hand.tolist(), abs=1e-3)
    assert found.registered.score.foldings == 0


def test_registration_begins_where_the_pair_lies_with_the_models_medium(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {}

    def stand_in(ultrasound: Volume, medium: Medium, geometry: SweepGeometry, **options: Any) -> None:
        asked.update(options, medium=medium)
        raise ValueError("asked")

    monkeypatch.setattr(evaluation, "register_volume", stand_in)
    with pytest.raises(ValueError, match="asked"):
        evaluate(hidden(), [whole()], replace(SETTINGS, register=True), geometries=SWEEPS)
    assert torch.equal(asked["initial"], TRUE)
    assert torch.equal(asked["medium"].channels, apply_model(hidden(), features()).channels)


def test_fields_are_the_challenges(tmp_path: Path) -> None:
    (found,) = registered().cases
    assert found.registered is not None
    given = whole(transform=None)
    names = {"t1": Path("imagesTr/ReMIND2Reg_0007_0001.nii.gz")}
    files = CaseFiles("one", Path("imagesTr/ReMIND2Reg_0007_0000.nii.gz"), names)
    (written,) = save_fields(tmp_path, files, given, found.registered)
    assert written.name == "disp_0007_0000_0007_0001.nii.gz"
    mri, ultrasound = given.contrasts["t1"], given.ultrasound
    score = challenge.score_field(
        challenge.load_field(written),
        pose.transform_points(ultrasound.voxel_from_world, marks().ultrasound_mm),
        pose.transform_points(mri.voxel_from_world, marks().mri_mm),
        mri.spacing_mm,
    )
    assert score.tre_mm == pytest.approx(found.registered.tre_mm, abs=1e-3)


def test_what_is_written(tmp_path: Path) -> None:
    written = write_evaluation(tmp_path, of_truth())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written.values())
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["mean"] == asdict(of_truth().mean)
    assert content["cases"][0]["tre_mm"] == of_truth().tre_mm
    assert set(content["skipped"]) == {"two"}
    with (tmp_path / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    (case,) = of_truth().cases
    assert len(rows) == len(case.frames)
    for row, frame, place in zip(rows, case.frames, case.places, strict=True):
        assert float(row["place"]) == pytest.approx(place, rel=1e-5)
        for name in MEASURES:
            assert float(row[name]) == pytest.approx(getattr(frame, name), rel=1e-5)
    with (tmp_path / "cases.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["lc2"]) == pytest.approx(case.mean.lc2, rel=1e-5)
    assert row["registered_tre_mm"] == row["verdict"] == ""
    text = (tmp_path / "summary.txt").read_text()
    assert "1 evaluated, 1 skipped" in text
    assert "skipped two: " in text
    assert "TRE after" not in text
    assert "TRE after registration" in summary(registered())
    assert (tmp_path / "frames.png").read_bytes().startswith(b"\x89PNG")


def test_means_count_all_alike() -> None:
    one = FrameScores(ncc=0, local_ncc=0, lc2=0, mind_distance=0, histogram_distance=0)
    other = FrameScores(ncc=1, local_ncc=0.5, lc2=0.3, mind_distance=0.1, histogram_distance=2)
    assert asdict(mean_scores([one, other, other])) == pytest.approx(
        {name: 2 * getattr(other, name) / 3 for name in MEASURES}
    )
    with pytest.raises(ValueError, match="no scores"):
        mean_scores([])


def test_ultrasound_outside_the_brain_is_put_aside() -> None:
    away = IDENTITY.clone()
    away[0, 3] = 500
    with pytest.raises(ValueError, match="of the ultrasound lies in the brain"):
        evaluate(None, [whole(transform=away)], SETTINGS, geometries=SWEEPS)
    with pytest.raises(ValueError, match="seed"):
        EvaluationSettings(seed=-1)
