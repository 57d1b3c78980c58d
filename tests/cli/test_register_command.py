"""``diffus register`` as a user meets it: a frame, a sweep and a volume, cut and resumed, refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.registration.phantom_sweep import GEOMETRY, swept, tissue
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium

import diffus
from diffus import Frame, Medium, Volume, pose
from diffus.cli import main, register, register_outputs
from diffus.cli.register_folder import WRITTEN
from diffus.io.transforms import load_displacement_field, load_transform
from diffus.registration import (
    DeformableRegistration,
    DeformableSettings,
    RegistrationResult,
    SearchOptions,
    SearchSettings,
    VolumeRegistration,
)
from diffus.registration.volume import mean_displacement_mm

OF_FREE_FORM = {"deformation.npz", "transform.h5", "displacement.nii.gz"}
OF_VOLUMES = OF_FREE_FORM | {"transform.tfm"}
NEAR = ["--starts", "2", "--survey", "16", "--reach-mm", "2", "--reach-deg", "2"]


def as_mri(shown: torch.Tensor, medium: Medium) -> Volume:
    generator = torch.Generator().manual_seed(0)
    return Volume(shown + 4 * torch.randn(shown.shape, generator=generator), medium.world_from_voxel)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MRI of three tissues, its mask, frames rendered from it, and a pose beside the true one."""
    folder = tmp_path_factory.mktemp("register")
    scatters = medium().backscatter
    mri = as_mri(40 + 60 * (scatters > 0.004) + 60 * (scatters > 0.013), medium())
    mask = Volume(torch.ones(mri.shape, dtype=torch.uint8), mri.world_from_voxel)
    mri.save(folder / "mri.nii.gz")
    mask.save(folder / "mask.nii.gz")
    made = Medium.from_mri(mri, "t1", mask=mask)
    settings = diffus.RenderSettings(speckle="sampled", seed=5)
    poses = torch.stack([TRUTH, pose.perturb(TRUTH, torch.tensor([0.0, 6, 0, 0, 1, 0]))])
    frames = diffus.render(made, PROBE, poses, settings)
    frames[0].save(folder / "frame.npz")
    (folder / "sweep").mkdir()
    world_from_tracker = pose.exp(torch.tensor([20.0, 5, -10, 30, 40, 50]))
    pose.save(world_from_tracker, folder / "tracker.json")
    for number in range(2):
        at = (pose.inverse(world_from_tracker) @ poses[number])[None]
        one = Frame(frames[number].scanlines, frames[number].envelope, PROBE, at, frames.settings)
        one.save(folder / "sweep" / f"{number}.npz")
    near = pose.perturb(TRUTH, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5, 0.5]))
    np.savetxt(folder / "start.txt", near.numpy())
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is written, and not drawn."""
    monkeypatch.setattr(register_outputs, "_pictures", lambda *given: {})
    monkeypatch.setattr(register_outputs, "save_animation", lambda *given: given[3])
    monkeypatch.setattr(register_outputs, "animate", lambda *given: given[4])


def run(files: Path, what: str, out: Path, *more: str, start: str = "start.txt") -> int:
    given = ["register", str(files / what), "--mri", str(files / "mri.nii.gz"), "--initial"]
    given += [str(files / start), "--mask", str(files / "mask.nii.gz"), *NEAR]
    return main([*given, "--out", str(out), *more])


@pytest.fixture(scope="module")
def finished(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run that was not disturbed leaves."""
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffus.registration.animation.MOST_STEPS", 3)
        assert run(files, "frame.npz", out) == 0
    return out


def test_finds_a_frame_and_writes_everything(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == set(WRITTEN) - OF_VOLUMES
    shift, turn = pose.distance(torch.from_numpy(np.loadtxt(finished / "pose.txt")), TRUTH)
    assert float(shift) < 0.5
    assert float(turn) < 1
    told = (finished / "summary.txt").read_text()
    assert "one frame of a convex probe, 40 mm deep, with a pose" in told
    assert "verdict: converged" in told
    found = RegistrationResult.load(finished / "result.npz").world_from_sweep
    assert torch.equal(pose.load(finished / "pose.json"), found)
    assert np.array_equal(np.loadtxt(finished / "pose.txt"), found.numpy())


def test_a_finished_folder_is_told_again_or_refused(
    files: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "result.npz").read_bytes()
    assert run(files, "frame.npz", finished) == 2
    assert "holds this registration, finished: add --resume" in capsys.readouterr().err
    assert run(files, "frame.npz", finished, "--resume") == 0
    said = capsys.readouterr().out
    assert "frame.npz: one frame of a convex probe" in said
    assert "verdict: converged" in said
    assert run(files, "frame.npz", finished, "--seed", "4", "--resume") == 2
    assert "registration of other inputs: seed was 0, now 4. Give another --out" in capsys.readouterr().err
    assert run(files, "sweep/0.npz", finished, "--resume") == 2
    assert "another content of ultrasound (0.npz)" in capsys.readouterr().err
    assert run(files, "frame.npz", finished, "--resume", "--overwrite") == 2
    assert "give one of them" in capsys.readouterr().err
    assert (finished / "result.npz").read_bytes() == before


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_is_cut_goes_on_to_the_same_bits(
    files: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("diffus.registration.pose.result_of", _interrupt)
        assert run(files, "frame.npz", tmp_path / "cut") == 130
    kept = {path.name for path in (tmp_path / "cut" / "state").iterdir()}
    assert kept >= {"survey.npz", *(f"stage-{n}-of-3.npz" for n in (1, 2, 3)), "last-steps.npz"}
    for name in kept - {"survey.npz", "stage-1-of-3.npz", "stage-2-of-3.npz"}:
        (tmp_path / "cut" / "state" / name).unlink()
    capsys.readouterr()
    assert run(files, "frame.npz", tmp_path / "cut") == 2
    assert "cut off on its way: add --resume to go on" in capsys.readouterr().err
    assert run(files, "frame.npz", tmp_path / "cut", "--resume") == 0
    results = [RegistrationResult.load(out / "result.npz") for out in (finished, tmp_path / "cut")]
    assert torch.equal(results[0].world_from_sweep, results[1].world_from_sweep)
    assert torch.equal(results[0].covariance, results[1].covariance)
    assert results[0].summary() == results[1].summary()
    assert not (tmp_path / "cut" / "state").exists()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("undrawn")
def test_a_sweep_of_saved_frames(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "sweep", tmp_path, start="tracker.json") == 0
    assert "a sweep of 2 tracked frames" in capsys.readouterr().out
    truth = pose.load(files / "tracker.json")
    result = RegistrationResult.load(tmp_path / "result.npz")
    assert result.displacement_mm(truth) < 0.5
    assert pose.load(tmp_path / "pose.json").shape == (2, 4, 4)
    assert "world_from_tracker" in (tmp_path / "pose.txt").read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_wrong_pose_is_not_given_with_exit_status_zero(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose.save(pose.look_at((0.0, 22.0, 0.0), (0.0, 0.0, 0.0)), tmp_path / "elsewhere.json")
    status = run(files, "frame.npz", tmp_path / "out", start=str(tmp_path / "elsewhere.json"))
    assert status == register.NOT_BELIEVED == 1
    said = capsys.readouterr()
    assert "verdict: ambiguous" in (tmp_path / "out" / "summary.txt").read_text()
    assert "not to be believed: ambiguous, " in said.err
    again = run(files, "frame.npz", tmp_path / "out", "--resume", start=str(tmp_path / "elsewhere.json"))
    assert again == 1


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swept volume and the labels of what it shows, both in one world."""
    folder = tmp_path_factory.mktemp("volumes")
    shown = tissue()
    swept(shown, IDENTITY).save(folder / "swept.nii.gz")
    mri = as_mri(40 + 6000 * shown.backscatter, shown)
    mri.save(folder / "mri.nii.gz")
    Volume(torch.ones(mri.shape, dtype=torch.uint8), mri.world_from_voxel).save(folder / "mask.nii.gz")
    return folder


@pytest.mark.usefixtures("undrawn")
def test_a_volume_is_bent(
    volumes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Finding the sector is tested where it is done.
    monkeypatch.setattr("diffus.registration.SweepGeometry.found_in", lambda *given: GEOMETRY)
    given = ["register", str(volumes / "swept.nii.gz"), "--mri", str(volumes / "mri.nii.gz"), "--mask"]
    given += [str(volumes / "mask.nii.gz"), "--survey", "2", "--starts", "1", "--steps", "1"]
    status = main([*given, "--transform", "bspline", "--reach-mm", "2", "--out", str(tmp_path)])
    said = capsys.readouterr()
    assert "a swept volume" in said.out
    assert "free form: score" in said.out
    result = VolumeRegistration.load(tmp_path / "result.npz")
    assert status == (0 if result.converged else 1)
    drawn = {"before_after.png", "checkerboard.png", "overlay.png", "descent.gif"}
    assert {path.name for path in tmp_path.iterdir()} == set(WRITTEN) - {"pose.json"} - drawn
    linear = load_transform(tmp_path / "transform.tfm")
    assert torch.allclose(linear.moving_from_fixed, result.mri_from_ultrasound, atol=1e-9)
    free = DeformableRegistration.load(tmp_path / "deformation.npz")
    field, affine = load_displacement_field(tmp_path / "displacement.nii.gz")
    voxel = torch.tensor([30, 14, 25])
    point = affine[:3, :3] @ voxel.double() + affine[:3, 3]
    assert torch.allclose(free.transform_points(point[None])[0] - point, field[tuple(voxel)], atol=1e-4)
    with_it = load_transform(tmp_path / "transform.h5")
    assert with_it.displacement is not None
    assert torch.allclose(with_it.displacement.at(point[None]), free.displacement.at(point[None]), atol=1e-9)


def test_help_names_the_defaults_of_the_search() -> None:
    said = " ".join((register.Register.__doc__ or "").split())
    poses, volumes = SearchOptions(), SearchSettings()
    for name, (one, other) in {
        "reach_mm": (poses.reach_mm, volumes.reach_mm),
        "reach_deg": (poses.reach_deg, volumes.reach_deg),
        "starts": (poses.n_starts, volumes.n_descents),
        "survey": (poses.n_survey, volumes.n_starts),
        "steps": (volumes.n_steps, DeformableSettings().n_steps),
    }.items():
        about = said.split(f" {name}: ")[1]
        what = "of the free form" if name == "steps" else "for a volume"
        assert f"By default {one:g}, {what} {other:g}." in about[:200], name


def test_refusals_are_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*given: str) -> str:
        assert main(["register", *given, "--out", str(tmp_path / "out")]) == 2
        assert not (tmp_path / "out").exists()
        text = capsys.readouterr().err.strip()
        assert "\n" not in text
        return text

    frame, mri = str(files / "frame.npz"), str(files / "mri.nii.gz")
    bending = said(frame, "--mri", mri, "--transform", "affine")
    assert "--transform affine needs a swept volume, and this is one frame of a convex probe" in bending
    assert "unknown transform 'elastic'" in said(frame, "--mri", mri, "--transform", "elastic")
    assert "got 2 volumes and 1 contrasts" in said(frame, "--mri", mri, mri)
    assert "each may be named once" in said(frame, "--mri", mri, mri, "--contrast", "t1", "t1")
    assert "stands alone" in said(frame, "--mri", mri, mri, "--contrast", "t1", "ct")
    assert "unknown contrast 'pd'" in said(frame, "--mri", mri, "--contrast", "pd")
    assert "no such ultrasound" in said(str(files / "none.npz"), "--mri", mri)
    assert "no such file" in said(frame, "--mri", str(files / "none.nii"))
    assert "--probe does not go with a saved frame" in said(frame, "--mri", mri, "--probe", "linear")
    assert "unknown kind of ultrasound '.txt'" in said(str(files / "start.txt"), "--mri", mri)
    assert "before the options" in said("--mri", mri)
    stretched = torch.diag(torch.tensor([1.1, 1, 1, 1]))
    np.savetxt(tmp_path / "stretched.txt", stretched.numpy())
    assert "not rigid" in said(frame, "--mri", mri, "--initial", str(tmp_path / "stretched.txt"))
    assert "reach_mm" in said(frame, "--mri", mri, "--reach-mm", "-3")


def test_a_refusal_on_the_way_leaves_the_folder_free(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savetxt(tmp_path / "far.txt", np.diag([1.0, 1, 1, 1]) + 900 * np.eye(4, k=3))
    assert run(files, "frame.npz", tmp_path / "out", start=str(tmp_path / "far.txt")) == 2
    assert "at the initial pose" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"inputs.json"}
    inputs = json.loads((tmp_path / "out" / "inputs.json").read_text())
    assert len(inputs["files"]["mri"][0]["sha256"]) == 64
    assert run(files, "frame.npz", tmp_path / "out", "--seed", "1", start=str(tmp_path / "far.txt")) == 2
    assert "at the initial pose" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_volume_from_beginning_to_end(shared_data: Path, tmp_path: Path) -> None:
    """RESECT Case 24, shipped aligned to about 1.1 mm, from 4 mm beside it, its sector found in it."""
    folder = shared_data / "resect"
    away = IDENTITY.clone()
    away[:3, 3] = torch.tensor([3.0, -2.0, 2.0])
    np.savetxt(tmp_path / "start.txt", away.numpy())
    given = ["register", str(folder / "Case24-US-before-0.5mm.nii.gz"), "--mri"]
    given += [str(folder / f"Case24-{name}-inUS-0.5mm.nii.gz") for name in ("T1", "FLAIR")]
    given += [
        "--contrast",
        "cet1",
        "flair",
        "--initial",
        str(tmp_path / "start.txt"),
        "--transform",
        "affine",
    ]
    assert main([*given, "--transform", "affine", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(WRITTEN) - {"pose.json"} - OF_FREE_FORM
    found = load_transform(tmp_path / "out" / "transform.tfm").moving_from_fixed
    ultrasound = Volume.load(folder / "Case24-US-before-0.5mm.nii.gz")
    assert float(mean_displacement_mm(found, IDENTITY, ultrasound)) < 2.5
