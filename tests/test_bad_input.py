"""Bad input: one table, tried at the API and at the command line.

At the API a ``ValueError`` or ``FileNotFoundError`` that names what was given and how to mend it; at the
command line one line on standard error, exit status 2, nothing written.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from tests.scenes import IDENTITY, PROBES, textured
from tests.support import as_users_run

from diffus import ConvexProbe, Medium, PhasedProbe, RenderSettings, Volume, pose, preset, render
from diffus.cli import main

AFFINE = np.eye(4)


def block(shape: tuple[int, ...] = (24, 24, 24), fill: float | None = None) -> np.ndarray:
    if fill is not None:
        return np.full(shape, fill, dtype=np.float32)
    return np.random.default_rng(0).uniform(1, 100, shape).astype(np.float32)


def nifti(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nibabel.save(nibabel.Nifti1Image(data, affine), path)
    return path


def truncated(folder: Path) -> Path:
    path = nifti(folder / "cut.nii.gz", block())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text_file(folder: Path) -> Path:
    path = folder / "text.nii"
    path.write_text("this is no image\n" * 40)
    return path


def gzipped_text(folder: Path) -> Path:
    path = folder / "text.nii.gz"
    path.write_bytes(gzip.compress(b"this is no image\n" * 40))
    return path


def with_value(value: float) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = block()
        data[3, 4, 5] = value
        return nifti(folder / "bad.nii.gz", data)

    return make


def singular(folder: Path) -> Path:
    image = nibabel.Nifti1Image(block(), AFFINE)
    image.set_sform(np.diag([1.0, 0.0, 1.0, 1.0]), code=1)
    image.set_qform(None, code=0)
    nibabel.save(image, folder / "flat.nii.gz")
    return folder / "flat.nii.gz"


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "missing.nii.gz", r"no such file or folder: .*missing\.nii\.gz"),
    "truncated": (truncated, r"cut\.nii\.gz.*(truncated|incomplete|ended|damaged)"),
    "text": (text_file, r"text\.nii"),
    "gzipped text": (gzipped_text, r"text\.nii\.gz"),
    "2D": (lambda folder: nifti(folder / "flat.nii", block((9, 9))), r"flat\.nii.*3D|flat\.nii.*\(9, 9"),
    "4D": (lambda folder: nifti(folder / "time.nii", block((5, 5, 5, 7))), r"time\.nii.*7"),
    "NaN": (with_value(np.nan), r"bad\.nii\.gz.*1 NaN or infinite"),
    "Inf": (with_value(np.inf), r"bad\.nii\.gz.*1 NaN or infinite"),
    "singular affine": (singular, r"flat\.nii\.gz.*singular"),
    "unknown extension": (lambda folder: text_file(folder).rename(folder / "text.xyz"), r"text\.xyz.*\.nii"),
    "empty folder": (lambda folder: folder, r"DICOM"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_at_the_api(name: str, tmp_path: Path) -> None:
    make, message = FILES[name]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Volume.load(make(tmp_path))


@pytest.mark.parametrize("command", [["info"], ["render"]])
@pytest.mark.parametrize("name", FILES)
def test_files_at_the_command_line(name: str, command: list[str], tmp_path: Path, capfd) -> None:
    make, message = FILES[name]
    (tmp_path / "in").mkdir()
    refused_in_one_line([*command, str(make(tmp_path / "in"))], message, tmp_path, capfd)


def refused_in_one_line(arguments: list[str], message: str, folder: Path, capfd) -> None:
    out = folder / "out"
    if arguments[0] != "info" and "--out" not in arguments:
        arguments = [*arguments, "--out", str(out)]
    with as_users_run():
        assert main(arguments) == 2
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("diffus: ")
    assert "Traceback" not in said.err
    assert re.search(message, lines[0]), lines[0]
    assert not out.exists()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files that are well-formed, each wrong only for one use."""
    folder = tmp_path_factory.mktemp("good")
    labels = np.ones((24, 24, 24), dtype=np.int16)
    labels[10:14, 10:14, 10:14] = 77
    (folder / "pose.json").write_text('{"format": "diffus-pose", "version": 1}')
    scaled = torch.eye(4, dtype=torch.float64) * 2
    scaled[3, 3] = 1
    content = pose.to_dict(torch.eye(4, dtype=torch.float64)) | {"matrix": scaled.tolist()}
    (folder / "scaled.json").write_text(str(content).replace("'", '"'))
    far = pose.to_dict(pose.look_at((500.0, 0.0, 0.0), (600.0, 0.0, 0.0)))
    (folder / "far.json").write_text(str(far).replace("'", '"'))
    (folder / "probe.json").write_text('{"kind": "convex", "radius_mm": -3}')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "file").write_text("")
    small = np.ones((24, 24, 24), dtype=np.int16)
    return {
        "image": str(nifti(folder / "image.nii.gz", block())),
        "constant": str(nifti(folder / "constant.nii.gz", block(fill=7.0))),
        "labels": str(nifti(folder / "labels.nii.gz", labels)),
        "ones": str(nifti(folder / "ones.nii.gz", small)),
        "other": str(nifti(folder / "other.nii.gz", block((20, 24, 24)))),
        "empty": str(nifti(folder / "empty.nii.gz", np.zeros((24, 24, 24), dtype=np.uint8))),
        "pose": str(folder / "pose.json"),
        "scaled": str(folder / "scaled.json"),
        "far": str(folder / "far.json"),
        "probe": str(folder / "probe.json"),
        "list": str(folder / "list.json"),
        "blocked": str(folder / "file" / "out"),
    }


ONES = ("{ones}", "--contrast", "labels", "--table", "fast")
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown contrast": (("{image}", "--contrast", "pd"), r"unknown contrast 'pd': expected one of 't1'"),
    "constant volume": (("{constant}",), r"constant"),
    "labels absent from the table": (
        ("{labels}", "--contrast", "labels", "--table", "fast"),
        r"77 \(64 voxels\)",
    ),
    "fractional labels": (("{image}", "--contrast", "labels", "--table", "fast"), r"not whole numbers"),
    "unknown table": (
        ("{ones}", "--contrast", "labels", "--table", "aseg"),
        r"unknown label table.*'freesurfer'",
    ),
    "mask on another grid": (("{image}", "--mask", "{other}"), r"different grids|grid"),
    "empty mask": (("{image}", "--mask", "{empty}"), r"mask holds 0 voxels"),
    "second on another grid": (
        ("{image}", "--mask", "{ones}", "--second", "{other}", "--second-contrast", "flair"),
        r"different grids|grid",
    ),
    "second without its contrast": (("{image}", "--second", "{image}"), r"--second-contrast"),
    "unknown probe": ((*ONES, "--probe", "curved"), r"unknown probe.*'craniotomy'"),
    "bad probe file": ((*ONES, "--probe", "{probe}"), r"radius_mm must be a finite number above 0, got -3"),
    "probe file with a list": ((*ONES, "--probe", "{list}"), r"one JSON object, got list"),
    "unknown probe field": (
        (*ONES, "--probe-with", "depth=60"),
        r"unknown ConvexProbe field 'depth'.*'depth_mm'",
    ),
    "probe field without a number": ((*ONES, "--probe-with", "depth_mm"), r"name=number.*'depth_mm'"),
    "negative depth": (
        (*ONES, "--probe-with", "depth_mm=-4"),
        r"depth_mm must be a finite number above 0, got -4",
    ),
    "field of view too wide": ((*ONES, "--probe-with", "field_of_view_deg=200"), r"\[0, 180\], got 200"),
    "half a scanline": ((*ONES, "--probe-with", "n_scanlines=9.5"), r"n_scanlines must be a whole number"),
    "missing pose file": ((*ONES, "--pose", "nowhere.json"), r"pose file not found: nowhere\.json"),
    "pose file without a matrix": ((*ONES, "--pose", "{pose}"), r"not a pose file"),
    "pose that is not rigid": ((*ONES, "--pose", "{scaled}"), r"not rigid"),
    "fan that misses": ((*ONES, "--pose", "{far}"), r"misses the volume by 47\d\.\d mm"),
    "entry without target": ((*ONES, "--entry", "0", "0", "0"), r"--entry needs --target"),
    "entry on target": ((*ONES, "--entry", "1", "2", "3", "--target", "1", "2", "3"), r"coincide"),
    "pose and entry": ((*ONES, "--pose", "{far}", "--target", "0", "0", "0"), r"not both"),
    "unknown side": ((*ONES, "--side", "up"), r"unknown side 'up'.*'superior'"),
    "unknown propagation": (
        (*ONES, "--settings.propagation", "magic"),
        r"unknown propagation 'magic'.*'primary'",
    ),
    "unknown speckle": ((*ONES, "--settings.speckle", "pink"), r"unknown speckle 'pink'"),
    "unknown backend": ((*ONES, "--settings.backend", "gpu"), r"unknown backend 'gpu'.*'torch'"),
    "no dynamic range": (
        (*ONES, "--settings.dynamic-range-db", "0"),
        r"dynamic_range_db must lie in \[1, 200\]",
    ),
    "noise above the echo of a mirror": (
        (*ONES, "--settings.noise-db", "5"),
        r"noise_db must lie in \[-240, 0\]",
    ),
    "grey map that falls": (
        (*ONES, "--settings.grey-map", "0", "0.6", "0.4"),
        r"grey_map must rise from knot to knot",
    ),
    "one TGC slider": ((*ONES, "--settings.tgc-curve-db", "3"), r"tgc_curve_db: expected shape \(K,\)"),
    "text for a slider": ((*ONES, "--settings.tgc-curve-db", "3", "up"), r"tgc-curve-db.*'up'"),
    "impossible bandwidth": (
        (*ONES, "--probe-with", "fractional_bandwidth=3"),
        r"fractional_bandwidth must lie",
    ),
    "no focus": ((*ONES, "--probe-with", "focus_mm=0"), r"focus_mm must be a finite number above 0, got 0"),
    "negative aperture": (
        (*ONES, "--probe-with", "aperture_mm=-2"),
        r"aperture_mm must be a finite number above 0",
    ),
    "unknown window": ((*ONES, "--probe-with", "apodization=round"), r"apodization 'round'.*'hann'"),
    "too little memory": (
        (*ONES, "--probe-with", "depth_mm=15", "--settings.max-memory-mb", "1"),
        r"max_memory_mb=1 is too little",
    ),
    "text for a number": ((*ONES, "--settings.gain-db", "loud"), r"gain-db.*'loud'"),
    "unknown option": ((*ONES, "--gain", "3"), r"--gain"),
    "zero pixel": ((*ONES, "--spacing-mm", "0"), r"spacing_mm must be a finite number above 0"),
    "unwritable output": ((*ONES, "--out", "{blocked}"), r"cannot write .*out"),
    "MRI given as CT": (("{image}", "--contrast", "ct"), r"does not hold CT numbers"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_render_command_refuses(name: str, good: dict[str, str], tmp_path: Path, capfd) -> None:
    arguments, message = COMMANDS[name]
    refused_in_one_line(["render", *(a.format(**good) for a in arguments)], message, tmp_path, capfd)


def test_no_arguments_at_all_and_an_unknown_command(tmp_path: Path, capfd) -> None:
    refused_in_one_line(["rendr"], r"rendr.*demo, info, render", tmp_path, capfd)
    refused_in_one_line(["render"], r"PATH", tmp_path, capfd)


MEDIUM = textured(torch.float32)
FAR = pose.look_at((0.0, 0.0, 200.0), (0.0, 0.0, 300.0))
CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "pose of another shape": (
        lambda: render(MEDIUM, PROBES["convex"], torch.eye(3)),
        r"\(B, 4, 4\), got \(3, 3\)",
    ),
    "pose with NaN": (lambda: render(MEDIUM, PROBES["convex"], torch.full((4, 4), torch.nan)), r"NaN"),
    "pose that scales": (
        lambda: render(MEDIUM, PROBES["convex"], torch.diag(torch.tensor([2.0, 2, 2, 1]))),
        r"not rigid",
    ),
    "pose that mirrors": (
        lambda: render(MEDIUM, PROBES["convex"], torch.diag(torch.tensor([-1.0, 1, 1, 1]))),
        r"reflection",
    ),
    "fan that misses": (
        lambda: render(MEDIUM, PROBES["linear"], FAR),
        r"pose 0 misses the volume by 138\.0 mm",
    ),
    "second pose misses": (
        lambda: render(MEDIUM, PROBES["linear"], torch.stack([IDENTITY, FAR])),
        r"pose 1 misses the volume",
    ),
    "zero depth": (lambda: ConvexProbe(depth_mm=0.0), r"ConvexProbe: depth_mm must be .* above 0, got 0"),
    "negative frequency": (
        lambda: ConvexProbe(frequency_mhz=-2.0),
        r"frequency_mhz must be .* above 0, got -2",
    ),
    "NaN radius": (lambda: ConvexProbe(radius_mm=float("nan")), r"radius_mm must be a finite number above 0"),
    "bandwidth beyond its range": (lambda: ConvexProbe(fractional_bandwidth=3.0), r"\[0\.01, 2\], got 3"),
    "field of view beyond its range": (lambda: PhasedProbe(field_of_view_deg=270.0), r"\[0, 180\], got 270"),
    "no scanlines": (lambda: ConvexProbe(n_scanlines=0), r"n_scanlines must be .* above 0, got 0"),
    "unknown probe field": (
        lambda: preset("linear").with_options(radius_mm=3.0),
        r"unknown LinearProbe field",
    ),
    "unknown preset": (lambda: preset("cardiac"), r"unknown probe preset 'cardiac'.*'craniotomy'"),
    "unknown propagation": (lambda: RenderSettings(propagation="magic"), r"unknown propagation 'magic'"),
    "gain of another batch": (
        lambda: render(MEDIUM, PROBES["linear"], IDENTITY, RenderSettings(gain_db=torch.tensor([1.0, 2.0]))),
        r"one for each of 1 poses",
    ),
    "NaN gain": (lambda: RenderSettings(gain_db=float("nan")), r"gain_db must lie in"),
    "empty volume": (lambda: Volume(torch.zeros(0, 3, 3), IDENTITY), r"empty"),
    "unknown contrast": (
        lambda: Medium.from_mri(
            Volume(torch.rand(8, 8, 8), IDENTITY), "pd", Volume(torch.ones(8, 8, 8), IDENTITY)
        ),
        r"unknown contrast 'pd'.*'t1'",
    ),
    "two volumes, one contrast": (
        lambda: Medium.from_mri([Volume(torch.rand(8, 8, 8), IDENTITY)] * 2, "t1"),
        r"2 volumes and \['t1'\]",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_refuse(name: str) -> None:
    call, message = CALLS[name]
    with as_users_run(), pytest.raises(ValueError, match=message):
        call()


def test_a_missing_extra_is_one_line(tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "nilearn", None)
    refused_in_one_line(["demo"], r"nilearn is needed.*diffus\[demo\]", tmp_path, capfd)
