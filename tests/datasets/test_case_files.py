"""Cases that are read when they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.datasets.scenes import volume

from diffus import Volume
from diffus.datasets.case_files import CaseFiles, Grid
from diffus.datasets.landmarks import write_points
from diffus.datasets.pair import Pair
from diffus.datasets.paired_dataset import PairedDataset

GRID = Grid((6, 6, 6), 2.0)


def _case(folder: Path, name: str = "a", mri: Volume | None = None, grid: Grid | None = GRID) -> CaseFiles:
    ultrasound = volume(1).save(folder / f"{name}_us.nii.gz")
    cet1 = (mri or volume(2)).save(folder / f"{name}_cet1.nii.gz")
    return CaseFiles(name, ultrasound, {"cet1": cet1}, grid=grid, source="ask for it")


def _elsewhere(shift_mm: float) -> Volume:
    affine = volume().world_from_voxel.clone()
    affine[0, 3] += shift_mm
    return Volume(volume(2).data, affine)


def test_a_case_is_read_and_its_landmarks_lie_in_the_world(tmp_path: Path) -> None:
    files = _case(tmp_path)
    marks = (tmp_path / "us.csv", tmp_path / "mri.csv")
    write_points(marks[0], torch.tensor([[0.0, 0.0, 0.0]]))
    write_points(marks[1], torch.tensor([[5.0, 5.0, 2.5]]))
    pair = CaseFiles("a", files.ultrasound, files.contrasts, landmark_voxels=marks, grid=GRID).load()
    assert torch.equal(pair.ultrasound.data, volume(1).data)
    assert torch.equal(pair.contrasts["cet1"].data, volume(2).data)
    assert pair.landmarks is not None
    assert pair.landmarks.ultrasound_mm.tolist() == [[-5, -5, -5]]
    assert pair.landmarks.mri_mm.tolist() == [[5, 5, 0]]


def test_nothing_is_read_before_it_is_asked_for_and_once_with_a_cache(tmp_path: Path) -> None:
    cases = [_case(tmp_path, name) for name in "ab"]
    dataset = PairedDataset(cases, cache=True)
    first = dataset["a"]
    for path in cases[0].paths:
        path.unlink()
    assert dataset[0] is first
    assert dataset[-1].case == "b"
    with pytest.raises(FileNotFoundError, match=r"a_us\.nii\.gz, .*a_cet1\.nii\.gz; ask for it"):
        PairedDataset(cases)["a"]
    assert [pair.case for pair in PairedDataset(cases[1:])] == ["b"]


def test_without_a_cache_only_the_last_case_is_kept(tmp_path: Path) -> None:
    dataset = PairedDataset([_case(tmp_path, name) for name in "ab"])
    first = dataset["a"]
    assert dataset["a"] is first
    assert dataset["b"] is dataset[1]
    assert dataset["a"] is not first


def test_deferred_pairs_fail_one_by_one(tmp_path: Path) -> None:
    cases = [_case(tmp_path, name) for name in "ab"]
    cases[0].contrasts["cet1"].unlink()
    broken, whole = PairedDataset(cases).deferred()
    assert broken.case == "a"
    with pytest.raises(FileNotFoundError, match="a_cet1"):
        _ = broken.contrasts
    assert torch.equal(whole.contrasts["cet1"].data, volume(2).data)
    assert torch.equal(whole.ultrasound.data, volume(1).data)
    assert (whole.mask, whole.mri_from_ultrasound, whole.landmarks) == (None, None, None)


def test_cases_are_chosen_by_their_files(tmp_path: Path) -> None:
    dataset = PairedDataset([_case(tmp_path, name) for name in "ab"])
    assert dataset.where(lambda case: case.case == "b").names == ("b",)
    assert len(dataset.where(lambda case: "t2" in case.contrasts)) == 0
    with pytest.raises(ValueError, match="unknown case 'c'"):
        dataset["c"]
    with pytest.raises(IndexError, match="case 2 of 2"):
        dataset[2]
    with pytest.raises(ValueError, match="given twice: a"):
        PairedDataset([dataset.cases[0], dataset.cases[0]])


@pytest.mark.parametrize(
    ("mri", "said"),
    [
        (volume(side=5), "shape 5 x 5 x 5, expected 6 x 6 x 6"),
        (volume(spacing_mm=1.0), "spacing 1 x 1 x 1 mm, expected 2 mm"),
        (_elsewhere(0.5), "does not lie on the grid of the ultrasound"),
    ],
)
def test_a_broken_promise_is_refused(tmp_path: Path, mri: Volume, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _case(tmp_path, mri=mri).load()


def test_without_a_promise_ultrasound_may_lie_anywhere(tmp_path: Path) -> None:
    assert _case(tmp_path, mri=_elsewhere(0.5), grid=None).load().contrasts["cet1"].shape == (6, 6, 6)


def test_contrasts_on_other_grids_are_refused_or_resampled(tmp_path: Path) -> None:
    files = _case(tmp_path, grid=None)
    flair = _elsewhere(2.0).save(tmp_path / "flair.nii.gz")
    both = {**files.contrasts, "flair": flair}
    with pytest.raises(ValueError, match="cet1 and flair lie on different grids"):
        CaseFiles("a", files.ultrasound, both).load()
    found = CaseFiles("a", files.ultrasound, both, regrid=True).load().contrasts["flair"]
    assert found.same_grid(volume())
    assert torch.allclose(found.data[1:], volume(2).data[:-1])


def test_what_a_pair_refuses() -> None:
    with pytest.raises(ValueError, match="case a has no MRI"):
        Pair("a", volume(), {})
    with pytest.raises(ValueError, match="unknown contrast 'pd'"):
        Pair("a", volume(), {"pd": volume()})
    stretched = torch.diag(torch.tensor([1.0, 1.0, 1.1, 1.0], dtype=torch.float64))
    with pytest.raises(ValueError, match="not rigid"):
        Pair("a", volume(), {"t1": volume()}, stretched)
    with pytest.raises(ValueError, match="t1 and the mask lie on different grids"):
        Pair("a", volume(), {"t1": volume()}, mask=volume(side=5))
