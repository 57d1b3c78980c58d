"""``diffus sector`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.imaging.test_sector import TRUTH, fan

from diffus import Volume
from diffus.cli import main
from diffus.presets import load_probe


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "frame.png"
    sitk.WriteImage(sitk.GetImageFromArray(fan().astype(np.uint8)), str(path))
    return path


def test_a_picture_in_pixels(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sector", str(picture), "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"sector.json", "sector.png"}
    said = capsys.readouterr().out
    assert str(tmp_path / "sector.json") in said and str(tmp_path / "sector.png") in said
    content = json.loads((tmp_path / "sector.json").read_text())
    assert content["unit"] == "pixel" and content["spacing_mm"] is None
    assert content["apex_mm"] == pytest.approx(TRUTH.apex, abs=0.5)


def test_a_picture_with_its_spacing_gives_a_probe(picture: Path, tmp_path: Path) -> None:
    options = ["--spacing-mm", "0.25", "--frequency-mhz", "4", "--out", str(tmp_path)]
    assert main(["sector", str(picture), *options]) == 0
    probe = load_probe(str(tmp_path / "probe.json"))
    assert probe.kind == "convex" and probe.frequency_mhz == 4
    assert probe.depth_mm == pytest.approx((TRUTH.outer - TRUTH.inner) / 4, abs=0.2)


def test_a_plane_of_a_volume_brings_its_spacing(tmp_path: Path) -> None:
    data = torch.zeros(180, 9, 200)
    data[:, 4] = torch.from_numpy(fan()).float()
    Volume(data, torch.diag(torch.tensor([0.3, 2.0, 0.3, 1.0], dtype=torch.float64))).save(
        tmp_path / "us.nii.gz"
    )
    assert main(["sector", str(tmp_path / "us.nii.gz"), "--plane", "j", "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "sector.json").read_text())
    assert content["unit"] == "mm"
    assert content["outer_radius_mm"] == pytest.approx(0.3 * TRUTH.outer, abs=0.3)


def test_a_cine_is_its_maximum(tmp_path: Path) -> None:
    frames = np.stack([fan()] * 3)
    frames[0, :, :90], frames[1, :, 90:], frames[2, 80:] = 0, 0, 0
    sitk.WriteImage(sitk.GetImageFromArray(frames.astype(np.uint8)), str(tmp_path / "cine.mha"))
    assert main(["sector", str(tmp_path / "cine.mha"), "--cine", "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "sector.json").read_text())
    assert content["opening_deg"] == pytest.approx(68, abs=0.5)


def test_crop_picks_one_of_two(picture: Path, tmp_path: Path) -> None:
    both = np.concatenate([fan(), fan()[:, ::-1]], axis=1)
    sitk.WriteImage(sitk.GetImageFromArray(both.astype(np.uint8)), str(tmp_path / "both.png"))
    crop = ["--crop", "0", "180", "0", "200"]
    assert main(["sector", str(tmp_path / "both.png"), *crop, "--out", str(tmp_path / "out")]) == 0
    content = json.loads((tmp_path / "out" / "sector.json").read_text())
    assert content["apex_mm"] == pytest.approx(TRUTH.apex, abs=0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.png"], "no such image"),
        (["PICTURE", "--crop", "0", "500", "0", "10"], "does not fit in an image of 180 rows"),
        (["PICTURE", "--crop", "0", "20", "0", "20"], "too small"),
        (["PICTURE", "--spacing-mm", "40"], "check spacing_mm"),
    ],
)
def test_refusals_are_one_line(
    picture: Path, arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(picture) if word == "PICTURE" else word for word in arguments]
    assert main(["sector", *given, "--out", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sector", "--help"])
    assert "Example: diffus sector" in capsys.readouterr().out
