"""``diffus register`` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium

import diffus
from diffus import Medium, Volume, pose
from diffus.cli import main
from diffus.files import write_json

FILES = {
    "registration.npz",
    "inputs.json",
    "pose.json",
    "before_and_after.png",
    "descents.png",
    "registration.txt",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MRI of three tissues, its mask, and a frame rendered from it, with a pose beside the true one."""
    folder = tmp_path_factory.mktemp("register")
    scatters = medium().backscatter
    levels = 40 + 60 * (scatters > 0.004) + 60 * (scatters > 0.013)
    generator = torch.Generator().manual_seed(0)
    noisy = levels + 4 * torch.randn(levels.shape, generator=generator)
    mri = Volume(noisy, medium().world_from_voxel)
    mask = Volume(torch.ones(levels.shape, dtype=torch.uint8), mri.world_from_voxel)
    mri.save(folder / "mri.nii.gz")
    mask.save(folder / "mask.nii.gz")
    tissue = Medium.from_mri(mri, "t1", mask=mask)
    settings = diffus.RenderSettings(speckle="sampled", seed=5)
    frame = diffus.render(tissue, PROBE, TRUTH, settings)
    frame.save(folder / "frame.npz")
    frame.save(folder / "frame.nii.gz", spacing_mm=0.2)
    write_json(folder / "probe.json", PROBE.to_dict())
    pose.save(pose.perturb(TRUTH, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.5, 0.5])), folder / "start.json")
    return folder


def _arguments(files: Path, out: Path, frame: str = "frame.npz") -> list[str]:
    given = [
        "register",
        str(files / frame),
        "--mri",
        str(files / "mri.nii.gz"),
        "--starts",
        "2",
        "--survey",
        "64",
    ]
    given += ["--mask", str(files / "mask.nii.gz"), "--initial", str(files / "start.json")]
    return [*given, "--reach-mm", "3", "--reach-deg", "3", "--out", str(out)]


def test_finds_the_pose_and_goes_on_where_it_was(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*_arguments(files, tmp_path), "--animation"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"descent.gif"}
    shift, turn = pose.distance(pose.load(tmp_path / "pose.json"), TRUTH)
    assert float(shift) < 0.5
    assert float(turn) < 1
    assert "verdict: converged" in capsys.readouterr().out
    first = (tmp_path / "registration.npz").read_bytes()
    assert main(_arguments(files, tmp_path)) == 0
    assert (tmp_path / "registration.npz").read_bytes() == first
    assert main([*_arguments(files, tmp_path), "--seed", "4"]) == 2
    assert "other inputs (seed differ)" in capsys.readouterr().err


def test_an_image_in_its_place_with_a_probe(files: Path, tmp_path: Path) -> None:
    given = _arguments(files, tmp_path, "frame.nii.gz")
    assert main([*given, "--probe", str(files / "probe.json")]) == 0
    assert float(pose.distance(pose.load(tmp_path / "pose.json"), TRUTH)[0]) < 0.5


def test_a_wrong_pose_is_not_given_with_exit_status_zero(files: Path, tmp_path: Path) -> None:
    elsewhere = pose.look_at((0.0, 22.0, 0.0), (0.0, 0.0, 0.0))
    pose.save(elsewhere, tmp_path / "elsewhere.json")
    given = _arguments(files, tmp_path / "out")
    given[given.index("--initial") + 1] = str(tmp_path / "elsewhere.json")
    assert main(given) == 3
    assert "ambiguous" in (tmp_path / "out" / "registration.txt").read_text()


def test_refusals_are_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(_arguments(files, tmp_path, "frame.nii.gz")) == 2
    assert "give --probe" in capsys.readouterr().err
    stretched = IDENTITY.clone()
    stretched[:3, :3] *= 5
    Volume(torch.rand(100, 100, 1), stretched).save(tmp_path / "large.nii.gz")
    given = ["register", str(tmp_path / "large.nii.gz"), "--mri", "x.nii", "--probe", "linear"]
    assert main([*given, "--out", str(tmp_path)]) == 2
    assert "pixel spacing is wrong" in capsys.readouterr().err
