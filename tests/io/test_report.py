"""What the report says of a volume, and what it warns of."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.support import placed

from diffus.io.report import describe
from diffus.volume import Volume

EYE = torch.eye(4, dtype=torch.float64)


def _noise(shape=(40, 40, 40)):
    return (torch.rand(shape) * 100 + 1).round()


def _scaled(factor):
    return torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))


def test_geometry_and_intensity(tmp_path):
    values = torch.arange(20 * 30 * 40).reshape(20, 30, 40).float() / 23999 * 1000
    volume = Volume(values, placed(left_handed=True))
    report = describe(volume.save(tmp_path / "v.nrrd"))
    assert report.shape == (20, 30, 40)
    assert report.spacing_mm == pytest.approx((0.7, 0.8, 1.9))
    assert report.extent_mm == pytest.approx((14, 24, 76))
    assert report.centre_mm == pytest.approx(tuple(volume.centre_mm.tolist()))
    assert report.intensity == pytest.approx((0, 10, 500, 990, 1000), rel=1e-3)
    assert report.zero_fraction == pytest.approx(1 / 24000)
    assert report.stored_as == "float32"
    assert not report.right_handed
    assert report.orientation == volume.orientation


@pytest.mark.parametrize("angle", [0.0, 7.0, 30.0])
def test_obliqueness_in_degrees(angle):
    affine = placed(turn=(0.0, 0.0, angle * torch.pi / 180))
    assert describe(Volume(_noise(), affine)).oblique_deg == pytest.approx(angle, abs=1e-5)


def test_lines_are_for_reading(tmp_path):
    report = describe(Volume(_noise(), placed()).save(tmp_path / "head.nii.gz"))
    lines = report.lines()
    text = "\n".join(lines)
    for words in (
        "head.nii.gz",
        "40 x 40 x 40 voxels, float32",
        "0.7 x 0.8 x 1.9 mm",
        "oblique by",
        "an MRI or other",
    ):
        assert words in text
    assert sum(line.startswith("warning: ") for line in lines) == len(report.warnings)
    assert all(len(line) < 200 for line in lines)


def test_an_in_memory_volume_has_no_file():
    report = describe(Volume(_noise(), EYE))
    assert report.name == "(in memory)"
    assert report.warnings == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.name = "other"  # type: ignore[misc]


def _blobs():
    labels = torch.zeros(40, 40, 40)
    labels[5:20], labels[20:35, 10:] = 3, 17
    return labels


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (_noise(), "MRI or other"),
        (torch.randn(40, 40, 40), "MRI or other"),
        (_noise() * 20 - 1024, "CT"),
        (_blobs(), "labels"),
        ((_blobs() > 0).float(), "mask"),
        ((_blobs() > 0).float() * 255, "mask"),
        (torch.full((40, 40, 40), 3.0), "constant"),
    ],
)
def test_the_kind_is_guessed(data, kind):
    assert describe(Volume(data, EYE)).kind == kind


@pytest.mark.parametrize(
    ("data", "affine", "words"),
    [
        (_noise(), _scaled(2.0), "coarse voxels (2 mm)"),
        (_noise(), torch.diag(torch.tensor([0.5, 0.5, 1.2, 1.0])).double(), "anisotropic voxels (2.4 to 1)"),
        (_noise(), _scaled(0.001), "the unit in the file is likely metres"),
        (_noise(), _scaled(1000.0), "the unit in the file is likely micrometres"),
        (_noise((40, 40, 1)), EYE, "one voxel thick"),
        (torch.full((40, 40, 40), 3.0), EYE, "every voxel is 3: there is nothing to render"),
        (_noise().clamp(max=60), EYE, "the image was clipped"),
        (torch.nn.functional.pad(_noise((12, 12, 12)), (0, 28, 0, 28, 0, 28)), EYE, "of the voxels are zero"),
    ],
)
def test_warnings(data, affine, words):
    warnings = describe(Volume(data, affine)).warnings
    assert any(words in warning for warning in warnings), warnings
    assert len(warnings) == 1


def test_what_the_reader_had_to_guess_is_a_warning(tmp_path):
    text = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 20 20 20\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(text.encode() + bytes(range(250)) * 32)
    assert any("names no anatomical space" in warning for warning in describe(tmp_path / "v.nrrd").warnings)


def test_bad_files_are_refused_as_on_loading(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        describe(tmp_path / "none.nii")
    (tmp_path / "v.txt").write_text("")
    with pytest.raises(ValueError, match=r"unknown extension '\.txt'"):
        describe(tmp_path / "v.txt")


@pytest.mark.parametrize(
    ("path", "kind", "orientation", "stored"),
    [
        ("mri/ch2_colin27_T1_1mm.nii.gz", "MRI or other", "RAS", "uint8"),
        ("mri/VS-SEG-001_ceT1_0.82x0.82x1.5mm_derived.nii.gz", "MRI or other", "LPS", "int16"),
        ("resect/Case24-FLAIR-inUS-0.5mm.nii.gz", "MRI or other", "RAS", "float32"),
        ("resect/Case4-US-before-0.5mm.nii.gz", "MRI or other", "LIP", "float32"),
        ("ct/totalseg_example_ct_3mm.nii.gz", "CT", "RAS", "int32"),
        ("ct/totalseg_example_seg_for_ct_sm.nii.gz", "labels", "RAS", "uint8"),
    ],
)
def test_real_volumes_are_known(shared_data, path, kind, orientation, stored):
    report = describe(shared_data / path)
    assert (report.kind, report.orientation, report.stored_as) == (kind, orientation, stored)
    assert len(report.warnings) == (1 if path.startswith("ct") else 0)  # 3 mm is coarse
