"""What is wrong with a dataset, one fault at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tests.datasets.scenes import simulated, volume

from diffus import Volume
from diffus.datasets.appearance import appearance_of
from diffus.datasets.check import CaseReport, check_dataset

CASES = ("ReMIND2Reg_0000", "ReMIND2Reg_0001")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("simulated"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


def _image(folder: Path, modality: int, case: str = CASES[0]) -> Path:
    return folder / "imagesTr" / f"{case}_{modality:04d}.nii.gz"


def _checked(folder: Path) -> CaseReport:
    """The report of the first case, after seeing that the other is still looked at and fine."""
    report = check_dataset(folder)
    assert [case.case for case in report.cases] == list(CASES)
    assert report.cases[1].is_fine
    assert not report.is_fine
    return report.cases[0]


def test_nothing_is_wrong(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    report = check_dataset(folder, lambda *what: told.append(what))
    assert report.is_fine, report
    assert report.kind == "ReMIND2Reg"
    assert [case.has for case in report.cases] == [("us", "cet1", "t2")] * 2
    assert [case.split for case in report.cases] == ["training", "validation"]
    assert told == [(CASES[0], 0, 2), (CASES[1], 1, 2)]


def test_missing_files_are_listed(folder: Path) -> None:
    _image(folder, 2).unlink()
    case = _checked(folder)
    assert case.missing == (_image(folder, 2),)
    assert case.problems == ()
    report = check_dataset(folder)
    assert report.missing == [_image(folder, 2)]
    assert "10.7937/3RAG-D070" in report.source


def test_a_file_that_was_cut_off(folder: Path) -> None:
    path = _image(folder, 0)
    path.write_bytes(path.read_bytes()[:3000])
    (problem,) = _checked(folder).problems
    assert problem.startswith("us: ")
    assert str(path) in problem


def test_nan(folder: Path) -> None:
    mri = Volume.load(_image(folder, 1))
    values = mri.data.numpy().copy()
    values[3, 4, 5:8] = np.nan
    nibabel.Nifti1Image(values, mri.world_from_voxel.numpy()).to_filename(_image(folder, 1))  # pyright: ignore
    assert _checked(folder).problems == ("cet1: 3 NaN or infinite voxels of 110592",)


def test_shape_spacing_and_place(folder: Path) -> None:
    mri = Volume.load(_image(folder, 1))
    mri.crop((0, 0, 0), (48, 48, 40)).save(_image(folder, 1))
    problems = _checked(folder).problems
    assert problems[0] == "cet1: shape 48 x 48 x 40, expected 48 x 48 x 48"
    assert problems[1].startswith("cet1 does not lie on the grid of us: shapes")
    stretched = mri.world_from_voxel.clone()
    stretched[:3, :3] *= 1.25
    Volume(mri.data, stretched).save(_image(folder, 1))
    assert "cet1: spacing 2 x 2 x 2 mm, expected 1.6 mm" in _checked(folder).problems
    shifted = mri.world_from_voxel.clone()
    shifted[1, 3] += 2.5
    Volume(mri.data, shifted).save(_image(folder, 1))
    (problem,) = _checked(folder).problems
    assert problem == "cet1 does not lie on the grid of us: affines place voxels up to 2.5 mm apart"


def test_ultrasound_without_an_image(folder: Path) -> None:
    blank = Volume.load(_image(folder, 0))
    Volume(torch.zeros_like(blank.data), blank.world_from_voxel).save(_image(folder, 0))
    assert "us: every voxel is 0" in _checked(folder).problems


def test_swapped_modalities_are_a_warning(folder: Path) -> None:
    ultrasound, cet1 = _image(folder, 0), _image(folder, 1)
    kept = ultrasound.read_bytes()
    ultrasound.write_bytes(cet1.read_bytes())
    cet1.write_bytes(kept)
    case = _checked(folder)
    assert any(text.startswith("cet1 looks like ultrasound") for text in case.warnings)


def test_mri_that_misses_the_ultrasound(folder: Path) -> None:
    mri = Volume.load(_image(folder, 1))
    ultrasound = Volume.load(_image(folder, 0))
    hidden = torch.where(ultrasound.data > 0, 0.0, mri.data)
    Volume(hidden, mri.world_from_voxel).save(_image(folder, 1))
    assert "cet1 shows something in 0% of what the ultrasound covers" in _checked(folder).problems


def test_landmarks_that_cannot_be_read(folder: Path) -> None:
    (folder / "landmarksTr" / f"{CASES[0]}_0001.csv").write_text("1,2\n")
    (problem,) = _checked(folder).problems
    assert problem.startswith("landmarks: ")


def _pairs(folder: Path) -> Path:
    lit = volume(1, side=24, spacing_mm=2.0)
    lit.save(folder / "t1.nii.gz")
    shifted = lit.world_from_voxel.clone()
    shifted[0, 3] += 100
    Volume(lit.data, shifted).save(folder / "us.nii.gz")
    Volume(lit.data[:, :, :9], lit.world_from_voxel).save(folder / "mask.nii.gz")
    (folder / "there.txt").write_text("1 0 0 -100\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    (folder / "bad.txt").write_text("1 0 0 -100\n")
    path = folder / "pairs.csv"
    rows = ["apart,us.nii.gz,t1.nii.gz,,,", "moved,us.nii.gz,t1.nii.gz,there.txt,,"]
    rows += ["bad,us.nii.gz,t1.nii.gz,bad.txt,mask.nii.gz,", "gone,us.nii.gz,t1.nii.gz,,,marks.csv"]
    path.write_text("\n".join(["case,us,t1,transform,mask,landmarks", *rows]) + "\n")
    return path


def test_a_list_of_pairs(tmp_path: Path) -> None:
    report = check_dataset(_pairs(tmp_path))
    assert report.kind == "paired"
    cases = {case.case: case for case in report.cases}
    assert cases["apart"].problems == ("t1 shows something in 0% of what the ultrasound covers",)
    assert cases["moved"].problems == ()
    assert [text.split(":")[0].split(" ")[0] for text in cases["bad"].problems] == ["transform", "mask"]
    assert cases["gone"].missing == (tmp_path / "marks.csv",)


def test_resect(shared_data: Path) -> None:
    report = check_dataset(shared_data / "resect")
    assert report.kind == "RESECT"
    assert {case.case: case.problems for case in report.cases} == {
        "Case1": ("has no MRI",),
        "Case4": ("has no MRI",),
        "Case6": ("has no MRI",),
        "Case24": (),
    }
    assert all(not case.warnings for case in report.cases)


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no ReMIND2Reg dataset"):
        check_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="no ReMIND2Reg dataset"):
        check_dataset(tmp_path / "nowhere")


def test_real_volumes_look_like_what_they_are(shared_data: Path) -> None:
    for path in sorted((shared_data / "resect").glob("Case24-*.nii.gz")):
        votes = appearance_of(Volume.load(path)).votes
        assert votes == 3 if "-US-" in path.name else votes < 2, path.name
    path = shared_data / "mri" / "ch2_colin27_T1_1mm.nii.gz"
    assert appearance_of(Volume.load(path)).votes < 3


def test_the_numbers_of_appearance() -> None:
    data = torch.zeros(6, 6, 6)
    data[2:5, 2:5, 2:5] = 4
    data[3, 3, 3] = 10
    look = appearance_of(Volume(data, torch.eye(4, dtype=torch.float64)))
    assert look.empty_share == pytest.approx(1 - 27 / 216)
    mean = (26 * 4 + 10) / 27
    assert look.step == pytest.approx(4 / mean)
    # Of the 27 triples within the cube, 9 along each axis, 3 go through the middle: 4 - 20 + 4 = -12.
    spread = ((26 * 16 + 100) / 27 - mean**2) ** 0.5
    assert look.roughness == pytest.approx((3 * 144 / 27 / 6) ** 0.5 / spread)
    constant = Volume(torch.ones(3, 3, 3), torch.eye(4, dtype=torch.float64))
    assert appearance_of(constant) == (0, 0, 0)
