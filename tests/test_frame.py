"""Frames: their place in the world in every format, and their way to file and back."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.scenes import PROBES, TILTED, moved, textured

from diffus import Frame, RenderSettings, Volume, pose, render

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def frame() -> Frame:
    return render(moved(textured(torch.float32), TILTED), PROBES["convex"], TILTED)


def world_of_pixel(frame: Frame, column: int, row: int, spacing_mm: float) -> np.ndarray:
    """From first principles: the pixel's x and z in the probe frame, moved by the pose."""
    x, z = frame.grid(spacing_mm).centres_mm()
    point = torch.tensor([float(x[row, column]), 0.0, float(z[row, column])], dtype=torch.float64)
    return pose.transform_points(frame.world_from_probe[0], point[None])[0].numpy()


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_nifti_lies_in_its_place(frame: Frame, tmp_path, extension: str) -> None:
    path = frame.save(tmp_path / f"frame{extension}", spacing_mm=0.5)
    image = nibabel.load(path)
    values = np.asanyarray(image.dataobj)
    expected = frame.cartesian(spacing_mm=0.5)[0].numpy()
    assert values.shape == (*expected.shape[::-1], 1)
    assert np.array_equal(values[..., 0].T, expected)
    for column, row in ((0, 0), (17, 3), (40, 80)):
        world = image.affine @ [column, row, 0, 1]
        assert world[:3] == pytest.approx(world_of_pixel(frame, column, row, 0.5), abs=1e-5)  # float32 header


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_itk_formats_lie_in_their_place_exactly(frame: Frame, tmp_path, extension: str) -> None:
    image = sitk.ReadImage(str(frame.save(tmp_path / f"frame{extension}", spacing_mm=0.5)))
    expected = frame.cartesian(spacing_mm=0.5)[0].numpy()
    assert np.array_equal(sitk.GetArrayFromImage(image)[0], expected)
    for column, row in ((0, 0), (17, 3), (40, 80)):
        lps = np.array(image.TransformIndexToPhysicalPoint((column, row, 0)))
        assert LPS_FROM_RAS @ lps == pytest.approx(world_of_pixel(frame, column, row, 0.5), abs=1e-10)


def test_a_saved_frame_loads_as_a_volume_in_the_same_place(frame: Frame, tmp_path) -> None:
    volume = Volume.load(frame.save(tmp_path / "frame.nrrd"))
    expected = frame.world_from_pixel(frame.grid())[0]
    assert torch.allclose(volume.world_from_voxel, expected, atol=1e-10)


def test_npz_brings_everything_back(tmp_path) -> None:
    poses = torch.stack([torch.eye(4, dtype=torch.float64), pose.exp(torch.tensor([1.0, 2, 3, 4, 5, 6]))])
    settings = RenderSettings(gain_db=torch.tensor([3.0, 5.0]), dynamic_range_db=55.0)
    frame = render(textured(torch.float32), PROBES["linear"], poses, settings)
    back = Frame.load(frame.save(tmp_path / "frames.npz"))
    assert torch.equal(back.scanlines, frame.scanlines)
    assert torch.equal(back.envelope, frame.envelope)
    assert torch.equal(back.world_from_probe, frame.world_from_probe)
    assert back.probe == frame.probe
    assert back.settings.with_options(gain_db=0.0) == settings.with_options(gain_db=0.0)
    assert torch.equal(torch.as_tensor(back.settings.gain_db), torch.as_tensor(settings.gain_db))
    with np.load(tmp_path / "frames.npz", allow_pickle=False) as archive:
        assert archive["cartesian"].shape[0] == 2
        assert archive["world_from_pixel"].shape == (2, 4, 4)


def test_png_is_a_picture(frame: Frame, tmp_path) -> None:
    from matplotlib.image import imread

    picture = imread(frame.save(tmp_path / "frame.png"))
    assert picture.shape[0] > 400 and picture[..., :3].std() > 0.1


def test_indexing_keeps_a_frame_whole() -> None:
    poses = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    settings = RenderSettings(gain_db=torch.tensor([1.0, 2.0, 3.0]))
    frame = render(textured(torch.float32), PROBES["linear"], poses, settings)
    assert len(frame) == 3 and len(list(frame)) == 3
    last = frame[-1]
    assert torch.equal(last.scanlines, frame.scanlines[2:])
    assert torch.as_tensor(last.settings.gain_db).tolist() == [3.0]
    assert len(frame[:2]) == 2
    with pytest.raises(IndexError):
        frame[3]


def test_refuses_what_it_cannot_write(frame: Frame, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"unknown extension of a frame file '\.jpg'.*'\.png'"):
        frame.save(tmp_path / "frame.jpg")
    several = render(
        textured(torch.float32), PROBES["linear"], torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    )
    with pytest.raises(ValueError, match=r"holds one image, this frame has 2"):
        several.save(tmp_path / "frame.nii.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_refuses_what_is_no_frame_file(tmp_path, content: bytes) -> None:
    (tmp_path / "frame.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"frame\.npz is not a frame file"):
        Frame.load(tmp_path / "frame.npz")
    with pytest.raises(FileNotFoundError, match=r"missing\.npz"):
        Frame.load(tmp_path / "missing.npz")


def test_mask_is_where_the_image_is(frame: Frame) -> None:
    mask, image = frame.mask(shape=(64, 64)), frame.cartesian(shape=(64, 64))
    assert mask.shape == (64, 64) and image.shape == (1, 64, 64)
    assert bool((image[0][~mask] == 0).all())


def test_curves_of_the_settings_come_back_from_file(tmp_path) -> None:
    curves = {"tgc_curve_db": (0.0, 3.0, -2.0), "grey_map": (0.0, 0.25, 1.0)}
    settings = RenderSettings(noise_db=-90.0, **curves)
    saved = render(textured(torch.float32), PROBES["linear"], pose.exp(torch.zeros(6)), settings)
    loaded = Frame.load(saved.save(tmp_path / "frame.npz"))
    for name, curve in curves.items():
        assert getattr(loaded.settings, name).tolist() == list(curve)
    assert loaded.settings.noise_db == -90.0
    assert torch.equal(loaded[0].scanlines, saved.scanlines)  # a curve is not one value a pose
