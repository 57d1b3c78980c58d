"""Tissue models: where they begin, their bounds, missing contrasts, gradients, slabs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.learning.scenes import BOTH, brain, features, mask, shaken, volumes

from diffus import TISSUES, ConvexProbe, Medium, pose, render
from diffus.learning import (
    MODELS,
    ConvolutionalModel,
    MRIFeatures,
    PublishedMLP,
    TissueModel,
    VoxelModel,
    apply_model,
    first_model,
    tissue_model,
)
from diffus.learning.bounds import HIGHEST, LOWEST, to_bounded, to_unbounded
from diffus.learning.published_mlp import POINTS
from diffus.learning.voxel_model import SHRINKAGE

LEARNED = ("voxel", "convolutional")
SMALL = (slice(12, 18), slice(14, 21), slice(11, 18))
PROBE = ConvexProbe(depth_mm=50, frequency_mhz=5, n_scanlines=48, n_samples=192)


def small(dtype: torch.dtype = torch.float64) -> MRIFeatures:
    part = features().crop(SMALL)
    return replace(
        part,
        intensities=part.intensities.to(dtype),
        edges=part.edges.to(dtype),
        untrained=part.untrained.to(dtype),
    )


def of_kind(kind: str) -> TissueModel:
    return tissue_model(kind, BOTH if kind != "published" else ("cet1",))


def test_bounded_values_come_back() -> None:
    channels = torch.tensor([[1.568, 0.67, 0.0025], [1.515, 0.009, 0.00003], [1.65, 1.21, 0.03]]).double()
    assert torch.allclose(to_bounded(to_unbounded(channels)), channels, rtol=1e-9)
    outside = torch.tensor([[0.1, 0.0, 0.0], [9.0, 99.0, 9.0]]).double()
    back = to_bounded(to_unbounded(outside))
    assert torch.allclose(back, torch.tensor([LOWEST, HIGHEST]).double(), rtol=0.01)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("strength", [1.0, 1e3])
def test_values_stay_those_of_soft_tissue_whatever_the_weights(kind: str, strength: float) -> None:
    model = shaken(of_kind(kind), strength)
    mri = features() if kind != "published" else features().only(("cet1",))
    learned = apply_model(model, mri).channels[mri.inside]
    low, high = torch.tensor(LOWEST), torch.tensor(HIGHEST)
    assert (learned >= low * (1 - 1e-5)).all()
    assert (learned <= high * (1 + 1e-5)).all()
    if strength == 1:
        assert float(learned[:, 0].std()) > 1e-3


@pytest.mark.parametrize("kind", LEARNED)
def test_first_render_is_that_of_the_untrained_medium(kind: str) -> None:
    untrained = Medium.from_channels(features().untrained, features().world_from_voxel)
    learned = apply_model(first_model(kind, BOTH), features())
    assert torch.equal(learned.channels[~features().inside], untrained.channels[~features().inside])
    assert float((learned.impedance - untrained.impedance).abs().max()) < 2e-3
    grey = TISSUES["grey_matter"].backscatter
    assert float((learned.backscatter - untrained.backscatter).abs().max()) < 0.1 * grey
    at = pose.look_at((-50.0, 0, 10), (0.0, 0, 0))
    one, other = (render(medium, PROBE, at).scanlines for medium in (learned, untrained))
    assert float((one - other).abs().max()) < 0.02
    assert float(one.std()) > 0.05


def test_features_are_the_normalised_mri_and_its_gradient() -> None:
    mri = features()
    assert mri.contrasts == BOTH
    assert torch.equal(mri.untrained, Medium.from_mri(volumes(), mask=mask()).channels)
    inside = mri.intensities[:, mri.inside]
    assert torch.allclose(inside.quantile(0.98, dim=1), torch.ones(2), atol=0.02)
    cet1, raw = mri.intensities[0], volumes()["cet1"].data
    centre = (19, 22, 15)
    i, j, k = centre
    slopes = [
        (cet1[i + a, j + b, k + c] - cet1[i - a, j - b, k - c]) / 8.0
        for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    ]
    assert float(mri.edges[0][centre]) == pytest.approx(sum(float(s) ** 2 for s in slopes), rel=1e-4)
    ratio = (cet1 / raw)[mri.inside]
    assert float(ratio.std() / ratio.mean()) < 0.1


def test_a_curve_moves_what_its_intensities_are() -> None:
    model = VoxelModel(("cet1",))
    mri = features().only(("cet1",))
    white = brain().fractions["white_matter"] > 0.99
    csf = brain().fractions["csf"] > 0.99
    level = float(mri.intensities[0][white].mean())
    knot = round(level / model.highest * (model.n_knots - 1))
    with torch.no_grad():
        model.curves[0, knot, 2] = 1.0
    before, after = apply_model(VoxelModel(("cet1",)), mri), apply_model(model, mri)
    assert float((after.backscatter / before.backscatter)[white].mean()) > 1.5
    assert torch.allclose(after.backscatter[csf & mri.inside], before.backscatter[csf & mri.inside])
    assert torch.equal(after.attenuation, before.attenuation)


def test_basis_is_linear_interpolation() -> None:
    model = VoxelModel(("t1",), n_knots=7, highest=1.2)
    values = torch.randn(7)
    at = torch.tensor([-0.5, 0.0, 0.1, 0.55, 1.2, 3.0])
    expected = np.interp(at.numpy(), np.linspace(0, 1.2, 7), values.numpy())
    assert torch.allclose(model.basis(at) @ values, torch.from_numpy(expected).float(), atol=1e-6)
    assert float(model.penalty().detach()) == 0
    with torch.no_grad():
        model.curves[0, :, 0] = torch.tensor([0.0, 1, 0, 0, 0, 0, 0])
    assert float(model.penalty().detach()) == pytest.approx((4 + 1) / (5 * 3) + SHRINKAGE / 21)


def test_edges_scatter_with_the_square_of_their_gradient() -> None:
    model = VoxelModel(("cet1",))
    mri = features().only(("cet1",))
    with torch.no_grad():
        model.edge.fill_(0.0)
    learned, strength = apply_model(model, mri), float(model.edge_backscatter[0].detach())
    assert strength == pytest.approx(0.03)
    power = mri.untrained[..., 2].square() + strength**2 * mri.edges[0]
    calm = mri.inside & (power.sqrt() < 0.05)
    assert torch.allclose(learned.backscatter[calm], power.sqrt()[calm], rtol=1e-3)
    assert float(learned.backscatter[mri.inside].max()) <= HIGHEST[2] * (1 + 1e-5)


@pytest.mark.parametrize("kind", LEARNED)
def test_a_missing_contrast_has_numbers_of_its_own(kind: str) -> None:
    model = of_kind(kind)
    shaken(model, 0.3)
    alone = features().only(("cet1",))
    one, both = apply_model(model, alone), apply_model(model, features())
    assert float((one.backscatter / both.backscatter - 1).abs().max()) > 0.01
    if isinstance(model, VoxelModel):
        with torch.no_grad():
            model.missing[1] += 0.5
        assert not torch.equal(apply_model(model, alone).channels, one.channels)
        assert torch.equal(apply_model(model, features()).channels, both.channels)


@pytest.mark.parametrize("kind", MODELS)
def test_gradients_are_those_of_the_differences(kind: str) -> None:
    model = shaken(of_kind(kind), 0.2).double()
    mri = small() if kind != "published" else small().only(("cet1",))
    weights = dict(model.named_parameters())
    names = list(weights)

    def channels(*values: torch.Tensor) -> torch.Tensor:
        out = torch.func.functional_call(model, dict(zip(names, values, strict=True)), (mri,))
        return (out / torch.tensor([1.6, 0.7, 0.003]).double()).flatten()[::37]

    given = tuple(weights[name].detach().clone().requires_grad_() for name in names)
    assert torch.autograd.gradcheck(channels, given, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("kind", LEARNED)
def test_slabs_and_crops_meet_without_a_seam(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shaken(of_kind(kind), 0.2)
    with torch.no_grad():
        whole = model(features())
    monkeypatch.setattr("diffus.medium.SLAB_VOXELS", 5 * features().shape[1] * features().shape[2])
    assert torch.allclose(apply_model(model, features()).channels, whole, rtol=1e-5)
    reach = model.reach_voxels
    wide = tuple(slice(part.start - reach, part.stop + reach) for part in SMALL)
    inner = tuple(slice(reach, reach + part.stop - part.start) for part in SMALL)
    with torch.no_grad():
        part = model(features().crop(wide))  # pyright: ignore[reportArgumentType]
    assert torch.allclose(part[inner], whole[SMALL], rtol=1e-5)


def test_convolutions_see_as_far_as_they_say() -> None:
    model = shaken(ConvolutionalModel(("cet1",), width=4, dilations=(1, 2)), 0.5).double()
    mri = small().only(("cet1",))
    values = mri.intensities.clone().requires_grad_()
    out = model.unbounded(replace(mri, intensities=values))
    (slope,) = torch.autograd.grad(out[0, 3, 3].sum(), values)
    seen = slope[0].nonzero()
    assert int(seen[:, 0].max()) == model.reach_voxels == 3
    assert bool((slope != 0).any())


def test_published_model_goes_through_its_points() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = PublishedMLP.fitted("cet1")
    assert torch.equal(torch.rand(3), expected)  # the caller's random numbers are left alone
    assert sum(weights.numel() for weights in model.parameters()) == 32 + 32 + 32 * 32 + 32 + 32 + 1
    times, impedances = torch.tensor(list(POINTS.values())).unbind(dim=1)
    found = model.impedance(times / 2500).detach()
    assert torch.allclose(found, impedances.clamp_min(LOWEST[0]), atol=0.06)
    medium = apply_model(model, features().only(("cet1",)))
    assert float(medium.backscatter[features().inside].max()) < 2 * LOWEST[2]


def test_building_a_model_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first_model("convolutional", BOTH)
    tissue_model("published", ("t1",))
    assert torch.equal(torch.rand(3), expected)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="unknown kind of tissue model 'unet': expected one of 'voxel'"):
        tissue_model("unet", BOTH)
    with pytest.raises(
        ValueError, match=r"options of a voxel model are n_knots, highest; got \{'depth': 3\}"
    ):
        tissue_model("voxel", BOTH, {"depth": 3})
    with pytest.raises(ValueError, match="all different: got \\('t1', 't1'\\)"):
        VoxelModel(("t1", "t1"))
    with pytest.raises(ValueError, match="unknown contrast 'adc'"):
        VoxelModel(("adc",))
    with pytest.raises(ValueError, match="reads one contrast, got cet1 and t2"):
        PublishedMLP(BOTH)
    with pytest.raises(ValueError, match="n_knots"):
        VoxelModel(BOTH, n_knots=1)
    with pytest.raises(ValueError, match="this voxel model reads flair, got cet1 and t2"):
        VoxelModel(("flair",))(features())
    with pytest.raises(ValueError, match="this voxel model reads flair, got cet1: give only"):
        Medium.from_model({"cet1": volumes()["cet1"]}, VoxelModel(("flair",)))
    with pytest.raises(ValueError, match="got 1 volumes and \\['cet1', 't2'\\]"):
        Medium.from_model(volumes()["cet1"], VoxelModel(BOTH))
    with pytest.raises(ValueError, match="no contrast 'flair' here"):
        features().only(("flair",))
    with pytest.raises(ValueError, match="no MRI given"):
        MRIFeatures.from_volumes({})
