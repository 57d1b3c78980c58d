"""``diffus dataset`` as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.segmentation.phantoms import phantom

from diffus.cli import main
from diffus.datasets import remind2reg


@pytest.fixture(scope="module")
def mri(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom(4.0, head=False).mri("t1", noise=0.02).save(tmp_path_factory.mktemp("mri") / "t1.nii.gz")


def _arguments(mri: Path, out: Path) -> list[str]:
    small = ["--size", "40", "--spacing-mm", "1.8", "--n-frames", "12", "--cases", "2"]
    return ["dataset", "simulate", "--mri", str(mri), *small, "--out", str(out)]


def test_simulate_then_check(mri: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made"
    assert main(_arguments(mri, out)) == 0
    said = capsys.readouterr().out
    for place in (out / "ReMIND2Reg_dataset.json", out / "imagesTr", out / "truth"):
        assert str(place) in said
        assert place.exists()
    assert len(remind2reg.open_dataset(out)) == 1
    assert main(["dataset", "check", str(out)]) == 0
    said = capsys.readouterr().out
    assert "2 cases, all is well" in said
    assert "ReMIND2Reg_0001" in said
    gone = out / "imagesTr" / "ReMIND2Reg_0000_0001.nii.gz"
    gone.unlink()
    assert main(["dataset", "check", str(out)]) == 1
    said = capsys.readouterr().out
    assert "something is wrong with 1" in said
    assert str(gone) in said
    assert "10.7937/3RAG-D070" in said
    assert main([*_arguments(mri, out), "--seed", "4"]) == 2
    assert "simulation of other settings" in capsys.readouterr().err


def test_no_dataset_is_one_line_and_status_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "check", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("diffus: no ReMIND2Reg dataset")
    assert error.count("\n") == 1
    assert main(["dataset", "simulate", "--size", "3", "--out", str(tmp_path)]) == 2
    assert "size must lie in" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "simulate"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["dataset", command, "--help"])
    assert stop.value.code in (None, 0)
    assert f"Example: diffus dataset {command}" in capsys.readouterr().out
