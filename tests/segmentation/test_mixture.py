"""Tissue fractions: phantoms with known fractions, the MNI template against its own maps, and a real pair."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.segmentation.phantoms import INTENSITIES, Phantom, phantom
from tests.support import placed

from diffus import Volume
from diffus.mixing import mix_tissues
from diffus.segmentation.brain import brain_mask
from diffus.segmentation.classes import TissueClasses
from diffus.segmentation.mixture import fit_tissue_classes
from diffus.segmentation.morphology import dilate

nilearn = pytest.importorskip("nilearn", reason="the MNI brain is read from nilearn")


@pytest.fixture(scope="module")
def brain() -> Phantom:
    return phantom(head=False)


def masked(brain: Phantom) -> Volume:
    return Volume(brain.brain > 0.5, brain.world_from_voxel)


def by_name(classes: TissueClasses, volumes: dict[str, Volume], mask: Volume) -> dict[str, torch.Tensor]:
    fractions, names = classes.fractions(volumes, mask)
    return dict(zip(names, fractions, strict=True))


def backscatter(classes: TissueClasses, volumes: dict[str, Volume], mask: Volume) -> torch.Tensor:
    fractions, names = classes.fractions(volumes, mask)
    return mix_tissues(fractions, names, "water", open_fluid=classes.open_fluid(mask))[..., 2]


# Mean absolute error allowed for CSF, grey and white matter at 3 % noise. On T1 grey and white lie ten
# standard deviations apart, on FLAIR eight, and there CSF with grey matter crosses the level of white.
ALLOWED = {
    "t1": (0.03, 0.06, 0.04),
    "cet1": (0.03, 0.09, 0.08),
    "t2": (0.03, 0.09, 0.08),
    "flair": (0.05, 0.13, 0.14),
}


@pytest.mark.parametrize("contrast", INTENSITIES)
def test_known_fractions_are_recovered_under_noise_and_bias(brain: Phantom, contrast: str) -> None:
    volumes = {contrast: brain.mri(contrast, noise=0.03, bias=0.2)}
    mask = masked(brain)
    found = by_name(fit_tissue_classes(volumes, mask), volumes, mask)
    whole = brain.brain > 0.99
    for name, allowed in zip(("csf", "grey_matter", "white_matter"), ALLOWED[contrast], strict=True):
        error = (found[name] - brain.fractions[name])[whole].abs().mean()
        assert float(error) < allowed, name
    for name in set(found) & {"enhancing", "lesion"}:
        assert float(found[name][whole].mean()) < 0.005


def test_two_contrasts_do_better_than_one(brain: Phantom) -> None:
    volumes = {name: brain.mri(name, noise=0.04, seed=seed) for seed, name in enumerate(("t1", "flair"))}
    mask, whole = masked(brain), brain.brain > 0.99

    def error(chosen: dict[str, Volume]) -> float:
        found = by_name(fit_tissue_classes(chosen, mask), chosen, mask)
        names = ("csf", "grey_matter", "white_matter")
        return sum(float((found[n] - brain.fractions[n])[whole].abs().mean()) for n in names)

    assert error(volumes) < 0.9 * min(error({name: volume}) for name, volume in volumes.items())


def test_fractions_sum_to_one_inside_and_are_zero_outside(brain: Phantom) -> None:
    volumes, mask = {"cet1": brain.mri("cet1", noise=0.03)}, masked(brain)
    fractions, names = fit_tissue_classes(volumes, mask).fractions(volumes, mask)
    total = torch.stack(fractions).sum(dim=0)
    assert names == ("csf", "grey_matter", "white_matter", "enhancing")
    assert all(fraction.dtype == torch.float32 for fraction in fractions)
    assert torch.allclose(total[mask.data], torch.tensor(1.0), atol=1e-5)
    assert total[~mask.data].abs().max() == 0 and min(float(f.min()) for f in fractions) >= 0


def test_slabs_join_without_a_seam(brain: Phantom) -> None:
    volumes, mask = {"t1": brain.mri("t1", noise=0.03, bias=0.2)}, masked(brain)
    classes = fit_tissue_classes(volumes, mask)
    whole = torch.stack(classes.fractions(volumes, mask)[0])
    size = mask.shape[0]
    slabs = [classes.fractions(volumes, mask, slice(a, min(a + 5, size)))[0] for a in range(0, size, 5)]
    assert torch.allclose(torch.cat([torch.stack(s) for s in slabs], dim=1), whole, atol=1e-5)


def test_ventricles_are_black_their_walls_are_no_cortex_and_sulci_are_bright(brain: Phantom) -> None:
    mask = masked(brain)
    ventricle = brain.ventricle
    wall = dilate(ventricle > 0, (2.0,) * 3, 2.0) & (ventricle < 1)
    sulcus = (brain.fractions["csf"] > 0.2) & (brain.fractions["grey_matter"] > 0.2)
    sulcus &= (brain.brain > 0.99) & (ventricle == 0)
    for contrast in ("t1", "t2", "flair"):
        volumes = {contrast: brain.mri(contrast, noise=0.02)}
        classes = fit_tissue_classes(volumes, mask)
        found, echo = by_name(classes, volumes, mask), backscatter(classes, volumes, mask)
        white = float(echo[brain.fractions["white_matter"] == 1].median())
        assert float(echo[ventricle == 1].median()) < 0.2 * white, contrast
        assert float(found["grey_matter"][wall].mean()) < 0.08, contrast
        assert float(echo[wall].max()) < 2 * white, contrast
        assert float(echo[sulcus].median()) > 2 * white, contrast


@pytest.mark.parametrize(("contrast", "name"), [("cet1", "enhancing"), ("flair", "lesion")])
def test_what_is_clearly_brighter_is_a_class_of_its_own(brain: Phantom, contrast: str, name: str) -> None:
    volume, mask = brain.mri(contrast, noise=0.03), masked(brain)
    blob = torch.zeros(mask.shape, dtype=torch.bool)
    blob[25:31, 20:26, 40:46] = True
    data = volume.data.clone()
    data[blob] *= 1.7
    volumes = {contrast: Volume(data, volume.world_from_voxel)}
    found = by_name(fit_tissue_classes(volumes, mask), volumes, mask)[name]
    assert float(found[blob].mean()) > 0.9
    assert float(found[~blob & mask.data].mean()) < 0.005


def test_a_lesion_is_taken_from_flair_where_t1_is_given_too(brain: Phantom) -> None:
    mask = masked(brain)
    t1, flair = brain.mri("t1", noise=0.03), brain.mri("flair", noise=0.03, seed=1)
    blob = (slice(25, 31), slice(20, 26), slice(40, 46))
    t1.data[blob], flair.data[blob] = 45.0, 170.0
    volumes = {"t1": t1, "flair": flair}
    found = by_name(fit_tissue_classes(volumes, mask), volumes, mask)
    assert float(found["lesion"][blob].mean()) > 0.95


def test_the_mni_template_against_its_own_maps() -> None:
    folder = Path(nilearn.__file__).parent / "datasets" / "data"
    t1, grey, white = (
        Volume.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz")
        for name in ("t1", "gm", "wm")
    )
    mask = Volume(t1.data > 0, t1.world_from_voxel)
    volumes = {"t1": t1}
    found = by_name(fit_tissue_classes(volumes, mask), volumes, mask)
    maps = {"grey_matter": grey.data / 255, "white_matter": white.data / 255}
    maps["csf"] = (1 - maps["grey_matter"] - maps["white_matter"]).clamp(0, 1)
    for name, (error, correlation) in BOUNDS.items():
        ours, theirs = found[name][mask.data], maps[name][mask.data]
        assert float((ours - theirs).abs().mean()) < error, name
        assert float(torch.corrcoef(torch.stack([ours, theirs]))[0, 1]) > correlation, name


BOUNDS = {"csf": (0.06, 0.9), "grey_matter": (0.15, 0.87), "white_matter": (0.12, 0.9)}
"""Mean absolute difference and correlation."""


def test_case_24_has_its_ventricle_sulci_and_lesion(shared_data: Path) -> None:
    t1 = Volume.load(shared_data / "resect" / "Case24-T1-inUS-0.5mm.nii.gz")
    flair = Volume.load(shared_data / "resect" / "Case24-FLAIR-inUS-0.5mm.nii.gz")
    mask = brain_mask(t1, "cet1")
    # The lateral ventricle fills a corner of the box: fluid is dark on both, and nothing else there is.
    ventricle = (flair.data < 45) & (t1.data < 260)
    ventricle[34:], ventricle[:, :66] = False, False
    for volumes in ({"cet1": t1}, {"flair": flair}, {"cet1": t1, "flair": flair}):
        classes = fit_tissue_classes(volumes, mask)
        found, echo = by_name(classes, volumes, mask), backscatter(classes, volumes, mask)
        white = float(echo[found["white_matter"] > 0.95].median())
        assert float(found["csf"][ventricle].mean()) > 0.9, list(volumes)
        assert float(echo[ventricle].median()) < 0.1 * white, list(volumes)
        # The Sylvian fissure, dark on FLAIR.
        fissure = (flair.data < 60) & mask.data
        fissure[:40] = False
        assert float(echo[fissure].quantile(0.75)) > 2 * white, list(volumes)
        assert 0.02 < float(found["csf"][mask.data].mean()) < 0.1
        if "flair" in volumes:
            assert float(found["lesion"][(flair.data > 235) & mask.data].mean()) > 0.5
            assert float(found["lesion"][mask.data].mean()) < 0.01


def refusals() -> dict[str, tuple]:
    affine, other = placed((2.0, 2.0, 2.0)), placed((2.0, 2.0, 2.5))
    image, full = (
        Volume(torch.rand(20, 20, 20), affine),
        Volume(torch.ones(20, 20, 20, dtype=torch.bool), affine),
    )
    moved = Volume(image.data, other)
    return {
        "no volume": ({}, full, "no volume given"),
        "unknown contrast": ({"pd": image}, full, "unknown contrast 'pd'.*'flair'"),
        "two grids": ({"t1": image, "flair": moved}, full, "flair volume and the t1 volume.*different grids"),
        "mask elsewhere": ({"t1": moved}, full, "t1 volume and the mask.*different grids"),
        "empty mask": ({"t1": image}, Volume(torch.zeros(20, 20, 20), affine), "holds 0 voxels"),
        "constant": ({"t1": Volume(torch.full((20, 20, 20), 3.0), affine)}, full, "constant"),
    }


@pytest.mark.parametrize("case", refusals())
def test_bad_input_is_refused(case: str) -> None:
    volumes, mask, message = refusals()[case]
    with pytest.raises(ValueError, match=message):
        fit_tissue_classes(volumes, mask)


def test_fractions_refuse_other_contrasts_and_planes(brain: Phantom) -> None:
    volume, mask = brain.mri("t1", noise=0.03), masked(brain)
    classes = fit_tissue_classes({"t1": volume}, mask)
    with pytest.raises(ValueError, match="expected volumes of contrasts"):
        classes.fractions({"t2": volume}, mask)
    for planes in (slice(5, 5), slice(200, 210), slice(0, 10, 2)):
        with pytest.raises(ValueError, match="no range of planes"):
            classes.fractions({"t1": volume}, mask, planes)
