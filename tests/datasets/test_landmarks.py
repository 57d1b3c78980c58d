"""Landmark files, and what the error of a registration is."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from tests.support import as_users_run

from diffus import Volume, pose
from diffus.datasets.landmarks import (
    Landmarks,
    read_landmark_pairs,
    read_points,
    read_tags,
    write_points,
)

TAGS = """MNI Tag Point File
Volumes = 2;
% Case 0: 1 2 3 landmarks

Points =
 1.5 -2 3e1 4 5 -6.25 "7"
 10 20 30 40 50 60 1 2 3 "";
"""


def test_a_tag_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tag"
    path.write_text(TAGS)
    marks = read_tags(path)
    assert marks.mri_mm.tolist() == [[1.5, -2.0, 30.0], [10.0, 20.0, 30.0]]
    assert marks.ultrasound_mm.tolist() == [[4.0, 5.0, -6.25], [40.0, 50.0, 60.0]]
    assert read_landmark_pairs(path).mri_mm.equal(marks.mri_mm)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("something else", "is no MNI tag file"),
        (TAGS.replace("Volumes = 2", "Volumes = 1"), "1 volumes, expected 2"),
        (TAGS.replace(" 1.5 -2 3e1 4 5 -6.25", " 1.5 -2 3e1"), "expected six numbers"),
        (TAGS.split("Points =", maxsplit=1)[0] + "Points = ;", "expected six numbers"),
    ],
)
def test_other_tag_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.tag").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_tags(tmp_path / "a.tag")


def test_a_table_of_pairs_with_or_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("1,2,3,4,5,6\n")
    (tmp_path / "named.csv").write_text("x,y,z,us x,us y,us z\n1, 2, 3, 4, 5, 6e0\n")
    for name in ("bare.csv", "named.csv"):
        marks = read_landmark_pairs(tmp_path / name)
        assert marks.mri_mm.tolist() == [[1, 2, 3]]
        assert marks.ultrasound_mm.tolist() == [[4, 5, 6]]


def test_points_come_back(tmp_path: Path) -> None:
    points = torch.randn(5, 3, dtype=torch.float64) * 100
    assert torch.allclose(read_points(write_points(tmp_path / "a.csv", points)), points, atol=6e-7, rtol=0)
    assert (tmp_path / "a.csv").read_text()[0] in "-0123456789"


def test_bad_points_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    with pytest.raises(ValueError, match="three numbers in every row"):
        read_points(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("1,2,3\n1,2,x\n")
    with pytest.raises(ValueError, match="no table of landmarks"):
        read_points(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="no such landmark file"):
        read_points(tmp_path / "b.csv")
    with as_users_run(), pytest.raises(ValueError, match="as many places in the MRI"):
        Landmarks(torch.zeros(2, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64))


def test_errors_are_distances_after_the_transform() -> None:
    moved = pose.exp(torch.tensor([10.0, -20.0, 30.0, 1.0, 2.0, 3.0]))
    ultrasound = torch.randn(7, 3, dtype=torch.float64) * 30
    marks = Landmarks(pose.transform_points(moved, ultrasound), ultrasound)
    assert marks.tre_mm(moved) < 1e-12
    expected = sum(
        sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) ** 0.5
        for p, q in zip(marks.mri_mm.tolist(), ultrasound.tolist(), strict=True)
    )
    assert marks.tre_mm() == pytest.approx(expected / 7)


@pytest.mark.parametrize(("case", "measured_mm"), [("Case1", 1.82), ("Case4", 2.99), ("Case6", 3.27)])
def test_the_axes_of_real_tags(shared_data: Path, case: str, measured_mm: float) -> None:
    marks = read_tags(shared_data / "resect" / f"{case}-MRI-beforeUS.tag")
    image = Volume.load(shared_data / "resect" / f"{case}-US-before-0.5mm.nii.gz")
    support = Volume(image.data > 0, image.world_from_voxel)
    inside = {}
    for signs in itertools.product((1.0, -1.0), repeat=3):
        turned = marks.ultrasound_mm * torch.tensor(signs, dtype=torch.float64)
        inside[signs] = float((support.sample(turned) > 0.5).double().mean())
    assert inside.pop((1.0, 1.0, 1.0)) == 1
    assert max(inside.values()) < 0.8
    assert marks.tre_mm() == pytest.approx(measured_mm, abs=0.006)
