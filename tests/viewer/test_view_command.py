"""``diffus view`` as a user meets it: an address, a page, Ctrl-C; and one line for what cannot be."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import torch
from tests.registration.scene import PROBE, TRUTH, medium, sampled

import diffus
from diffus import Frame, Volume
from diffus.cli import main
from diffus.cli.render import Render
from diffus.cli.view import View
from diffus.registration import SweepGeometry
from diffus.viewer import RealFrame, RealVolume

COMMAND = """
import importlib, sys
program = importlib.import_module("diffus.cli.main")
from diffus.cli.view import View
program.COMMANDS["view"] = View
sys.exit(program.main(sys.argv[1:]))
"""
FAST = ("--contrast", "labels", "--table", "fast")


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("diffus.cli.main").COMMANDS, "view", View)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The balls of the scene, dark and bright, as CSF and white matter in grey."""
    tissue = medium()
    data = torch.full(tissue.shape, 2, dtype=torch.uint8)
    data[tissue.backscatter < 0.003] = 1
    data[tissue.backscatter > 0.012] = 3
    return Volume(data, tissue.world_from_voxel).save(tmp_path_factory.mktemp("labels") / "balls.nii.gz")


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sampled().save(tmp_path_factory.mktemp("frame") / "frame.npz")


def test_an_address_a_page_a_saved_pose_and_ctrl_c(labels: Path, frame: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["view", str(labels), *FAST, "--ultrasound", str(frame), "--port", "0", "--out", str(out)]
    command = [sys.executable, "-c", COMMAND, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 90)[0]
        found = re.search(r"Viewer: (http://127\.0\.0\.1:\d+)/\?token=(\S+)", process.stdout.readline())
        assert found
        with httpx.Client(base_url=found[1], params={"token": found[2]}, trust_env=False) as page:
            told = page.get("/scene.json").json()
            saved = page.post("/save/pose", json={"pose": told["pose"], "name": "here"}).json()["path"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert told["volume"]["name"] == "balls.nii.gz"
    assert told["ultrasound"]["name"] == "frame.npz"
    assert [path.name for path in out.iterdir()] == ["here.json"]
    assert torch.equal(Render(volume=labels, pose=Path(saved))._pose(Volume.load(labels)), TRUTH)


def view(labels: Path, **options: object) -> View:
    return View(volume=labels, contrast="labels", table="fast", **options)  # pyright: ignore


def test_the_probe_starts_where_the_real_frame_was_made(labels: Path, frame: Path) -> None:
    scene = view(labels, ultrasound=frame, probe_with=("frequency_mhz=7",))._scene()
    assert scene.probe == PROBE.with_options(frequency_mhz=7.0)
    assert torch.equal(scene.world_from_probe, TRUTH)
    assert isinstance(scene.ultrasound, RealFrame)
    elsewhere = view(labels, ultrasound=frame, target=(0.0, 0.0, 0.0), side="superior")._scene()
    assert not torch.equal(elsewhere.world_from_probe, TRUTH)
    other = view(labels, ultrasound=frame, probe="linear")._scene()
    assert other.probe == diffus.preset("linear")


def test_a_frame_in_its_place_as_a_slice_of_voxels(labels: Path, tmp_path: Path) -> None:
    slab = sampled().save(tmp_path / "slab.nii.gz")
    described = tmp_path / "probe.json"
    described.write_text(json.dumps(PROBE.to_dict()))
    scene = view(labels, ultrasound=slab, probe=str(described))._scene()
    assert isinstance(scene.ultrasound, RealFrame)
    assert torch.allclose(scene.world_from_probe, TRUTH, atol=1e-3)
    lines, taken = scene.ultrasound.frame.scanlines, sampled().scanlines
    assert torch.corrcoef(torch.stack([lines.flatten(), taken.flatten()]))[0, 1] > 0.9


def test_the_probe_starts_in_the_middle_of_a_sweep(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = SweepGeometry(PROBE, TRUTH, TRUTH[:3, 1])
    monkeypatch.setattr(SweepGeometry, "found_in", lambda *_: found)
    scene = view(labels, ultrasound=labels)._scene()
    assert scene.probe == PROBE
    assert torch.equal(scene.world_from_probe, TRUTH)


def test_a_volume_whose_fan_is_not_found_is_still_shown(
    labels: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no plane of the volume shows a sector")

    monkeypatch.setattr(SweepGeometry, "found_in", fail)
    scene = view(labels, ultrasound=labels)._scene()
    assert isinstance(scene.ultrasound, RealVolume)
    assert "name the probe with --probe" in caplog.text
    named = view(labels, ultrasound=labels, probe="linear")._scene()
    assert named.probe == diffus.preset("linear")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "this machine alone"),
        (["--port", "70000"], r"port must lie in \[0, 65535\]"),
        (["--entry", "0", "0", "0"], "--entry needs --target"),
        (["--entry", "900", "0", "0", "--target", "800", "0", "0"], r"misses the volume by \d+"),
        (["--ultrasound", "nothing.npz"], "no such ultrasound: nothing.npz"),
        (["--ultrasound", "balls"], "is a sweep of 2 tracked frames.*give one of its frames"),
        (["--ultrasound", "words"], "unknown kind of ultrasound"),
        (["--mask", "nothing.nii.gz"], "no such file.*nothing.nii.gz"),
        (["--probe-with", "depth_mm=-3"], "depth_mm must be a finite number above 0"),
        (["--settings.gain-db", "1e9"], "gain_db must lie in"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_2(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    sweep, words = tmp_path / "sweep.npz", tmp_path / "notes.txt"
    two: Frame = diffus.render(medium(), PROBE, torch.stack([TRUTH, TRUTH]))
    two.save(sweep)
    words.write_text("words")
    options = [{"balls": str(sweep), "words": str(words)}.get(word, word) for word in options]
    assert main(["view", str(labels), *FAST, "--port", "0", *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert re.search(said, error[-1]), error
    assert error[-1].startswith("diffus: ")


def test_volumes_that_cannot_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "damaged.nii.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    for name, said in (
        ("nothing.nii.gz", "no such file"),
        ("notes.txt", "unknown extension"),
        ("damaged.nii.gz", "cannot be read"),
    ):
        assert main(["view", str(tmp_path / name), "--port", "0"]) == 2
        assert said in capsys.readouterr().err
    assert main(["view", "example", "--model", "some", "--port", "0"]) == 2


def test_too_large_for_memory_is_said(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9e15 bytes")):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(View, "read_tissue", fail)
        with pytest.raises(ValueError, match="does not fit into memory: crop or resample"):
            view(labels, port=0).run()


def test_a_taken_port_is_said_before_the_volume_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["view", "nothing.nii.gz", "--port", str(taken.getsockname()[1])]) == 2
    assert "is free: --port" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name))
    assert main(["view", str(labels)]) == 2
    assert "uvicorn is needed for the live viewer" in capsys.readouterr().err
