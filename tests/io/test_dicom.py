"""A DICOM series in a folder, written here slice by slice, against the positions in its own tags."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from diffus.io.volumes import load_volume
from diffus.volume import Volume

SHAPE = (7, 5, 6)
VOXELS = np.random.default_rng(0).integers(-900, 900, SHAPE).astype(np.int16)
POSITION, ORIENTATION, SPACING = "0020|0032", "0020|0037", "0028|0030"


def _lps(spacing=(0.8, 0.9, 1.5)):
    lps = np.eye(4)
    lps[:3, :3] = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix() * spacing
    lps[:3, 3] = [-30.25, 20.5, 10.125]
    return lps


def _write(
    folder, *, series="1", description="T1", heights=range(SHAPE[2]), lps=None, tilt=(0.0, 0.0, 0.0), tags=()
):
    """One file a slice, in an order of names that is not that of the positions."""
    lps = _lps() if lps is None else lps
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = lps[:3, :3] / spacing
    heights = list(heights)
    for k, height in enumerate(heights):
        image = sitk.GetImageFromArray(VOXELS[..., k % SHAPE[2]].T[None])
        position = lps[:3, 3] + lps[:3, 2] * height + np.array(tilt) * height
        image.SetSpacing(spacing.tolist())
        image.SetDirection(axes.ravel().tolist())
        image.SetOrigin(position.tolist())
        values = {
            "0008|0060": "MR",
            "0008|103e": description,
            "0020|000d": "1.2.826.0.1.1",
            "0020|000e": f"1.2.826.0.1.2.{series}",
            "0008|0018": f"1.2.826.0.1.3.{series}.{k}",
            "0020|0013": str(len(heights) - k),
            POSITION: "\\".join(f"{x:.10g}" for x in position),
            ORIENTATION: "\\".join(f"{x:.10g}" for x in axes[:, :2].T.ravel()),
            **dict(tags),
        }
        for tag, value in values.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"s{series}_{(k * 5) % len(heights):03d}.dcm"))
        writer.Execute(image)
    return folder


def _tags(path):
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return {
        tag: [float(x) for x in reader.GetMetaData(tag).split("\\")]
        for tag in (POSITION, ORIENTATION, SPACING)
    }


def test_every_pixel_lies_where_its_own_slices_tags_say(tmp_path):
    folder = _write(tmp_path / "series")
    volume = Volume.load(folder)
    assert volume.shape == SHAPE
    np.testing.assert_array_equal(volume.data.numpy(), VOXELS)
    for path in folder.iterdir():
        tags = _tags(path)
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]  # row, column
        column, row = 6, 2
        down, along = tags[SPACING]
        rows, columns = np.array(tags[ORIENTATION][:3]), np.array(tags[ORIENTATION][3:])
        lps = np.array(tags[POSITION]) + rows * along * column + columns * down * row  # PS3.3 C.7.6.2.1.1
        world = torch.tensor(lps * [-1, -1, 1])
        index = volume.voxel_from_world[:3, :3] @ world + volume.voxel_from_world[:3, 3]
        whole = index.round().int().tolist()
        assert torch.allclose(index, index.round(), atol=1e-6)
        assert whole[:2] == [column, row]
        assert float(volume.data[tuple(whole)]) == pixels[row, column]


def test_places_as_simpleitks_own_series_reader(tmp_path):
    folder = _write(tmp_path / "series")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image, volume = reader.Execute(), load_volume(folder)
    for index in ((0, 0, 0), (6, 4, 5), (3, 1, 2)):
        world = volume.world_from_voxel.numpy() @ [*index, 1]
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(world[:3], lps * [-1, -1, 1], atol=1e-6)
        assert float(volume.data[index]) == image.GetPixel(*index)


def test_rescaling_is_applied(tmp_path):
    folder = _write(tmp_path / "series", tags={"0028|1053": "2", "0028|1052": "-1024"}.items())
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(folder / "s1_000.dcm"))
    reader.ReadImageInformation()
    assert float(reader.GetMetaData("0028|1053")) == 2  # stored as (value + 1024) / 2, in whole numbers
    assert np.abs(load_volume(folder).data.numpy() - VOXELS).max() < 2


def test_of_several_series_the_user_chooses(tmp_path):
    folder = _write(tmp_path / "study")
    _write(folder, series="2", description="T2 FLAIR", heights=range(4))
    with pytest.raises(ValueError, match="holds 2 DICOM series, expected one") as refusal:
        load_volume(folder)
    for words in (
        "T1: 6 files",
        "uid 1.2.826.0.1.2.1",
        "T2 FLAIR: 4 files",
        "uid 1.2.826.0.1.2.2",
        "one file of the",
    ):
        assert words in str(refusal.value)
    assert load_volume(folder / "s1_000.dcm").shape == SHAPE
    assert load_volume(folder / "s2_000.dcm").shape == (7, 5, 4)


def test_a_file_without_extension_is_known_by_its_content(tmp_path):
    folder = _write(tmp_path / "series")
    for path in list(folder.iterdir()):
        path.rename(path.with_suffix(""))
    assert load_volume(folder).shape == load_volume(folder / "s1_000").shape == SHAPE


def test_small_unevenness_is_noted(tmp_path, caplog):
    heights = [0, 1, 2, 3.04, 4.04, 5.04]
    volume = load_volume(_write(tmp_path / "series", heights=heights))
    assert volume.spacing_mm[2] == pytest.approx(1.5 * 5.04 / 5)
    assert "unevenly spaced: 1.56 mm" in caplog.text
    assert "elsewhere 1.5 mm" in caplog.text


BAD = {
    "missing slice": (
        {"heights": [0, 1, 2, 4, 5, 6]},
        r"unevenly spaced: 3 mm between .* elsewhere 1.5 mm; about 1 miss",
    ),
    "missing last but one": ({"heights": [0, 1, 2, 3, 4, 6]}, "about 1 missing"),
    "uneven": ({"heights": [0, 1, 2, 3.3, 4.3, 5.3]}, "unevenly spaced: 1.95 mm"),
    "twice": ({"heights": [0, 1, 2, 2, 3, 4]}, "two slices lie at one position.*echoes"),
    "one": ({"heights": [0]}, "holds one slice, expected a 3D volume"),
    "gantry": ({"tilt": (0.0, 0.4, 0.0)}, "sheared"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_regular_stack_is_refused_by_name(tmp_path, capfd, name):
    options, words = BAD[name]
    folder = _write(tmp_path / "series", **options)
    with pytest.raises(ValueError, match=words) as refusal:
        load_volume(folder)
    assert str(folder) in str(refusal.value)
    assert capfd.readouterr().err == ""


def test_a_localiser_among_the_slices_is_refused(tmp_path):
    folder = _write(tmp_path / "series")
    turned = _lps()
    turned[:3, :3] = turned[:3, [1, 2, 0]]
    _write(folder, lps=turned, heights=[0], tags={"0008|0018": "1.2.826.0.1.3.9"}.items())
    with pytest.raises(ValueError, match="differ in orientation, pixel spacing or size"):
        load_volume(folder)


def test_folders_without_dicom_are_refused(tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("none")
    _write(tmp_path / "deeper")
    with pytest.raises(ValueError, match="no DICOM images directly in this folder"):
        load_volume(tmp_path)
    assert capfd.readouterr().err == ""


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / "broken.dcm"
    path.write_bytes(bytes(128) + b"DICM" + b"rubbish" * 20)
    with pytest.raises(ValueError, match=r"broken\.dcm"):
        load_volume(path)


def test_colour_and_multi_frame_ultrasound_are_refused(shared_data):
    with pytest.raises(ValueError, match=r"colour image|multi-frame"):
        load_volume(shared_data / "ultrasound" / "examples_ybr_color.dcm")
