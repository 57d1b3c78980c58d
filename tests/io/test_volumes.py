"""Files in and out, with nibabel and SimpleITK as independent witnesses of where each voxel lies."""

from __future__ import annotations

import gzip
import logging
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tests.support import placed

from diffus.io.volumes import SAVED, load_volume, save_volume
from diffus.volume import Volume

AFFINES = {
    "oblique": placed(),
    "left-handed": placed(left_handed=True),
    "turned": placed((1.0, 0.5, 2.5), turn=(1.2, -2.1, 0.4)),
    "plain": torch.diag(torch.tensor([1.0, 1.0, 1.0, 1.0], dtype=torch.float64)),
}
each_affine = pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES.keys())
each_extension = pytest.mark.parametrize("extension", SAVED)
SHAPE = (5, 7, 4)


def _volume(affine=None, dtype=torch.float32):
    data = torch.arange(5 * 7 * 4).reshape(SHAPE).to(dtype)  # no two voxels alike: any wrong order shows
    return Volume(data, AFFINES["oblique"] if affine is None else affine)


def _nifti(path, array=None, affine=None, change=None):
    array = np.arange(140, dtype=np.int16).reshape(SHAPE) if array is None else array
    image = nib.Nifti1Image(array, np.eye(4) if affine is None else affine)
    if change is not None:
        change(image.header)
    nib.save(image, path)
    return path


def _rewrite(path, **values):
    """Change header fields behind nibabel's back, which would mend them on saving."""
    header = nib.load(path).header
    header["vox_offset"] = 352  # nibabel clears it on loading
    for name, value in values.items():
        header[name] = value
    block = header.binaryblock
    path.write_bytes(block + path.read_bytes()[len(block) :])


# --- saving and loading -------------------------------------------------------------------------------------


@each_extension
@each_affine
def test_what_is_saved_comes_back(tmp_path, extension, affine):
    volume = _volume(affine)
    path = volume.save(tmp_path / f"volume{extension}")
    back = Volume.load(path)
    assert back.data.dtype == torch.float32
    assert back.data.is_contiguous()
    assert torch.equal(back.data, volume.data)
    # NIfTI holds single precision: 2^-24 of the largest coordinate, about 5e-6 mm here; the others double.
    tolerance = 1e-5 if extension.startswith(".nii") else 1e-12
    assert torch.allclose(back.world_from_voxel, affine, rtol=0, atol=tolerance)


@each_affine
def test_nibabel_and_simpleitk_see_every_voxel_where_we_do(tmp_path, affine):
    volume = _volume(affine)
    index = (4, 2, 3)
    world = (affine @ torch.tensor([*index, 1.0], dtype=torch.float64))[:3].numpy()
    value = float(volume.data[index])
    image = nib.load(volume.save(tmp_path / "v.nii.gz"))
    np.testing.assert_allclose(image.affine @ [*index, 1], [*world, 1], atol=1e-4)
    assert image.get_fdata()[index] == value
    for extension in SAVED:
        itk = sitk.ReadImage(str(volume.save(tmp_path / f"w{extension}")))
        lps = np.array(itk.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(
            lps * [-1, -1, 1], world, atol=1e-4 if extension.startswith(".nii") else 1e-9
        )
        assert itk.GetPixel(*index) == value


@each_affine
@pytest.mark.parametrize("extension", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_what_simpleitk_writes_is_read_where_it_says(tmp_path, affine, extension):
    array = np.arange(140, dtype=np.int16).reshape(SHAPE[::-1])
    image = sitk.GetImageFromArray(array)
    axes = affine[:3, :3].numpy() * [[-1], [-1], [1]]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin([10.0, -20.0, 30.0])
    path = tmp_path / f"v{extension}"
    sitk.WriteImage(image, str(path))
    volume = load_volume(path)
    for index in ((0, 0, 0), (4, 6, 3), (1, 5, 2)):
        world = volume.world_from_voxel.numpy() @ [*index, 1]
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(world[:3], lps * [-1, -1, 1], atol=1e-9)
        assert float(volume.data[index]) == image.GetPixel(*index)


@each_affine
def test_the_same_volume_lies_at_one_place_in_every_format(tmp_path, affine):
    array = np.arange(140, dtype=np.float32).reshape(SHAPE)
    first = load_volume(_nifti(tmp_path / "v.nii", array, affine.numpy()))
    itk = sitk.ReadImage(str(tmp_path / "v.nii"))  # SimpleITK's own reading of NIfTI
    for extension in (".nrrd", ".mha"):
        sitk.WriteImage(itk, str(tmp_path / f"v{extension}"))
        other = load_volume(tmp_path / f"v{extension}")
        assert torch.equal(other.data, first.data)
        assert torch.allclose(other.world_from_voxel, first.world_from_voxel, rtol=0, atol=1e-4)


@each_extension
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float64]
)
def test_every_type_of_voxel_keeps_its_values(tmp_path, extension, dtype):
    volume = _volume(dtype=dtype)
    back = load_volume(save_volume(volume, tmp_path / f"v{extension}"))
    assert torch.equal(back.data, volume.data.float())


@each_extension
def test_a_tensor_in_another_memory_order_is_written_right(tmp_path, extension):
    volume = Volume(torch.arange(140.0).reshape(SHAPE[::-1]).permute(2, 1, 0), AFFINES["oblique"])
    assert torch.equal(load_volume(save_volume(volume, tmp_path / f"v{extension}")).data, volume.data)


@each_extension
def test_a_single_slice_keeps_its_third_axis(tmp_path, extension):
    volume = Volume(torch.rand(6, 1, 5), AFFINES["oblique"])
    assert load_volume(save_volume(volume, tmp_path / f"a{extension}")).shape == (6, 1, 5)
    flat = Volume(torch.rand(6, 5, 1), AFFINES["oblique"])
    assert load_volume(save_volume(flat, tmp_path / f"b{extension}")).shape == (6, 5, 1)


@each_extension
def test_the_same_volume_gives_the_same_bytes(tmp_path, extension):
    first = save_volume(_volume(), tmp_path / f"a{extension}").read_bytes()
    assert save_volume(_volume(), tmp_path / f"b{extension}").read_bytes() == first
    if extension == ".nii.gz":
        assert first[4:8] == b"\0\0\0\0"  # no time in the gzip header


def test_nifti_says_mm_and_the_same_place_twice(tmp_path):
    header = nib.load(save_volume(_volume(AFFINES["left-handed"]), tmp_path / "v.nii")).header
    assert header.get_xyzt_units()[0] == "mm"
    assert int(header["sform_code"]) == int(header["qform_code"]) == 2
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=1e-4)


def test_saving_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = save_volume(_volume(), tmp_path / "v.nii.gz")
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", fail)
    with pytest.raises(ValueError, match=r"cannot write .*v\.nii\.gz: No space left on device"):
        save_volume(_volume(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["v.png", "v", "v.mhd", "v.nhdr", "v.mgz"])
def test_saving_under_another_extension_lists_the_known(tmp_path, name):
    with pytest.raises(
        ValueError, match=r"unknown extension .*expected one of \.nii, \.nii\.gz, \.nrrd, \.mha"
    ):
        save_volume(_volume(), tmp_path / name)


def test_saving_where_no_file_can_be(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ValueError, match="cannot write"):
        save_volume(_volume(), blocker / "v.nii")


# --- NIfTI in particular ------------------------------------------------------------------------------------


def test_integers_are_scaled(tmp_path):
    array = np.arange(140, dtype=np.int16).reshape(SHAPE)
    path = _nifti(tmp_path / "v.nii", array)
    _rewrite(path, scl_slope=0.5, scl_inter=-3.0)
    np.testing.assert_array_equal(load_volume(path).data.numpy(), array * 0.5 - 3)


def test_slabs_do_not_show(tmp_path, monkeypatch):
    path = _nifti(tmp_path / "v.nii.gz")
    whole = load_volume(path).data
    monkeypatch.setattr("diffus.io.raw.SLAB_VOXELS", 80)
    assert torch.equal(load_volume(path).data, whole)


def test_the_sform_goes_before_the_qform(tmp_path, caplog):
    def change(header):
        header.set_sform(placed().numpy(), 1)
        header.set_qform(AFFINES["plain"].numpy(), 1)

    path = _nifti(tmp_path / "v.nii", affine=placed().numpy(), change=change)
    assert torch.allclose(load_volume(path).world_from_voxel, placed(), atol=1e-5)
    assert "sform and qform place the image up to" in caplog.text


def test_the_qform_alone_places(tmp_path, caplog):
    def change(header):
        header.set_qform(AFFINES["left-handed"].numpy(), 1)
        header.set_sform(None, 0)

    path = _nifti(tmp_path / "v.nii", affine=AFFINES["left-handed"].numpy(), change=change)
    assert torch.allclose(load_volume(path).world_from_voxel, AFFINES["left-handed"], atol=1e-4)
    assert not caplog.records


def test_without_a_place_voxels_lie_as_in_nibabel_and_it_is_said(tmp_path, caplog):
    def change(header):
        header.set_sform(None, 0)
        header.set_qform(None, 0)
        header.set_zooms((1.0, 2.0, 3.0))

    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), None)
    change(image.header)
    nib.save(image, tmp_path / "v.nii")
    with caplog.at_level(logging.WARNING):
        volume = load_volume(tmp_path / "v.nii")
    np.testing.assert_allclose(volume.world_from_voxel, nib.load(tmp_path / "v.nii").affine)
    assert volume.spacing_mm == (1, 2, 3)
    assert "neither sform nor qform" in caplog.text
    assert "left and right are a guess" in caplog.text


@pytest.mark.parametrize(
    ("unit", "scale"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)]
)
def test_the_unit_of_length_is_honoured(tmp_path, caplog, unit, scale):
    path = _nifti(
        tmp_path / "v.nii", affine=np.diag([2.0, 3.0, 4.0, 1.0]), change=lambda h: h.set_xyzt_units(unit)
    )
    assert load_volume(path).spacing_mm == pytest.approx((2 * scale, 3 * scale, 4 * scale))
    assert ("converted to mm" in caplog.text) == (scale != 1)


@pytest.mark.parametrize("shape", [(5, 7, 4, 1), (5, 7, 4, 1, 1)])
def test_one_frame_is_a_volume(tmp_path, shape):
    path = _nifti(tmp_path / "v.nii.gz", np.arange(140, dtype=np.int16).reshape(shape))
    assert torch.equal(load_volume(path).data, torch.arange(140.0).reshape(SHAPE))


def test_one_frame_in_metaimage_is_a_volume(tmp_path):
    image = sitk.GetImageFromArray(np.arange(140, dtype=np.int16).reshape(1, 4, 7, 5), isVector=False)
    image.SetSpacing([1.0, 2.0, 3.0, 1.0])
    sitk.WriteImage(image, str(tmp_path / "v.mha"))
    volume = load_volume(tmp_path / "v.mha")
    assert volume.shape == SHAPE
    assert volume.spacing_mm == (1, 2, 3)
    assert float(volume.data[4, 0, 0]) == 4


def test_large_integers_that_float32_rounds_are_noted(tmp_path, caplog):
    load_volume(_nifti(tmp_path / "v.nii", np.full(SHAPE, 2**24 + 1, np.int32)))
    assert "rounded to float32" in caplog.text


def test_freesurfers_own_format_is_read(tmp_path):
    image = nib.MGHImage(np.arange(140, dtype=np.int32).reshape(SHAPE), placed().numpy())
    nib.save(image, tmp_path / "aseg.mgz")
    volume = load_volume(tmp_path / "aseg.mgz")
    assert torch.equal(volume.data, torch.arange(140.0).reshape(SHAPE))
    assert torch.allclose(volume.world_from_voxel, placed(), atol=1e-4)


def test_a_nrrd_without_a_space_says_so(tmp_path, caplog):
    text = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 2 2\nspacings: 1 2 3\nencoding: raw\n\n"
    (tmp_path / "v.nrrd").write_bytes(text.encode() + bytes(range(8)))
    volume = load_volume(tmp_path / "v.nrrd")
    assert volume.spacing_mm == (1, 2, 3)
    assert volume.data[:, 0, 0].tolist() == [0, 1]
    assert "names no anatomical space" in caplog.text


# --- what is refused ----------------------------------------------------------------------------------------


def _truncated(path):
    _nifti(path, np.random.default_rng(0).integers(0, 999, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _singular(path):
    _rewrite(_nifti(path), srow_y=0)


def _itk(path, array, vector=False):
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=vector), str(path))


def _cut_itk(path):
    save_volume(Volume(torch.rand(9, 9, 9), placed()), path)
    path.write_bytes(path.read_bytes()[:-700])


BAD = {
    "truncated.nii.gz": (_truncated, "cannot be read as NIfTI"),
    "truncated.nii": (_truncated, "cannot be read as NIfTI"),
    "text.nii": (lambda p: p.write_text("not an image " * 99), "cannot be read as NIfTI"),
    "text.nii.gz": (lambda p: p.write_text("not an image " * 99), "cannot be read as NIfTI"),
    "gzipped_text.nii.gz": (
        lambda p: p.write_bytes(gzip.compress(b"no image " * 99)),
        "cannot be read as NIfTI",
    ),
    "empty.nii": (lambda p: p.write_bytes(b""), "cannot be read as NIfTI"),
    "flat.nii": (
        lambda p: _nifti(p, np.zeros((5, 6), np.int16)),
        r"is 2D with shape \(5, 6\), expected a 3D",
    ),
    "frames.nii.gz": (lambda p: _nifti(p, np.zeros((3, 4, 5, 6), np.int16)), "is 4D with 6 frames"),
    "vector.nii": (
        lambda p: _nifti(p, np.zeros((3, 4, 5, 1, 3), np.float32)),
        "a vector of 3 numbers a voxel",
    ),
    "colour.nii": (
        lambda p: _nifti(p, np.zeros((3, 4, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])),
        "colour",
    ),
    "complex.nii": (lambda p: _nifti(p, np.zeros((3, 4, 5), np.complex64)), "complex voxels"),
    "nan.nii.gz": (
        lambda p: _nifti(p, np.full((3, 4, 5), np.nan, np.float32)),
        "60 NaN or infinite voxels of 60",
    ),
    "inf.mha": (lambda p: _itk(p, np.full((3, 4, 5), np.inf, np.float32)), "60 NaN or infinite voxels of 60"),
    "huge.nii": (lambda p: _nifti(p, np.full((3, 4, 5), 1e300)), "60 NaN or infinite voxels of 60"),
    "singular.nii": (_singular, "singular"),
    "sheared.nii": (lambda p: _nifti(p, affine=np.eye(4) + np.diag([0.3, 0, 0], 1)), "sheared"),
    "truncated.mha": (_cut_itk, "SimpleITK fails with"),
    "truncated.nrrd": (_cut_itk, "SimpleITK fails with"),
    "text.nrrd": (lambda p: p.write_text("not an image " * 99), "SimpleITK fails with"),
    "text.mha": (lambda p: p.write_text("not an image " * 99), "SimpleITK fails with"),
    "flat.mha": (lambda p: _itk(p, np.zeros((5, 6), np.int16)), r"is 2D with size \(6, 5\), expected a 3D"),
    "frames.mha": (lambda p: _itk(p, np.zeros((6, 5, 4, 3), np.int16)), "is 4D with 6 frames"),
    "vector.nrrd": (lambda p: _itk(p, np.zeros((5, 4, 3, 3), np.float32), True), "3 numbers a voxel"),
    "colour.mha": (lambda p: _itk(p, np.zeros((5, 4, 3, 3), np.uint8), True), "3 numbers a voxel"),
    "volume.mnc": (lambda p: p.write_bytes(b"CDF"), "cannot be read as MINC"),
    "volume.img": (lambda p: p.write_bytes(b"x"), r"unknown extension '\.img'.*Analyze"),
    "volume.nrrd.gz": (lambda p: p.write_bytes(b"x"), r"unknown extension '\.gz'.*unpack"),
    "volume": (lambda p: p.write_bytes(b"x"), "unknown extension ''"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_by_name_and_without_noise(tmp_path, capfd, name):
    make, words = BAD[name]
    path = tmp_path / name
    make(path)
    capfd.readouterr()
    with pytest.raises(ValueError, match=words) as refusal:
        load_volume(path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert ".cxx" not in str(refusal.value)
    said = capfd.readouterr()
    assert said.out == said.err == ""


@pytest.mark.parametrize("name", ["none.nii", "none.nii.gz", "none.nrrd", "none.mha", "folder/none"])
def test_missing_files(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*none"):
        load_volume(tmp_path / name)


def test_a_tracked_sequence_is_no_volume(shared_data):
    with pytest.raises(ValueError, match="tracked sequence of 21 2D frames"):
        load_volume(shared_data / "ultrasound" / "BoneUltrasound_L14.igs.mha")


def test_a_colour_dicom_is_refused(shared_data):
    with pytest.raises(ValueError, match="colour"):
        load_volume(shared_data / "ultrasound" / "gdcm-US-ALOKA-16.dcm")


# --- real files ---------------------------------------------------------------------------------------------


def test_a_real_oblique_head_lies_where_nibabel_and_simpleitk_put_it(shared_data):
    path = shared_data / "resect" / "Case24-T1-inUS-0.5mm.nii.gz"
    volume = load_volume(path)
    image, itk = nib.load(path), sitk.ReadImage(str(path))
    np.testing.assert_allclose(volume.world_from_voxel, image.affine, atol=1e-9)
    np.testing.assert_array_equal(volume.data, image.get_fdata(dtype=np.float32))
    for index in ((0, 0, 0), (93, 106, 106), (10, 90, 5)):
        world = volume.world_from_voxel.numpy() @ [*index, 1]
        lps = np.array(itk.TransformIndexToPhysicalPoint(index))
        np.testing.assert_allclose(world[:3], lps * [-1, -1, 1], atol=1e-3)  # ITK makes the axes orthogonal


def test_loading_a_large_head_takes_little_more_than_its_float32(shared_data):
    """Peak memory of a process of its own: 160 MB of voxels, and less than 80 MB on top (no float64 copy)."""
    path = shared_data / "mri" / "hanke_sub02_T1_0.7mm.nii.gz"
    code = (
        "import resource, sys, diffus.io.nifti\n"
        "from diffus.volume import Volume\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak(); volume = Volume.load(sys.argv[1]); print(peak() - before, *volume.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    kilobytes, *shape = map(int, done.stdout.split())
    assert shape == [274, 384, 384]
    voxels = 274 * 384 * 384 * 4 / 1024
    assert kilobytes < voxels + 80 * 1024
