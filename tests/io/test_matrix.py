"""Rigid transforms from files of several kinds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from diffus import pose
from diffus.io.matrix import read_rigid
from diffus.io.transforms import save_transform

RIGID = pose.exp(torch.tensor([4.0, -7.0, 12.0, 3.0, -2.0, 9.0]))


@pytest.mark.parametrize("name", ["a.tfm", "a.txt", "a.h5", "b.txt", "b.csv", "b.npy", "b.json", "c.json"])
def test_every_kind_says_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = RIGID.tolist()
    if name.startswith("a"):
        save_transform(path, RIGID)
    elif name == "b.npy":
        np.save(path, RIGID.numpy())
    elif name == "b.json":
        pose.save(RIGID, path)
    elif name == "c.json":
        path.write_text(json.dumps(rows))
    else:
        separator = "," if name == "b.csv" else " "
        path.write_text("\n".join(separator.join(map(repr, row)) for row in rows))
    assert torch.allclose(read_rigid(path), RIGID, atol=1e-9)


def test_itk_files_take_the_ultrasound_to_the_mri_in_lps(tmp_path: Path) -> None:
    shift = sitk.Euler3DTransform()
    shift.SetTranslation((1.0, 2.0, 3.0))
    sitk.WriteTransform(shift, str(tmp_path / "a.tfm"))
    assert read_rigid(tmp_path / "a.tfm")[:3, 3].tolist() == [-1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "1 2 3\n", "expected one 4x4"),
        ("a.txt", "some words", "a.txt"),
        ("a.json", "{}", "expected one 4x4"),
        ("a.json", '[["x"]]', "a.json"),
        ("a.txt", "2 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "not rigid"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as refusal:
        read_rigid(tmp_path / name)
    assert str(tmp_path / name) in str(refusal.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such transform file"):
        read_rigid(tmp_path / "a.txt")
