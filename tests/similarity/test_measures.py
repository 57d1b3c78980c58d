"""What every measure promises: gradients, masks, batches, constant images, precision."""

from __future__ import annotations

import pytest
import torch
from tests.similarity.pairs import MEASURES, SPATIAL, blob_mask, related, texture
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from diffus.similarity import LC2, LocalNCC, MultiScale, Similarity, WeightedSum

every_measure = pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
every_spatial_measure = pytest.mark.parametrize("measure", SPATIAL.values(), ids=SPATIAL.keys())


def scores_and_gradients(
    measure: Similarity, moving: Tensor, fixed: Tensor, mask: Tensor | None
) -> list[Tensor]:
    moving, fixed = moving.clone().requires_grad_(), fixed.clone().requires_grad_()
    scores = measure(moving, fixed, mask)
    return [scores.detach(), *torch.autograd.grad(scores.sum(), (moving, fixed))]


@every_measure
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_first_and_second_derivatives(measure: Similarity, masked: bool) -> None:
    moving, fixed = (image.requires_grad_() for image in related(2, 8, 9, seed=1))
    mask = blob_mask(2, 8, 9, seed=3) if masked else None
    assert gradcheck(lambda m, f: measure(m, f, mask), (moving, fixed), fast_mode=True)
    assert gradgradcheck(lambda m, f: measure(m, f, mask), (moving, fixed), fast_mode=True)


@pytest.mark.parametrize("name", ["ncc", "local_ncc", "gradient_ncc", "mutual_information", "lc2", "mind"])
def test_every_component_of_the_gradient(name: str) -> None:
    moving, fixed = (image.requires_grad_() for image in related(1, 5, 5, seed=4))
    assert gradcheck(MEASURES[name], (moving, fixed))


@every_spatial_measure
def test_gradient_in_volumes(measure: Similarity) -> None:
    moving, fixed = (image.requires_grad_() for image in related(1, 6, 7, 8, seed=5))
    mask = blob_mask(1, 6, 7, 8, seed=6)
    assert gradcheck(lambda m, f: measure(m, f, mask), (moving, fixed), fast_mode=True)


@every_measure
def test_nothing_is_more_alike_than_the_image_itself(measure: Similarity) -> None:
    image = texture(1, 24, 32, seed=7)
    others = torch.cat([texture(3, 24, 32, seed=8), image.roll(3, dims=1), image.roll(3, dims=2)])
    assert (measure(others, image) < measure(image, image) - 0.05).all()


@every_measure
def test_peak_is_where_the_images_coincide(measure: Similarity) -> None:
    wide = texture(1, 40, 60, seed=9, sigma=2.0)
    fixed = wide[:, 8:32, 8:52]
    shifted = torch.cat([wide[:, 8:32, 8 + shift : 52 + shift] for shift in (-4, -2, -1, 0, 1, 2, 4)])
    scores = measure(shifted, fixed)
    assert (scores[:4].diff() > 0).all() and (scores[3:].diff() < 0).all()


@every_measure
@pytest.mark.parametrize("outside", [1e3, -7.0, float("nan"), float("inf")])
def test_what_lies_outside_the_mask_never_matters(measure: Similarity, outside: float) -> None:
    moving, fixed = related(2, 12, 13, seed=10)
    mask = blob_mask(2, 12, 13, seed=11)
    without = mask == 0
    assert 0.1 < float(without.double().mean()) < 0.6
    plain = scores_and_gradients(measure, moving, fixed, mask)
    spoilt = scores_and_gradients(
        measure, moving.masked_fill(without, outside), fixed.masked_fill(without, 3 * outside), mask
    )
    for one, other in zip(plain, spoilt, strict=True):
        assert torch.equal(one, other)
    assert not plain[1][without].any() and not plain[2][without].any()
    assert plain[1].any() and plain[2].any()


@every_measure
def test_the_mask_matters(measure: Similarity) -> None:
    moving, fixed = related(1, 24, 25, seed=12)
    mask = torch.zeros(24, 25, dtype=torch.bool)
    mask[:, :12] = True
    spoilt = torch.where(mask, fixed, texture(1, 24, 25, seed=13))
    assert measure(moving, spoilt, mask) > measure(moving, spoilt) + 0.02


@every_measure
def test_forms_of_masks(measure: Similarity) -> None:
    moving, fixed = related(3, 12, 13, seed=14)
    mask = blob_mask(1, 12, 13, seed=15) > 0
    expected = measure(moving, fixed, mask)
    for form in (
        mask[0],
        mask.double(),
        mask[0].float(),
        mask.expand(3, 12, 13),
        0.5 * mask.double(),
        mask.byte(),
    ):
        assert torch.allclose(measure(moving, fixed, form), expected, rtol=1e-12)
    whole = measure(moving, fixed)
    for ones in (torch.ones(13), torch.ones(12, 1), torch.ones(3, 1, 1, dtype=torch.bool)):
        assert torch.allclose(measure(moving, fixed, ones), whole, rtol=1e-12)


@every_measure
def test_items_do_not_see_each_other(measure: Similarity) -> None:
    moving, fixed = related(3, 12, 13, seed=16)
    mask = blob_mask(3, 12, 13, seed=17)
    together = measure(moving, fixed, mask)
    alone = [measure(moving[[item]], fixed[[item]], mask[[item]]) for item in range(3)]
    assert together.shape == (3,)
    assert torch.allclose(together, torch.cat(alone), rtol=1e-12)


@every_measure
@pytest.mark.parametrize("masked", ["nowhere", "all alike", "each"])
def test_one_image_against_many(measure: Similarity, masked: str) -> None:
    moving, fixed = related(3, 12, 13, seed=18)
    mask = {
        "nowhere": None,
        "all alike": blob_mask(1, 12, 13, seed=19),
        "each": blob_mask(3, 12, 13, seed=19),
    }[masked]
    one = fixed[:1]
    assert torch.allclose(
        measure(moving, one, mask), measure(moving, one.expand(3, 12, 13), mask), rtol=1e-12
    )
    assert torch.allclose(
        measure(one, moving, mask), measure(one.expand(3, 12, 13), moving, mask), rtol=1e-12
    )


@every_measure
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", [0.0, 0.1, 1000.3])
def test_constant_patches_and_images(measure: Similarity, dtype: torch.dtype, level: float) -> None:
    moving, fixed = related(3, 24, 25, seed=20, dtype=dtype)
    moving[0, 2:20, 3:20] = level
    fixed[0, 8:, 8:] = level / 3
    moving[1] = level
    fixed[2] = level
    scores, *gradients = scores_and_gradients(measure, moving, fixed, None)
    assert torch.isfinite(scores).all()
    for gradient in gradients:
        assert torch.isfinite(gradient).all()
        assert gradient.abs().max() < 10
    assert not gradients[0][1].any() and not gradients[1][2].any()


@every_measure
def test_second_derivatives_of_constant_patches(measure: Similarity) -> None:
    moving, fixed = related(1, 12, 13, seed=21)
    moving[0, :8, :8], fixed[0, :8, 2:] = 0.0, 0.0
    moving.requires_grad_()
    (gradient,) = torch.autograd.grad(measure(moving, fixed).sum(), moving, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), moving)
    assert torch.isfinite(second).all()


@pytest.mark.parametrize(
    "name", ["multi_scale", "ncc", "local_ncc", "gradient_ncc", "mutual_information", "lc2"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_image_tells_nothing(name: str, dtype: torch.dtype) -> None:
    image = texture(1, 24, 25, seed=22, dtype=dtype)
    constant = torch.full_like(image, 0.1)
    for pair in ((image, constant), (constant, image), (constant, constant)):
        assert float(MEASURES[name](*pair)) == pytest.approx(0.0, abs=1e-5)


@every_measure
@pytest.mark.parametrize(
    ("gain", "offset", "tolerance"),
    [(1.0, 0.0, 2e-5), (1e-4, 0.0, 2e-5), (250.0, 1000.0, 2e-5), (0.05, 10.0, 1e-3)],
)
def test_single_precision(measure: Similarity, gain: float, offset: float, tolerance: float) -> None:
    """Rounding the images themselves moves an offset 200 times their contrast by 1e-5 of that."""
    moving, fixed = (gain * image + offset for image in related(2, 48, 50, seed=23))
    mask = blob_mask(2, 48, 50, seed=24)
    exact = scores_and_gradients(measure, moving, fixed, mask)
    single = scores_and_gradients(measure, moving.float(), fixed.float(), mask)
    assert single[0].dtype == torch.float32
    assert torch.allclose(single[0].double(), exact[0], atol=tolerance)
    for one, other in zip(single[1:], exact[1:], strict=True):
        assert (one.double() - other).abs().max() < 100 * tolerance * other.abs().max()


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"lc2"}))
def test_symmetric(name: str) -> None:
    moving, fixed = related(1, 12, 13, seed=25)
    assert torch.allclose(MEASURES[name](moving, fixed), MEASURES[name](fixed, moving), rtol=1e-12)


GAIN_BLIND = sorted(MEASURES)
"""All: global gain and offset of either image."""
SIGN_BLIND = ["local_ncc_squared", "mutual_information", "normalised_mutual_information", "lc2", "mind"]


@pytest.mark.parametrize("name", GAIN_BLIND)
def test_blind_to_gain_and_offset(name: str) -> None:
    moving, fixed = related(1, 20, 21, seed=26)
    mask = blob_mask(1, 20, 21, seed=27)
    expected = MEASURES[name](moving, fixed, mask)
    assert torch.allclose(MEASURES[name](7 * moving - 30, 0.01 * fixed + 2, mask), expected, atol=1e-9)


@pytest.mark.parametrize("name", SIGN_BLIND)
def test_blind_to_inversion(name: str) -> None:
    moving, fixed = related(1, 20, 21, seed=28)
    expected = MEASURES[name](moving, fixed)
    assert torch.allclose(MEASURES[name](5 - moving, fixed), expected, atol=1e-9)
    assert torch.allclose(MEASURES[name](moving, 5 - fixed), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["ncc", "local_ncc", "gradient_ncc"])
def test_inversion_turns_the_sign(name: str) -> None:
    moving, fixed = related(1, 20, 21, seed=29)
    assert torch.allclose(MEASURES[name](-moving, fixed), -MEASURES[name](moving, fixed), rtol=1e-12)


@pytest.mark.parametrize("name", ["local_ncc", "mind", "lc2"])
def test_local_measures_are_nearly_blind_to_slow_shading(name: str) -> None:
    image = texture(1, 64, 64, seed=30)
    across = torch.linspace(0, 1, 64, dtype=torch.float64)
    shaded = (1 + 2 * across) * image + 6 * across[:, None]
    lost = 1 - MEASURES[name](shaded, image)
    assert lost < 0.05
    assert lost < 0.3 * (1 - MEASURES["ncc"](shaded, image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_composed_measures_keep_type_and_gradient_of_their_weights(dtype: torch.dtype) -> None:
    moving, fixed = related(2, 24, 25, seed=33, dtype=dtype)
    weights = torch.tensor([0.25, 0.75], requires_grad=True)
    measure = WeightedSum([MultiScale(LC2(window=3), levels=(0, 1)), LocalNCC(window=3)], weights)
    scores = measure(moving, fixed)
    assert scores.dtype == dtype
    scores.sum().backward()
    parts = torch.stack([part(moving, fixed).sum() for part in measure.measures])
    assert weights.grad is not None
    assert torch.allclose(weights.grad.to(dtype), parts, rtol=1e-5)
