"""RESECT by the names of its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.datasets.scenes import volume

from diffus.datasets import resect


def _case(folder: Path, number: int, *names: str) -> None:
    for name in names:
        path = folder / f"Case{number}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".nii.gz"):
            volume(number).save(path)
        else:
            path.write_text("MNI Tag Point File\nVolumes = 2;\nPoints =\n 1 2 3 1 2 4;\n")


def test_the_real_pair(shared_data: Path) -> None:
    dataset = resect.open_dataset(shared_data / "resect")
    assert dataset.names == ("Case24",)
    pair = dataset["Case24"]
    assert list(pair.contrasts) == ["cet1", "flair"]
    assert pair.ultrasound.same_grid(pair.contrasts["cet1"])
    assert pair.landmarks is None
    listed = {case.case: case for case in resect.list_cases(shared_data / "resect")}
    assert list(listed) == ["Case1", "Case4", "Case6", "Case24"]
    assert listed["Case6"].landmark_pairs == shared_data / "resect" / "Case6-MRI-beforeUS.tag"


def test_the_layout_of_the_archive(tmp_path: Path) -> None:
    images = ("MRI/Case{0}-T1.nii.gz", "MRI/Case{0}-FLAIR.nii.gz", "US/Case{0}-US-before.nii.gz")
    others = ("US/Case{0}-US-after.nii.gz", "Landmarks/Case{0}-MRI-beforeUS.tag")
    for number in (10, 2):
        _case(tmp_path, number, *(name.format(number) for name in (*images, *others)))
    _case(tmp_path, 3, "US/Case3-US-before.nii.gz")
    dataset = resect.open_dataset(tmp_path)
    assert dataset.names == ("Case2", "Case10")
    pair = dataset["Case10"]
    assert float(pair.ultrasound.data.min()) == 10
    assert pair.landmarks is not None
    assert pair.landmarks.tre_mm() == 1
    after = resect.open_dataset(tmp_path, "after")
    assert after.cases[0].ultrasound == tmp_path / "Case2" / "US" / "Case2-US-after.nii.gz"
    assert after[0].landmarks is None
    assert [case.case for case in resect.list_cases(tmp_path, "during")] == ["Case2", "Case10"]


def test_nifti_is_taken_before_minc(tmp_path: Path) -> None:
    _case(tmp_path, 1, "MINC/Case1-US-before.mnc", "NIFTI/Case1-US-before.nii.gz", "Case1-T1.mnc")
    (case,) = resect.list_cases(tmp_path)
    assert case.ultrasound == tmp_path / "Case1" / "NIFTI" / "Case1-US-before.nii.gz"
    assert case.contrasts["cet1"].name == "Case1-T1.mnc"


def test_flair_on_another_grid_is_resampled(tmp_path: Path) -> None:
    _case(tmp_path, 1, "Case1-US-before.nii.gz", "Case1-T1.nii.gz")
    volume(3, side=11, spacing_mm=1.0).save(tmp_path / "Case1" / "Case1-FLAIR.nii.gz")
    pair = resect.open_dataset(tmp_path)[0]
    assert pair.contrasts["flair"].same_grid(pair.contrasts["cet1"])
    assert torch.allclose(pair.contrasts["flair"].data[:, 0, 0], 3 + 2 * torch.arange(6.0))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no RESECT case.*10\.11582/2017\.00004"):
        resect.open_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        resect.open_dataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="unknown stage 'later'"):
        resect.open_dataset(tmp_path, "later")
