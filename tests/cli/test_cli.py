"""The command line as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tests.scenes import IDENTITY

from diffus import Volume, pose
from diffus.cli import main

FILES = {
    "bmode.png",
    "slice.png",
    "side_by_side.png",
    "frame.nii.gz",
    "frame.npz",
    "pose.json",
    "probe.json",
    "summary.txt",
}
SMALL = ("--probe-with", "n_scanlines=32", "n_samples=64", "depth_mm=40")


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block of white matter with a ball of CSF in it, as a label map for the FAST table."""
    data = torch.zeros(40, 40, 40, dtype=torch.uint8)
    data[5:35, 5:35, 5:35] = 3
    axes = torch.meshgrid(*(torch.arange(40) - 19.5 for _ in range(3)), indexing="ij")
    data[torch.stack(axes).norm(dim=0) < 5] = 1
    affine = IDENTITY.clone()
    affine[:3, 3] = -19.5
    return Volume(data, affine).save(tmp_path_factory.mktemp("labels") / "labels.nii.gz")


def test_demo_leaves_everything_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("nilearn", reason="the example brain needs the extra [demo]")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "demo").iterdir()} == FILES
    for name in FILES:
        assert str(tmp_path / "demo" / name) in said
    assert "MNI152" in (tmp_path / "demo" / "summary.txt").read_text()


def test_render_from_labels_and_again_from_its_own_pose_and_probe(labels: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["render", str(labels), "--contrast", "labels", "--table", "fast"]
    assert main([*common, *SMALL, "--side", "superior", "--out", str(first)]) == 0
    assert {path.name for path in first.iterdir()} == FILES
    again = ["--pose", str(first / "pose.json"), "--probe", str(first / "probe.json"), "--out", str(second)]
    assert main([*common, *again]) == 0
    images = [np.asanyarray(nibabel.load(out / "frame.nii.gz").dataobj) for out in (first, second)]
    assert np.array_equal(*images)
    assert json.loads((first / "probe.json").read_text())["n_scanlines"] == 32


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m diffus render --help | head -n 1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("usage: diffus render") and ended.stderr == ""


def test_entry_and_target_place_the_probe(labels: Path, tmp_path: Path) -> None:
    where = ["--entry", "0", "0", "16", "--target", "0", "0", "-5"]
    out = ["--out", str(tmp_path)]
    assert main(["render", str(labels), "--contrast", "labels", "--table", "fast", *SMALL, *where, *out]) == 0
    expected = pose.look_at((0.0, 0.0, 16.0), (0.0, 0.0, -5.0))
    assert torch.allclose(pose.load(tmp_path / "pose.json"), expected)


def test_settings_reach_the_renderer(labels: Path, tmp_path: Path) -> None:
    common = ["render", str(labels), "--contrast", "labels", "--table", "fast", *SMALL, "--side", "superior"]
    assert main([*common, "--settings.gain-db", "20", "--out", str(tmp_path / "loud")]) == 0
    assert (
        main(
            [
                *common,
                "--settings.gain-db",
                "-20",
                "--settings.tgc-db-per-cm",
                "0",
                "--out",
                str(tmp_path / "low"),
            ]
        )
        == 0
    )
    loud, low = (np.asanyarray(nibabel.load(tmp_path / n / "frame.nii.gz").dataobj) for n in ("loud", "low"))
    assert loud.mean() > low.mean() + 0.1


def test_info_says_what_is_in_the_file(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(labels)]) == 0
    said = capsys.readouterr().out
    for fact in ("40 x 40 x 40", "1 x 1 x 1 mm", "RAS", "40.0 x 40.0 x 40.0 mm"):
        assert fact in said, fact


@pytest.mark.parametrize("command", ["demo", "info", "render"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code in (None, 0)
    assert f"Example: diffus {command}" in capsys.readouterr().out


def test_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "diffus", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().startswith("diffus 0.")
