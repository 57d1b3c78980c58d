"""Writing aside: the old file or the new one, never half of either."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from diffus.files import read_json, write_aside, write_json, write_text


def test_moves_into_place_makes_folders_and_leaves_nothing_behind(tmp_path):
    target = tmp_path / "new" / "folder" / "frame.nii.gz"
    with write_aside(target) as temporary:
        assert temporary.parent.parent == target.parent  # one file system: the move is atomic
        assert temporary.name == target.name  # writers choose the format by it
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_keeps_the_old_file(tmp_path):
    target = write_text(tmp_path / "a.txt", "old")

    def fail():
        with write_aside(target) as temporary:
            temporary.write_text("ha")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_run_keeps_the_old_file(tmp_path):
    target = write_text(tmp_path / "a.txt", "old")
    code = (
        "import os, sys; from diffus.files import write_aside\n"
        "with write_aside(sys.argv[1]) as aside:\n"
        "    aside.write_text('half'); os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == 9
    assert target.read_text() == "old"


def test_names_the_place_that_cannot_be_written(tmp_path):
    blocker = write_text(tmp_path / "file", "")
    for target in (blocker / "frame.png", tmp_path):
        with pytest.raises(ValueError, match=r"cannot write .*give a path in a folder you may write to"):
            write_text(target, "x")


def test_json_goes_round(tmp_path):
    content = {"matrix": [[1.0, 2.5]], "name": "Großhirn"}
    assert read_json(write_json(tmp_path / "a.json", content), "pose") == content


@pytest.mark.parametrize("content", [b"not json", b'{"a": ', b"\xff\xfe\x00"])
def test_names_the_file_that_is_not_json(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is not a JSON pose file"):
        read_json(path, "pose")


def test_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="pose file not found"):
        read_json(tmp_path / "nowhere.json", "pose")


def test_writes_utf_8(tmp_path):
    path = write_json(tmp_path / "a.json", {"unit": "µm"})
    assert json.loads(path.read_bytes().decode("utf-8")) == {"unit": "µm"}
