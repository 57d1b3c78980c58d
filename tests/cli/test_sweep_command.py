"""``diffus sweep`` as a user meets it: motions, what is written, cut and resumed, registered, refused."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from tests.scenes import IDENTITY

from diffus import Frame, Medium, Volume, extras, on_surface, pose, render, trajectory
from diffus.cli import main, register_outputs
from diffus.cli import sweep as sweep_module
from diffus.cli.main import COMMANDS
from diffus.cli.register_inputs import HowMade, Sweep, read_ultrasound
from diffus.presets import load_probe

PROBE = ("--probe-with", "n_scanlines=24", "n_samples=64", "depth_mm=30")
SHORT = ("--count", "3", "--side", "superior", "--target", "0", "0", "0")
FILES = {"frames", "sweep.igs.mha", "sweep.gif", "poses.json", "probe.json", "inputs.json", "summary.txt"}


@pytest.fixture(autouse=True)
def _command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "sweep", sweep_module.Sweep)


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block of white matter with a ball of CSF off its middle, for the FAST table."""
    data = torch.zeros(40, 40, 40, dtype=torch.uint8)
    data[3:37, 3:37, 3:37] = 3
    axes = torch.meshgrid(*(torch.arange(40) - at for at in (24.0, 15.0, 27.0)), indexing="ij")
    data[torch.stack(axes).norm(dim=0) < 6] = 1
    affine = IDENTITY.clone()
    affine[:3, 3] = -19.5
    return Volume(data, affine).save(tmp_path_factory.mktemp("labels") / "labels.nii.gz")


def run(labels: Path, out: Path, *more: str) -> int:
    given = ["sweep", str(labels), "--contrast", "labels", "--table", "fast", *PROBE, "--mp4", "no"]
    return main([*given, "--out", str(out), *more])


@pytest.fixture(scope="module")
def fanned(labels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fanned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(COMMANDS, "sweep", sweep_module.Sweep)
        assert run(labels, out, *SHORT, "--fan", "30", "--nifti", "--mp4", "yes") == 0
    return out


def test_a_sweep_leaves_frames_that_are_renders_at_its_poses(labels: Path, fanned: Path) -> None:
    assert {path.name for path in fanned.iterdir()} == FILES | {"sweep.mp4"}
    assert sorted(path.name for path in (fanned / "frames").iterdir()) == [
        f"frame_{number:04d}{extension}" for number in range(3) for extension in (".nii.gz", ".npz")
    ]
    volume = Volume.load(labels)
    body = Volume(volume.data > 0, volume.world_from_voxel)
    expected = trajectory.fan(on_surface(body, (0.0, 0.0, 0.0), "superior"), 30.0, 3)
    assert torch.equal(pose.load(fanned / "poses.json"), expected)
    medium, probe = Medium.from_labels(volume, "fast"), load_probe(fanned / "probe.json")
    for number, at in enumerate(expected):
        path = fanned / "frames" / f"frame_{number:04d}.npz"
        frame = Frame.load(path)
        assert torch.equal(frame.scanlines, render(medium, probe, at).scanlines)
        assert torch.equal(frame.world_from_probe[0], at)
        slab = Volume.load(path.with_suffix("").with_suffix(".nii.gz"))
        assert torch.allclose(slab.data[..., 0].T, frame.cartesian()[0], atol=1e-6)
    assert iio.improps(fanned / "sweep.gif").shape[0] == 3
    assert len(iio.imread(fanned / "sweep.mp4")) == 3
    told = (fanned / "summary.txt").read_text()
    assert "The face moves 0.0 mm, the probe turns 30.0 degrees" in told


def test_both_the_frames_and_the_sequence_are_a_sweep_that_can_be_registered(
    labels: Path, fanned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses = pose.load(fanned / "poses.json")
    from_frames = read_ultrasound([fanned / "frames"], HowMade())
    made = HowMade(probe=str(fanned / "probe.json"))
    from_sequence = read_ultrasound([fanned / "sweep.igs.mha"], made)
    for found in (from_frames, from_sequence):
        assert isinstance(found, Sweep)
        assert torch.allclose(found.frames.world_from_probe, poses, atol=1e-9)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    apart = (from_frames[0].scanlines - from_sequence[0].scanlines)[inner]  # pyright: ignore[reportAttributeAccessIssue]
    assert float(apart.square().mean().sqrt()) < 0.02
    monkeypatch.setattr(register_outputs, "_pictures", lambda *given: {})
    monkeypatch.setattr(register_outputs, "save_animation", lambda *given: given[3])
    given = ["register", str(fanned / "sweep.igs.mha"), "--probe", str(fanned / "probe.json")]
    given += ["--mri", str(labels), "--contrast", "labels", "--table", "fast", "--out", str(tmp_path)]
    near = ["--starts", "1", "--survey", "2", "--reach-mm", "1", "--reach-deg", "1"]
    assert main([*given, *near]) in (0, 1)
    moved = torch.from_numpy(np.loadtxt(tmp_path / "pose.txt"))
    assert float(pose.distance(moved, IDENTITY)[0]) < 2


@pytest.mark.parametrize(
    ("words", "shift_mm", "turned_deg"),
    [
        (("--from", "0", "0", "17", "0", "0", "0", "--to", "6", "0", "17", "6", "0", "0"), 6.0, 0.0),
        (("--slide", "8"), 8.0, 0.0),
        (("--turn", "90"), 0.0, 90.0),
        (("--rock", "20"), 0.0, 20.0),
        (("--poses", "poses.json"), 4.0, 10.0),
        ((), 0.0, sweep_module.FAN_DEG),
    ],
)
def test_every_motion(
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    shift_mm: float,
    turned_deg: float,
) -> None:
    """Undrawn: what is drawn of one is drawn of all."""
    start = pose.look_at((0.0, 0.0, 17.0), (0.0, 0.0, 0.0))
    end = pose.perturb(start, torch.tensor([0.0, 10, 0, 4, 0, 0]))
    pose.save(torch.stack([start, end]), tmp_path / "poses.json")
    monkeypatch.setattr(sweep_module.Sweep, "_render", lambda *given: None)
    given = [str(tmp_path / word) if word.endswith(".json") else word for word in words]
    placed = [] if "--from" in words or "--poses" in words else SHORT[2:]
    assert run(labels, tmp_path / "out", "--count", "5", *given, *placed) == 0
    poses = pose.load(tmp_path / "out" / "poses.json")
    shift, turned = pose.distance(poses[0], poses[-1])
    assert float(shift) == pytest.approx(shift_mm, abs=0.3)
    assert float(turned) == pytest.approx(turned_deg, abs=4 if "--slide" in words else 1e-6)


def test_a_run_that_was_cut_goes_on_where_it_was(
    labels: Path,
    fanned: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (*SHORT, "--fan", "30")
    saved = Frame.save

    def until_the_third(frame: Frame, path: Path, spacing_mm: float | None = None) -> Path:
        if path.name == "frame_0002.npz":
            raise KeyboardInterrupt
        return saved(frame, path, spacing_mm)

    with monkeypatch.context() as patch:
        patch.setattr(Frame, "save", until_the_third)
        assert run(labels, tmp_path, *words) == 130
    assert {path.name for path in tmp_path.iterdir()} == {"frames", "inputs.json"}
    assert [path.name for path in sorted((tmp_path / "frames").iterdir())] == [
        "frame_0000.npz",
        "frame_0001.npz",
    ]
    assert run(labels, tmp_path, *words) == 2
    assert "holds this sweep, cut off on its way: add --resume" in capsys.readouterr().err
    (tmp_path / ".sweep.gif.killed").mkdir()  # as SIGKILL leaves it
    (tmp_path / ".sweep.gif.killed" / "sweep.gif").write_bytes(b"GIF89a")
    before = (tmp_path / "frames" / "frame_0001.npz").stat().st_mtime_ns
    assert run(labels, tmp_path, *words, "--resume") == 0
    assert (tmp_path / "frames" / "frame_0001.npz").stat().st_mtime_ns == before
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for name in ("sweep.gif", "sweep.igs.mha", "poses.json"):
        assert (tmp_path / name).read_bytes() == (fanned / name).read_bytes(), name
    assert run(labels, tmp_path, *words) == 2
    assert "holds this sweep, finished" in capsys.readouterr().err
    assert run(labels, tmp_path, *words, "--settings.gain-db", "3", "--resume") == 2
    assert "a sweep of other inputs (settings): give another --out" in capsys.readouterr().err
    assert run(labels, tmp_path, *words, "--resume") == 0
    assert str(tmp_path / "sweep.gif") in capsys.readouterr().out
    assert run(labels, tmp_path, *SHORT, "--fan", "20", "--count", "2", "--overwrite") == 0
    assert len(list((tmp_path / "frames").iterdir())) == 2
    assert json.loads((tmp_path / "inputs.json").read_text())["options"]["count"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fan", "20", "--slide", "5"), "one motion, got --fan, --slide: give one of them"),
        (("--via", "a.json"), "--via lies on the way to another pose: give --to"),
        (("--to", "none.json"), "pose file not found: none.json"),
        (("--to", "1", "2", "3"), "a pose is one file or six numbers"),
        (("--to", "1", "2", "3", "1", "2", "3"), "the beam has no direction"),
        (("--from", "0", "0", "17", "0", "0", "0", "--target", "0", "0", "0"), "leave it out beside --from"),
        (("--poses", "a.json", "--target", "0", "0", "0"), "leave --from and --target out"),
        (("--fan", "200"), "angle_deg must lie in [0, 180], got 200"),
        (("--count", "1"), "--count must be at least 2, got 1"),
        (("--per-second", "60"), "--per-second must be at most 50, got 60"),
        (("--side", "above"), "unknown --side 'above'"),
        (("--along", "up"), "unknown --along 'up'"),
        (("--mp4", "maybe"), "unknown --mp4 'maybe'"),
        (("--from", "0", "0", "900", "0", "0", "800"), "mm"),
        (("--probe-with", "depth=3"), "ConvexProbe field"),
    ],
)
def test_refusals_are_one_line(
    labels: Path, tmp_path: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(labels, tmp_path / "out", *words) == 2
    refused = capsys.readouterr().err.strip()
    assert said in refused
    assert refused.startswith("diffus: ")
    assert "\n" not in refused
    assert not list(tmp_path.glob("out/frames/*"))


def test_video_that_was_asked_for_names_its_extra(
    labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    assert run(labels, tmp_path, "--mp4", "yes") == 2
    assert "pip install 'diffus[video]'" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    assert "Example of a fan: diffus sweep" in capsys.readouterr().out
