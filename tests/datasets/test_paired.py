"""A CSV of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.datasets.scenes import volume

from diffus import pose
from diffus.datasets import paired
from diffus.io.transforms import save_transform

RIGID = pose.exp(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("us", "t1", "flair", "mask")):
        volume(number).save(tmp_path / "scans" / f"{name}.nii.gz")
    save_transform(tmp_path / "scans" / "a.tfm", RIGID)
    (tmp_path / "scans" / "marks.csv").write_text("1,2,3,4,5,6\n")
    return tmp_path


def _list(folder: Path, *lines: str) -> Path:
    path = folder / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_row_with_everything(folder: Path) -> None:
    path = _list(
        folder,
        "case,us,t1,flair,transform,mask,landmarks,split",
        "one,scans/us.nii.gz,scans/t1.nii.gz,scans/flair.nii.gz,scans/a.tfm,scans/mask.nii.gz,"
        "scans/marks.csv,held out",
        "two, scans/us.nii.gz, ,scans/flair.nii.gz,,,,",
    )
    dataset = paired.open_dataset(path)
    assert dataset.names == ("one", "two")
    pair = dataset["one"]
    assert {name: float(mri.data.min()) for name, mri in pair.contrasts.items()} == {"t1": 1, "flair": 2}
    assert float(pair.ultrasound.data.min()) == 0
    assert pair.mask is not None
    assert float(pair.mask.data.min()) == 3
    assert pair.mri_from_ultrasound is not None
    assert torch.allclose(pair.mri_from_ultrasound, RIGID)
    assert pair.landmarks is not None
    assert pair.landmarks.ultrasound_mm.tolist() == [[4, 5, 6]]
    other = dataset["two"]
    assert list(other.contrasts) == ["flair"]
    assert (other.mri_from_ultrasound, other.mask, other.landmarks) == (None, None, None)
    assert paired.open_dataset(path, "held out").names == ("one",)
    with pytest.raises(ValueError, match="no row of split 'x': expected one of held out, training"):
        paired.open_dataset(path, "x")


def test_the_column_mri_and_its_contrast(folder: Path) -> None:
    rows = ["scans/t1.nii.gz,scans/us.nii.gz,T2", "scans/t1.nii.gz,scans/us.nii.gz,"]
    dataset = paired.open_dataset(_list(folder, "MRI,us,contrast", *rows))
    assert [list(case.contrasts) for case in dataset.cases] == [["t2"], ["t1"]]
    assert dataset.names == ("line 2", "line 3")


def test_every_absent_file_is_named_at_once(folder: Path) -> None:
    path = _list(folder, "case,us,t1", "one,scans/us.nii.gz,t1.nii", "two,no.nii,scans/t1.nii.gz")
    with pytest.raises(
        FileNotFoundError, match=r"2 files that are not there.*one: .*t1\.nii; two: .*no\.nii"
    ):
        paired.open_dataset(path)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["us,t1,sequel", "a,b,c"], "out of mri, t1"),
        (["us,US,t1", "a,b,c"], "each once"),
        (["t1,flair", "a,b"], "expected us and one or more"),
        (["us,mask", "a,b"], "expected us and one or more"),
        (["us,t1", "a"], "line 2: it has another number of cells"),
        (["us,t1", "a,b,c"], "line 2: it has another number of cells"),
        (["us,t1", ",b"], "expected a file of ultrasound"),
        (["us,t1", "a,"], "expected a file of ultrasound"),
        (["us,mri,contrast", "a,b,pd"], "mri is said to be 'pd'"),
        (["us,mri,t1", "a,b,c"], "each at most once"),
        (["us,t1"], "is empty"),
    ],
)
def test_what_is_refused(folder: Path, lines: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        paired.open_dataset(_list(folder, *lines))


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such list of pairs"):
        paired.open_dataset(tmp_path / "pairs.csv")
