"""``diffus evaluate`` as a user meets it, on a small simulated dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.datasets.scenes import SETTINGS, simulated

from diffus import Volume
from diffus.cli import main
from diffus.datasets import remind2reg
from diffus.files import read_json
from diffus.learning import VoxelModel, challenge, save_model
from diffus.presets import probe_from_dict
from diffus.registration.volume import SweepGeometry

QUICK = ("--frames", "8", "--survey", "4", "--starts", "1")
CASE = "ReMIND2Reg_0001"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases of validation, of which the first lacks its ultrasound."""
    folder = simulated(tmp_path_factory.mktemp("data") / "made", replace(SETTINGS, cases=2, validation=2))
    (folder / "imagesTr" / "ReMIND2Reg_0000_0000.nii.gz").unlink()
    return folder


@pytest.fixture(scope="module", autouse=True)
def _known_geometry(data: Path) -> Iterator[None]:
    """The sector is not looked for, which takes long and has its own tests."""
    truth = read_json(data / "truth" / f"{CASE}.json", "truth")
    poses = torch.tensor(truth["ultrasound_from_probe"], dtype=torch.float64)
    along = poses[-1, :3, 3] - poses[0, :3, 3]
    geometry = SweepGeometry(probe_from_dict(truth["probe"]), poses[len(poses) // 2], along)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepGeometry, "found_in", lambda ultrasound: geometry)
        yield


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(VoxelModel(("cet1", "t2")), tmp_path_factory.mktemp("model"))


def test_evaluated_registered_and_written(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", str(data), "--model", str(model), "--register", *QUICK]
    (tmp_path / "fields").mkdir()
    (tmp_path / "fields" / "disp_0009_0000_0009_0001.nii.gz").write_text("of an earlier evaluation")
    assert main([*words, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "skipped ReMIND2Reg_0000: case ReMIND2Reg_0000: no such file: " in said
    assert "voxel model, 1 cases" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cases.csv",
        "evaluation.json",
        "fields",
        "frames.csv",
        "frames.png",
        "summary.txt",
    ]
    for name in ("evaluation.json", "fields"):
        assert str(tmp_path / name) in said
    content = read_json(tmp_path / "evaluation.json", "evaluation")
    (case,) = content["cases"]
    pair = remind2reg.open_dataset(data, "validation")[CASE]
    assert pair.landmarks is not None
    assert case["tre_mm"] == pytest.approx(pair.landmarks.tre_mm())
    transform = torch.tensor(case["registered"]["mri_from_ultrasound"], dtype=torch.float64)
    assert case["registered"]["tre_mm"] == pytest.approx(pair.landmarks.tre_mm(transform))
    assert content["challenge"]["tre_mm"][0] == pytest.approx(case["registered"]["tre_mm"], abs=1e-3)
    fields = sorted(path.name for path in (tmp_path / "fields").iterdir())
    assert fields == [f"disp_0001_0000_0001_000{number}.nii.gz" for number in (1, 2)]
    field = challenge.load_field(tmp_path / "fields" / fields[0])
    expected = challenge.displacement_from_rigid(transform, pair.ultrasound, pair.contrasts["cet1"])
    assert torch.equal(field, expected)


def test_a_csv_of_whole_cases_ends_with_zero(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [str(data / "imagesTr" / f"{CASE}_000{number}.nii.gz") for number in (0, 1)]
    whole = Volume.load(images[0])
    Volume(0 * whole.data, whole.world_from_voxel).save(tmp_path / "empty.nii.gz")
    table = tmp_path / "pairs.csv"
    table.write_text(f"case,us,cet1,split\none,{','.join(images)},mine\ntwo,empty.nii.gz,{images[1]},other\n")
    words = ["evaluate", str(table), "--out", str(tmp_path / "out"), *QUICK]
    assert main([*words, "--cases", "1"]) == 0
    assert "untrained model, 1 cases" in capsys.readouterr().out
    (case,) = json.loads((tmp_path / "out" / "evaluation.json").read_text())["cases"]
    assert (case["case"], case["contrasts"], case["tre_mm"]) == ("one", ["cet1"], None)
    assert not (tmp_path / "out" / "fields").exists()
    assert main([*words, "--split", "other"]) == 2
    assert "no case can be evaluated (two: ultrasound volume is constant" in capsys.readouterr().err
    assert main([*words, "--split", "third"]) == 2
    assert "has no case of split 'third': expected one of mine, other" in capsys.readouterr().err


def test_refusals_are_one_line(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    refused = {
        "no data at": [str(tmp_path / "none")],
        "unknown split 'test'": [str(data), "--split", "test"],
        "has no case with ultrasound and MRI in this split": [str(data), "--split", "training"],
        "model card file not found": [str(data), "--model", str(tmp_path / "none")],
        "cannot write": [str(data), "--model", str(model), "--out", str(tmp_path / "file")],
        "cases must lie in": [str(data), "--cases", "0"],
    }
    for message, words in refused.items():
        assert main(["evaluate", "--out", str(tmp_path / "out"), *words]) == 2
        said = capsys.readouterr().err
        assert message in said.replace("\n", " ")
        assert "Traceback" not in said


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    assert "Example: diffus evaluate ReMIND2Reg" in capsys.readouterr().out
