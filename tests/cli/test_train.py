"""``diffus train`` and ``diffus render --model`` as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.learning.paired import everywhere, mri, pair
from tests.registration.phantom_sweep import GEOMETRY

from diffus import Volume
from diffus.cli import main
from diffus.io.transforms import save_transform
from diffus.learning import load_card
from diffus.learning.log import read_log
from diffus.registration.volume import SweepGeometry

SMALL = {
    "frames_per_step": 4,
    "sampling": {"n_frames": 8, "n_tilted": 0, "n_scanlines": 40, "n_samples": 48},
    "validate_every": 2,
    "checkpoint_every": 2,
    "panel_every": 2,
}


@pytest.fixture(scope="module", autouse=True)
def _known_geometry() -> Iterator[None]:
    """The sector is not looked for, which takes long and has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepGeometry, "found_in", lambda ultrasound: GEOMETRY)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with one pair and one that is broken, and a configuration."""
    folder = tmp_path_factory.mktemp("data")
    mask = everywhere()
    mri().save(folder / "t1.nii.gz")
    pair().ultrasound.save(folder / "us.nii.gz")
    Volume(mask.data.float(), mask.world_from_voxel).save(folder / "mask.nii.gz")
    Volume(0 * mask.data.float(), mask.world_from_voxel).save(folder / "empty.nii.gz")
    save_transform(folder / "transform.tfm", pair().mri_from_ultrasound)
    rows = ["case,us,t1,mask,transform", "one,us.nii.gz,t1.nii.gz,mask.nii.gz,transform.tfm"]
    rows.append("two,empty.nii.gz,t1.nii.gz,mask.nii.gz,")
    (folder / "pairs.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.json").write_text(json.dumps({"data": "pairs.csv", "settings": SMALL}))
    return folder


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert main(["train", str(data / "config.json"), "--steps", "2", "--out", str(out)]) == 0
    return out


def test_training_leaves_a_model_a_log_and_pictures(trained: Path) -> None:
    card = load_card(trained / "model")
    assert (card.kind, card.contrasts) == ("voxel", ("t1",))
    assert card.training["steps"] == 2
    assert set(card.training["refused"]) == {"two"}
    assert len(read_log(trained / "log.jsonl")) == 4
    assert len(list((trained / "panels").glob("*.png"))) == 1


def test_resumed_it_goes_on(trained: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(data / "config.json")
    assert main(["train", config, "--steps", "2", "--out", str(trained)]) == 2
    assert "holds a training: resume it (--resume)" in capsys.readouterr().err
    assert main(["train", str(data / "pairs.csv"), "--steps", "3", "--out", str(trained), "--resume"]) == 0
    said = capsys.readouterr().out
    assert "3 steps, then all steps were taken. Loss on what was held out:" in said
    assert "left out two: " in said
    assert str(trained / "model" / "model.json") in said
    assert load_card(trained / "model").training["steps"] == 3


def test_a_trained_model_renders(
    trained: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ("--probe-with", "n_scanlines=32", "n_samples=64", "depth_mm=40")
    words = ["render", str(data / "t1.nii.gz"), "--mask", str(data / "mask.nii.gz"), *small]
    model = ["--model", str(trained / "model")]
    assert main([*words, *model, "--out", str(tmp_path)]) == 0
    assert (tmp_path / "frame.npz").is_file()
    assert main([*words, *model, "--contrast", "flair", "--out", str(tmp_path)]) == 2
    assert "this voxel model reads t1, got flair" in capsys.readouterr().err
    assert main([*words, *model, "--contrast", "labels", "--out", str(tmp_path)]) == 2
    assert "does not go with a CT or with labels" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "Example: diffus train ReMIND2Reg" in capsys.readouterr().out


def test_refusals_are_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    refused = {
        "no data at": [str(data / "none")],
        "no RESECT case": [str(tmp_path)],
        "unknown loss 'mse'": [str(data / "pairs.csv"), "--loss", "mse"],
        "unknown kind of tissue model 'unet'": [str(data / "pairs.csv"), "--model", "unet"],
    }
    (tmp_path / "bad.json").write_text('{"settings": {"step": 3}}')
    refused['expected "data"'] = [str(tmp_path / "bad.json")]
    (tmp_path / "worse.json").write_text(
        json.dumps({"data": str(data / "pairs.csv"), "settings": {"step": 3}})
    )
    refused["unknown training setting 'step'"] = [str(tmp_path / "worse.json")]
    for message, words in refused.items():
        assert main(["train", *words, *out]) == 2
        said = capsys.readouterr().err
        assert message in said.replace("\n", " ")
        assert "Traceback" not in said
