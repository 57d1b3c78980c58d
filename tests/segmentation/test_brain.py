"""The automatic brain mask: phantoms of every contrast, and real heads against the MNI brain."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.segmentation.phantoms import INTENSITIES, Phantom, dice, phantom
from tests.support import placed

from diffus import Volume
from diffus.segmentation.brain import brain_mask
from diffus.segmentation.morphology import dilate

nilearn_data = pytest.importorskip("nilearn", reason="the MNI brain is read from nilearn")


def mni_t1() -> Volume:
    folder = Path(nilearn_data.__file__).parent / "datasets" / "data"
    return Volume.load(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz")


def millilitres(mask: Volume) -> float:
    i, j, k = mask.spacing_mm
    return int(mask.data.sum()) * i * j * k / 1000


def small_ball() -> torch.Tensor:
    """A ball of 50 mm across in the middle of an empty head-sized volume."""
    axes = [(torch.arange(n) - n / 2) * 2.0 for n in (90, 100, 90)]
    inside = torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0) < 25
    return 100 * inside + 5 * torch.rand(90, 100, 90)


@pytest.fixture(scope="module")
def head() -> Phantom:
    return phantom()


@pytest.mark.parametrize("contrast", INTENSITIES)
def test_phantom_heads_in_every_contrast(head: Phantom, contrast: str) -> None:
    mask = brain_mask(head.mri(contrast, noise=0.03, bias=0.2), contrast).data
    tissue = (head.fractions["grey_matter"] + head.fractions["white_matter"]) > 0.9
    skull = (head.fractions["skull"] + head.fractions["scalp"]) > 0.9
    assert float(mask[tissue].float().mean()) > 0.99
    assert bool(mask[head.ventricle > 0.5].all())
    # The outermost layer of skull may share its voxels with the surface, no more.
    deep_skull = skull & ~dilate(head.brain > 0.1, (2.0, 2.0, 2.0), 2.0)
    assert not bool(mask[deep_skull].any())


def test_the_order_of_axes_and_the_kind_of_numbers_do_not_matter(head: Phantom) -> None:
    volume = head.mri("t1", noise=0.03)
    expected = brain_mask(volume).data
    turned = torch.zeros(4, 4, dtype=torch.float64)
    turned[3, 3] = 1
    # i runs to the front, j down, k to the left.
    turned[:3, :3] = torch.tensor([[0.0, 0, -2], [2, 0, 0], [0, -2, 0]])
    data = volume.data.permute(1, 2, 0).flip(1, 2).round().to(torch.int16)
    found = brain_mask(Volume(data, turned)).data.flip(1, 2).permute(2, 0, 1)
    assert dice(found, expected) > 0.98


def test_colin_against_the_mni_brain(shared_data: Path) -> None:
    colin = Volume.load(shared_data / "mri" / "ch2_colin27_T1_1mm.nii.gz")
    mask = brain_mask(colin, "t1")
    mni = mni_t1()
    brain = Volume((mni.data > 0).float(), mni.world_from_voxel)
    reference = brain.resample(colin.shape, colin.world_from_voxel).data > 0.5
    assert mask.data.dtype == torch.bool and mask.same_grid(colin)
    assert dice(mask.data, reference) > 0.93


def test_a_stripped_volume_gives_its_own_outline() -> None:
    mni = mni_t1()
    assert dice(brain_mask(mni, "t1").data, mni.data > 0) > 0.995


def test_a_piece_of_a_head_agrees_with_the_whole(shared_data: Path) -> None:
    colin = Volume.load(shared_data / "mri" / "ch2_colin27_T1_1mm.nii.gz")
    whole = brain_mask(colin, "t1")
    start, stop = (0, 60, 70), (110, 188, 181)
    piece = brain_mask(colin.crop(start, stop), "t1")
    assert dice(piece.data, whole.crop(start, stop).data) > 0.95


def test_a_cut_out_around_an_ultrasound_field(shared_data: Path) -> None:
    t1 = Volume.load(shared_data / "resect" / "Case24-T1-inUS-0.5mm.nii.gz")
    flair = Volume.load(shared_data / "resect" / "Case24-FLAIR-inUS-0.5mm.nii.gz")
    by_t1, by_flair = brain_mask(t1, "cet1").data, brain_mask(flair, "flair").data
    assert dice(by_t1, by_flair) > 0.97
    # Seen on the images: the lateral ventricle, cut by the border, and the skull in a corner.
    assert bool(by_t1[4:20, 92:100, 30:40].all()) and bool(by_flair[4:20, 92:100, 30:40].all())
    skull = t1.data < 60
    assert float((by_t1 & skull).sum() / skull.sum()) < 0.2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.zeros(90, 100, 90), "constant"),
        (torch.full((90, 100, 90), 7.0), "constant"),
        (torch.rand(90, 100, 90), "no solid tissue.*mask="),
        (small_ball(), "largest piece of tissue has [0-9]+ ml, expected 350 to 2300 ml.*mask="),
    ],
    ids=["zero", "constant", "noise", "ball"],
)
def test_what_is_no_head_is_refused_with_a_hint(data: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        brain_mask(Volume(data, placed((2.0, 2.0, 2.0))), "t1")


def test_an_unknown_contrast_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown contrast 'T1w'.*'t1'"):
        brain_mask(Volume(torch.rand(8, 8, 8), placed()), "T1w")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "contrast"),
    [("hanke_sub02_T1_0.7mm", "t1"), ("VS-SEG-001_ceT1_0.82x0.82x1.5mm_derived", "cet1")],
)
def test_real_heads_against_the_registered_mni_brain(shared_data: Path, name: str, contrast: str) -> None:
    from tests.segmentation.template import brain_by_registration

    volume = Volume.load(shared_data / "mri" / f"{name}.nii.gz")
    mask = brain_mask(volume, contrast)
    assert 1100 < millilitres(mask) < 1700
    assert dice(mask.data, brain_by_registration(mni_t1(), volume)) > 0.92
