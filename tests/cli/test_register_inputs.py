"""What ``diffus register`` is given: kinds told apart, images put on their probe, starts read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.registration.scene import PROBE, TRUTH, medium

import diffus
from diffus import Frame, Volume, pose
from diffus.bspline import BSplineDisplacement
from diffus.cli.register_image import ProbeInImage
from diffus.cli.register_inputs import HowMade, OneFrame, Sweep, SweptVolume, in_words, read_ultrasound
from diffus.cli.register_start import initial_pose, initial_transform
from diffus.files import write_json
from diffus.io.sequences import read_sequence
from diffus.io.transforms import save_transform

SPACING = 0.25
NOTHING = HowMade()


@pytest.fixture(scope="module")
def frame() -> Frame:
    """Without speckle, so that resampling loses nothing."""
    return diffus.render(medium(), PROBE, TRUTH, diffus.RenderSettings(speckle="expected")).detach()


@pytest.fixture(scope="module")
def folder(frame: Frame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame in several formats, a sweep, a tracked sequence, and a volume."""
    folder = tmp_path_factory.mktemp("inputs")
    frame.save(folder / "frame.npz")
    frame.save(folder / "slab.nii.gz", SPACING)
    lines, envelope = (torch.cat([values, values]) for values in (frame.scanlines, frame.envelope))
    twice = Frame(lines, envelope, PROBE, poses(), frame.settings)
    twice.save(folder / "two.npz")
    write_json(folder / "probe.json", PROBE.to_dict())
    image = (255 * frame.cartesian(SPACING)[0]).round().numpy().astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(np.pad(image, 12)), str(folder / "wide.png"))
    sitk.WriteImage(sitk.GetImageFromArray(image), str(folder / "crop.png"))
    Volume(torch.rand(6, 6, 6), torch.eye(4, dtype=torch.float64)).save(folder / "volume.mha")
    return folder


def poses() -> torch.Tensor:
    return torch.stack([TRUTH, pose.perturb(TRUTH, torch.tensor([1.0, 2, 3, 4, 5, 6]))])


def tracked(path: Path, images: np.ndarray, fields: list[dict[str, np.ndarray]], **more: str) -> Path:
    """A tracked sequence as Plus writes it."""
    count, rows, columns = images.shape
    lines = ["ObjectType = Image", "NDims = 3", f"DimSize = {columns} {rows} {count}"]
    lines += ["ElementType = MET_UCHAR", "ElementSpacing = 1 1 1", "Offset = 0 0 0"]
    lines += ["TransformMatrix = 1 0 0 0 1 0 0 0 1", "CompressedData = False", "BinaryData = True"]
    lines += [f"{name} = {value}" for name, value in more.items()]
    for number, transforms in enumerate(fields):
        for name, matrix in transforms.items():
            words = " ".join(f"{value:.12g}" for value in matrix.ravel())
            status = "OK" if np.isfinite(matrix).all() else "INVALID"
            lines.append(f"Seq_Frame{number:04d}_{name}Transform = {words if status == 'OK' else '0 ' * 16}")
            lines.append(f"Seq_Frame{number:04d}_{name}TransformStatus = {status}")
        lines.append(f"Seq_Frame{number:04d}_ImageStatus = OK")
    header = "\n".join([*lines, "ElementDataFile = LOCAL", ""]).encode()
    path.write_bytes(header + images.astype(np.uint8).tobytes())
    return path


def off(found: Frame, expected: Frame) -> float:
    """Root mean square difference away from the edges of the sector."""
    inner = slice(4, -4)
    return float((found.scanlines - expected.scanlines)[:, inner, 4:-4].square().mean().sqrt())


def test_each_kind_is_told_from_its_files(folder: Path) -> None:
    one = read_ultrasound([folder / "frame.npz"], NOTHING)
    assert isinstance(one, OneFrame)
    assert one.has_pose
    both = read_ultrasound([folder / "two.npz"], NOTHING)
    assert isinstance(both, Sweep)
    listed = read_ultrasound([folder / "frame.npz", folder / "two.npz"], NOTHING)
    assert isinstance(listed, Sweep)
    assert torch.allclose(listed.frames.world_from_probe, torch.cat([TRUTH[None], poses()]))
    assert len(listed.frames) == 3
    whole = read_ultrasound([folder / "volume.mha"], NOTHING)
    assert isinstance(whole, SweptVolume)
    assert in_words(one) == "one frame of a convex probe, 40 mm deep, with a pose"
    assert in_words(both) == "a sweep of 2 tracked frames of a convex probe, 40 mm deep"
    assert in_words(whole).startswith("a swept volume: Volume(6 x 6 x 6")


def test_a_slab_and_a_cropped_picture_come_back_on_the_scanlines(folder: Path, frame: Frame) -> None:
    known = HowMade(probe=str(folder / "probe.json"))
    slab = read_ultrasound([folder / "slab.nii.gz"], known)
    assert isinstance(slab, OneFrame)
    assert slab.has_pose
    assert torch.allclose(slab.frame.world_from_probe[0], TRUTH, atol=1e-4)
    assert off(slab.frame, frame) < 0.01
    picture = read_ultrasound(
        [folder / "crop.png"], HowMade(probe=str(folder / "probe.json"), spacing_mm=SPACING)
    )
    assert isinstance(picture, OneFrame)
    assert not picture.has_pose
    assert off(picture.frame, slab.frame) < 0.01
    assert "without a pose" in in_words(picture)


def test_the_probe_of_a_picture_is_found_in_it(folder: Path, frame: Frame) -> None:
    found = read_ultrasound([folder / "wide.png"], HowMade(spacing_mm=SPACING, frequency_mhz=5.0))
    assert isinstance(found, OneFrame)
    probe = found.frame.probe
    assert float(probe.depth_mm) == pytest.approx(40, abs=1)
    assert float(probe.frequency_mhz) == 5
    shown, expected = found.frame.cartesian(0.5)[0], frame.cartesian(0.5)[0]
    rows, columns = (min(a, b) for a, b in zip(shown.shape, expected.shape, strict=True))
    pair = torch.stack([image[:rows, :columns].flatten() for image in (shown, expected)])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.8


def test_a_turned_sector_is_sampled_along_its_own_axis() -> None:
    """A ramp along depth and one across, seen by a probe that looks along the columns."""
    placed = ProbeInImage(PROBE, (40.0, 5.0), 90.0, (0.5, 0.5))
    row, column = torch.meshgrid(torch.arange(160.0) * 0.5, torch.arange(120.0) * 0.5, indexing="ij")
    lines, inside = placed.scanlines(torch.stack([row, column]))
    points = PROBE.sample_points_mm()
    assert torch.allclose(lines[1][inside].double(), (5 + points[..., 2])[inside], atol=0.26)
    assert torch.allclose(lines[0][inside].double(), (40 - points[..., 0])[inside], atol=0.26)
    first, right, down = torch.tensor([[1.0, 2, 3], [1, 0, 0], [0, 0, 1]]).double()
    at = placed.pose_in(first, right, down)
    point = pose.transform_points(at, torch.tensor([[4.0, 0, 20]]))[0]
    assert torch.allclose(point, first + (5 + 20) * right + (40 - 4) * down)


def test_a_tracked_sequence_is_placed_by_its_calibration(folder: Path, frame: Frame, tmp_path: Path) -> None:
    image = (255 * frame.cartesian(SPACING)).round().numpy()
    places = poses() @ frame.grid(SPACING).probe_from_pixel(SPACING)
    sensor_from_image = pose.exp(torch.tensor([5.0, -8, 12, 10, -20, 30])) @ torch.diag(
        torch.tensor([SPACING, SPACING, SPACING, 1.0], dtype=torch.float64)
    )
    tracker_from_reference = pose.exp(torch.tensor([30.0, 40, -50, 100, -200, 300]))
    sensors = tracker_from_reference @ places @ torch.linalg.inv(sensor_from_image)
    lost = {"ProbeToTracker": np.full((4, 4), np.nan), "ReferenceToTracker": tracker_from_reference.numpy()}
    fields = [
        {"ProbeToTracker": sensor.numpy(), "ReferenceToTracker": tracker_from_reference.numpy()}
        for sensor in sensors
    ]
    path = tracked(tmp_path / "sweep.igs.mha", image.repeat(3, axis=0), [fields[0], lost, fields[1]])
    numbers = " ".join(f"{value:.12g}" for value in sensor_from_image.flatten().tolist())
    xml = f'<Plus><Other><Transform From="Image" To="Probe" Matrix="{numbers}"/></Other></Plus>'
    (tmp_path / "plus.xml").write_text(xml)
    np.savetxt(tmp_path / "calibration.txt", sensor_from_image.numpy())
    for calibration in ("plus.xml", "calibration.txt"):
        made = HowMade(probe=str(folder / "probe.json"), calibration=tmp_path / calibration)
        found = read_ultrasound([path], made)
        assert isinstance(found, Sweep)
        assert torch.allclose(found.frames.world_from_probe, poses(), atol=1e-4)
        assert off(found.frames[0], frame) < 0.01
    assert read_sequence(path, tmp_path / "plus.xml").left_out == 1
    with pytest.raises(ValueError, match="give --calibration, the Plus configuration"):
        read_ultrasound([path], NOTHING)
    with pytest.raises(ValueError, match=r"expected ProbeToTracker.* got StylusToTracker"):
        stylus = tracked(tmp_path / "stylus.mha", image, [{"StylusToTracker": np.eye(4)}])
        read_ultrasound([stylus], made)
    with pytest.raises(ValueError, match="stored as UN, expected MF"):
        turned = tracked(tmp_path / "turned.mha", image, [fields[0]], UltrasoundImageOrientation="UN")
        read_ultrasound([turned], made)
    np.savetxt(tmp_path / "unscaled.txt", np.diag([0.25, 40.0, 1, 1]))
    with pytest.raises(ValueError, match="check --calibration"):
        read_ultrasound([path], HowMade(calibration=tmp_path / "unscaled.txt"))


def test_a_real_sequence_is_read(shared_data: Path) -> None:
    ultrasound = shared_data / "ultrasound"
    found = read_sequence(
        ultrasound / "BoneUltrasound_L14.igs.mha", ultrasound / "BoneUltrasound_L14_config.xml"
    )
    assert found.images.shape == (21 - found.left_out, 616, 820)
    steps = found.reference_from_image[:, :3, :2].norm(dim=1)
    assert torch.allclose(steps, torch.tensor(0.0854, dtype=torch.float64), atol=2e-4)
    between = found.reference_from_image[:, :3, 3].diff(dim=0).norm(dim=1)
    assert float(between.max()) < 10


def test_refusals(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --spacing-mm"):
        read_ultrasound([folder / "crop.png"], NOTHING)
    with pytest.raises(ValueError, match="pixel spacing is wrong"):
        read_ultrasound([folder / "crop.png"], HowMade(spacing_mm=5.0))
    with pytest.raises(ValueError, match=r"mm wide, the field of view of the probe 60\.0 mm"):
        read_ultrasound([folder / "wide.png"], HowMade(spacing_mm=0.3, probe=str(folder / "probe.json")))
    with pytest.raises(ValueError, match="--spacing-mm does not go with a volume"):
        read_ultrasound([folder / "volume.mha"], HowMade(spacing_mm=0.3))
    with pytest.raises(ValueError, match="several files are a sweep of frames saved as"):
        read_ultrasound([folder / "crop.png", folder / "wide.png"], NOTHING)
    other = Frame.load(folder / "frame.npz")
    thin = other.probe.with_options(frequency_mhz=4.0)
    Frame(other.scanlines, other.envelope, thin, other.world_from_probe, other.settings).save(
        tmp_path / "thin.npz"
    )
    with pytest.raises(ValueError, match=r"thin\.npz was made with another probe"):
        read_ultrasound([folder / "frame.npz", tmp_path / "thin.npz"], NOTHING)


def test_starts_are_read_from_whatever_holds_them(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.txt", TRUTH.numpy())
    write_json(tmp_path / "a.json", TRUTH.tolist())
    pose.save(TRUTH, tmp_path / "pose.json")
    np.savez(tmp_path / "one.npz", anything=TRUTH.numpy())
    np.savez(tmp_path / "result.npz", header=np.array("{}"), mri_from_ultrasound=TRUTH.numpy())
    save_transform(tmp_path / "a.tfm", TRUTH)
    save_transform(tmp_path / "a.h5", TRUTH)
    save_transform(tmp_path / "itk.txt", TRUTH)
    for name in ("a.txt", "a.json", "pose.json", "one.npz", "result.npz", "a.tfm", "a.h5", "itk.txt"):
        assert torch.allclose(initial_transform(tmp_path / name), TRUTH, atol=1e-9), name
    carried = poses()[1]
    assert torch.allclose(initial_pose(tmp_path / "a.txt", carried), TRUTH)
    assert torch.allclose(initial_pose(tmp_path / "a.tfm", carried), TRUTH @ carried)
    with pytest.raises(ValueError, match="the image has no pose in either"):
        initial_pose(tmp_path / "itk.txt", None)


def test_starts_that_are_refused(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "three.txt", np.eye(3))
    np.savetxt(tmp_path / "stretched.txt", np.diag([1.2, 1, 1, 1]))
    (tmp_path / "words.txt").write_text("no numbers")
    write_json(tmp_path / "words.json", ["a"])
    np.savez(tmp_path / "many.npz", a=np.eye(4), b=np.eye(4))
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 cut")
    bent = BSplineDisplacement.at_rest(torch.eye(4, dtype=torch.float64), (9, 9, 9), 4.0)
    save_transform(tmp_path / "bent.h5", torch.eye(4, dtype=torch.float64), bent)
    for name, said in {
        "three.txt": r"shape \(3, 3\), expected one 4x4",
        "stretched.txt": "not rigid",
        "words.txt": "four rows of four numbers",
        "words.json": "four rows of four numbers",
        "many.npz": "got a, b",
        "broken.npz": r"broken\.npz: expected four rows",
        "bent.h5": "not rigid: it holds a B-spline",
        "a.mat": "unknown extension",
    }.items():
        if name == "a.mat":
            (tmp_path / name).write_text("")
        with pytest.raises(ValueError, match=said):
            initial_transform(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such transform file"):
        initial_transform(tmp_path / "none.txt")
