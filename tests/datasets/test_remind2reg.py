"""The layout of ReMIND2Reg, as its real JSON has it and as a simulated dataset fills it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.datasets.scenes import SETTINGS, simulated

import diffus
from diffus.datasets import remind2reg
from diffus.files import read_json, write_json


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated") / "ReMIND2Reg")


def test_the_real_list_of_cases(shared_data: Path) -> None:
    training = remind2reg.open_dataset(shared_data / "remind2reg")
    assert len(training) == 99
    contrasts = [tuple(case.contrasts) for case in training.cases]
    assert sum("cet1" in names for names in contrasts) == 93
    assert sum("t2" in names for names in contrasts) == 62
    assert set(contrasts) == {("cet1",), ("t2",), ("cet1", "t2")}
    validation = remind2reg.open_dataset(shared_data / "remind2reg", "validation")
    assert validation.names == tuple(f"ReMIND2Reg_{number:04d}" for number in range(99, 103))
    assert all(case.grid == remind2reg.Grid((256, 256, 256), 0.5) for case in training.cases)
    case = training.cases[training.names.index("ReMIND2Reg_0003")]
    assert case.ultrasound == shared_data / "remind2reg" / "imagesTr" / "ReMIND2Reg_0003_0000.nii.gz"
    assert case.contrasts["t2"].name == "ReMIND2Reg_0003_0002.nii.gz"
    with pytest.raises(FileNotFoundError, match=r"ReMIND2Reg_0003_0001.*10\.7937/3RAG-D070"):
        training["ReMIND2Reg_0003"]


@pytest.mark.parametrize("where", ["", "ReMIND2Reg_dataset.json", ".."])
def test_it_is_found_by_folder_file_or_the_folder_above(dataset: Path, where: str) -> None:
    opened = remind2reg.open_dataset(dataset / where)
    assert opened.names == ("ReMIND2Reg_0000",)


def test_a_case_in_memory(dataset: Path) -> None:
    pair = diffus.datasets.remind2reg.open_dataset(dataset, "validation")[0]
    assert pair.case == "ReMIND2Reg_0001"
    assert list(pair.contrasts) == ["cet1", "t2"]
    assert pair.ultrasound.shape == (SETTINGS.size,) * 3
    assert pair.ultrasound.spacing_mm == pytest.approx((SETTINGS.spacing_mm,) * 3)
    assert all(mri.same_grid(pair.ultrasound) for mri in pair.contrasts.values())
    assert pair.mri_from_ultrasound is None
    assert pair.landmarks is not None
    truth = read_json(dataset / "truth" / "ReMIND2Reg_0001.json", "truth")
    known = torch.tensor(truth["landmarks"]["ultrasound"], dtype=torch.float64)
    assert torch.allclose(pair.landmarks.ultrasound_mm, known, atol=1e-4)


def test_patients_who_lack_one_side(dataset: Path, tmp_path: Path) -> None:
    content = read_json(dataset / "ReMIND2Reg_dataset.json", "dataset")
    content["training"] += [
        {"image": "./imagesTr/ReMIND2Reg_0007_0001.nii.gz"},
        {"image": "./imagesTr/ReMIND2Reg_0008_0000.nii.gz"},
    ]
    write_json(tmp_path / "ReMIND2Reg_dataset.json", content)
    cases = {case.case[-4:]: case for case in remind2reg.list_cases(tmp_path)}
    assert cases["0007"].ultrasound is None
    assert list(cases["0007"].contrasts) == ["cet1"]
    assert not cases["0008"].contrasts
    assert remind2reg.open_dataset(tmp_path).names == ("ReMIND2Reg_0000",)


def test_landmarks_lie_where_the_evaluation_looks() -> None:
    folder = Path("data")
    assert remind2reg.landmark_files(folder, "ReMIND2Reg_0099", 1) == (
        folder / "landmarksTr" / "ReMIND2Reg_0099_0000.csv",
        folder / "landmarksTr" / "ReMIND2Reg_0099_0001.csv",
    )
    assert remind2reg.landmark_files(folder, "ReMIND2Reg_0099", 2) == (
        folder / "landmarks00000002Tr" / "ReMIND2Reg_0099_0000.csv",
        folder / "landmarks00000002Tr" / "ReMIND2Reg_0099_0002.csv",
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modality": {"0": "MR", "1": "US"}}, "expected modality 0 to be US"),
        ({"modality": None}, "expected modality 0 to be US"),
        ({"tensorImageShape": {"0": [1, 2]}}, "three whole numbers"),
        ({"training": ["./imagesTr/brain.nii.gz"]}, "expected names as imagesTr/ReMIND2Reg"),
        ({"training": ["./imagesTr/ReMIND2Reg_0000_0005.nii.gz"]}, "expected names as imagesTr/ReMIND2Reg"),
    ],
)
def test_other_json_is_refused(dataset: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    content = json.loads((dataset / "ReMIND2Reg_dataset.json").read_text())
    write_json(tmp_path / "dataset.json", content | change)
    with pytest.raises(ValueError, match=said):
        remind2reg.open_dataset(tmp_path)


def test_what_is_no_dataset_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ReMIND2Reg_dataset\.json.*Zenodo.*10\.7937/3RAG-D070"):
        remind2reg.open_dataset(tmp_path)
    write_json(tmp_path / "dataset.json", {"name": "something"})
    with pytest.raises(ValueError, match="is not the JSON of ReMIND2Reg"):
        remind2reg.open_dataset(tmp_path)
    write_json(tmp_path / "other_dataset.json", {})
    with pytest.raises(ValueError, match="holds several datasets"):
        remind2reg.open_dataset(tmp_path)
    with pytest.raises(ValueError, match="unknown split 'test'"):
        remind2reg.open_dataset(tmp_path, "test")
