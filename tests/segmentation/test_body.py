"""The body in a CT, what is put around it, and what bone and gas in it do to the image."""

from __future__ import annotations

import pytest
import torch
from tests.scenes import IDENTITY, PROBES

from diffus import TISSUES, Medium, RenderSettings, Volume, medium, render
from diffus.segmentation import body_mask


def ct() -> torch.Tensor:
    """A block of soft tissue in air, bowel gas that leaves through the last slice, a thin table beside it."""
    values = torch.full((40, 40, 50), -1000.0)
    values[5:35, 5:35] = 50.0
    values[18:22, 18:22, 20:] = -900.0
    values[:, 38] = 50.0
    return values


def test_gas_is_body_and_the_table_is_not() -> None:
    mask = body_mask(Volume(ct(), IDENTITY)).data
    assert bool(mask[20, 20].all())
    assert not bool(mask[:, 37:].any())
    assert not bool(mask[:3].any())


def test_nothing_but_air_is_refused() -> None:
    with pytest.raises(ValueError, match="no body found"):
        body_mask(Volume(torch.full((9, 9, 9), -1000.0), IDENTITY))


def test_gel_replaces_the_air_around_and_not_the_gas_within() -> None:
    volume = Volume(ct(), IDENTITY)
    coupled = Medium.from_ct(volume).coupled(body_mask(volume))
    assert coupled.impedance[0, 0, 0].item() == pytest.approx(TISSUES["water"].impedance_mrayl)
    assert coupled.impedance[20, 20, 30].item() < 0.1
    with pytest.raises(ValueError, match="different grids"):
        coupled.coupled(Volume(torch.ones(3, 3, 3), IDENTITY))


def test_slabs_of_a_ct_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = Volume(ct() + 8 * torch.randn(40, 40, 50), IDENTITY)
    whole = Medium.from_ct(noisy).channels
    monkeypatch.setattr("diffus.medium.SLAB_VOXELS", 3 * 40 * 50)
    assert len(list(medium.slabs(noisy.shape))) > 10
    assert torch.equal(Medium.from_ct(noisy).channels, whole)


@pytest.mark.parametrize("inside", [1500.0, -900.0], ids=["bone", "gas"])
def test_bone_and_gas_are_bright_with_a_shadow_behind(inside: float) -> None:
    values = torch.full((60, 9, 60), 50.0)
    values[25:36, :, 18:24] = inside
    affine = IDENTITY.clone()
    affine[:3, 3] = torch.tensor([-30.0, -4.0, -2.0])
    shown = render(
        Medium.from_ct(Volume(torch.cat([values, values[:1] * 0 - 50]), affine)),
        PROBES["linear"].with_options(n_scanlines=33, n_samples=192, width_mm=40.0),
        IDENTITY,
        RenderSettings(propagation="primary", tgc_db_per_cm=6.0, gain_db=20.0),
    ).scanlines[0]
    depth = slice(140, 180)
    assert float(shown[16, 55:75].max()) > float(shown[3, 55:75].max()) + 0.2
    assert float(shown[16, depth].mean()) < float(shown[3, depth].mean()) - 0.2
