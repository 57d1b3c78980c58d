"""Gain, TGC, compression and attenuation against hand calculation."""

from __future__ import annotations

import pytest
import torch

from diffus import LinearProbe, RenderSettings
from diffus.imaging.gain import compress, expand, layer_loss

PROBE = LinearProbe(n_scanlines=2, n_samples=4, depth_mm=40.0, frequency_mhz=5.0)


def test_display_levels_by_hand() -> None:
    settings = RenderSettings(gain_db=6.0, tgc_db_per_cm=3.0, dynamic_range_db=60.0)
    envelope = torch.full((1, 2, 4), 1e-2, dtype=torch.float64)  # -40 dB
    # Cells of 10 mm with middles at 0.5, 1.5, 2.5 and 3.5 cm.
    expected = torch.tensor([(-40 + 6 + 3 * d) / 60 + 1 for d in (0.5, 1.5, 2.5, 3.5)], dtype=torch.float64)
    assert torch.allclose(compress(envelope, PROBE, settings), expected.expand(1, 2, 4), atol=1e-12)


def test_compression_clips_to_black_and_white() -> None:
    settings = RenderSettings(gain_db=0.0, tgc_db_per_cm=0.0, dynamic_range_db=60.0)
    envelope = torch.tensor([0.0, 1e-9, 1.0, 7.0]).expand(1, 2, 4)
    assert compress(envelope, PROBE, settings)[0, 0].tolist() == [0.0, 0.0, 1.0, 1.0]


def test_compression_inverts_exactly() -> None:
    settings = RenderSettings(gain_db=12.0, tgc_db_per_cm=7.3, dynamic_range_db=70.0)
    envelope = 10 ** (-torch.linspace(3.0, 4.0, 8, dtype=torch.float64).reshape(1, 2, 4))
    shown = compress(envelope, PROBE, settings)
    assert 0 < float(shown.min()) < float(shown.max()) < 1
    assert torch.allclose(expand(shown, PROBE, settings), envelope, rtol=1e-12)


def test_default_tgc_follows_the_frequency() -> None:
    settings = RenderSettings(attenuation_exponent=1.0)
    low, high = (settings.tgc_at(PROBE.with_options(frequency_mhz=f)) for f in (3.0, 6.0))
    assert float(high) == pytest.approx(2 * float(low))


def test_settings_by_pose_must_match_the_batch() -> None:
    settings = RenderSettings(gain_db=torch.tensor([0.0, 6.0, 12.0]))
    with pytest.raises(ValueError, match=r"one for each of 2 poses.*\(3,\)"):
        compress(torch.ones(2, 2, 4), PROBE, settings)


def test_layer_loss_by_hand() -> None:
    attenuation = torch.tensor([0.4, 0.8, 1.2, 0.0, 9.0], dtype=torch.float64)
    loss = layer_loss(attenuation, PROBE, RenderSettings())
    # 5 MHz, layers of 1 cm, the first of half a cm: decibels 1, 4, 6 and 0.
    expected = 10 ** (-torch.tensor([1.0, 4.0, 6.0, 0.0], dtype=torch.float64) / 20)
    assert torch.allclose(loss, expected, rtol=1e-12)


def test_sliders_add_to_the_slope_and_are_linear_between() -> None:
    settings = RenderSettings(
        gain_db=0.0, tgc_db_per_cm=1.0, tgc_curve_db=(0.0, 10.0, -6.0), dynamic_range_db=100.0
    )
    envelope = torch.full((1, 2, 4), 1e-3, dtype=torch.float64)  # -60 dB
    # Cells at 1/8, 3/8, 5/8 and 7/8 of the depth; sliders at 0, 1/2 and 1.
    sliders = (2.5, 7.5, 6.0, -2.0)
    levels = [(-60 + d + curve) / 100 + 1 for d, curve in zip((0.5, 1.5, 2.5, 3.5), sliders, strict=True)]
    assert torch.allclose(compress(envelope, PROBE, settings)[0, 0], torch.tensor(levels).double(), atol=1e-7)


def test_the_grey_map_bends_the_levels() -> None:
    settings = RenderSettings(gain_db=0.0, tgc_db_per_cm=0.0, grey_map=(0.0, 0.2, 1.0))
    envelope = 10 ** (-torch.tensor([60.0, 45.0, 30.0, 15.0]).double() / 20).expand(1, 2, 4)
    assert compress(envelope, PROBE, settings)[0, 0].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.6], abs=1e-6)


def test_sliders_and_grey_map_invert_exactly() -> None:
    settings = RenderSettings(
        gain_db=12.0,
        tgc_curve_db=torch.tensor([0.0, -4.0, 3.0, 9.0]).double(),
        grey_map=torch.tensor([0.05, 0.1, 0.35, 0.8, 0.9]).double(),
        dynamic_range_db=90.0,
    )
    envelope = 10 ** (-torch.linspace(3.0, 5.0, 8, dtype=torch.float64).reshape(1, 2, 4))
    shown = compress(envelope, PROBE, settings)
    assert 0.05 < float(shown.min()) < float(shown.max()) < 0.9
    assert torch.allclose(expand(shown, PROBE, settings), envelope, rtol=1e-9)


def test_gradients_reach_sliders_and_grey_map() -> None:
    envelope = 10 ** (-torch.linspace(3.0, 4.0, 8, dtype=torch.float64).reshape(1, 2, 4))

    def shown(sliders: torch.Tensor, greys: torch.Tensor) -> torch.Tensor:
        return compress(
            envelope, PROBE, RenderSettings(tgc_curve_db=sliders, grey_map=greys, dynamic_range_db=90.0)
        )

    sliders = torch.tensor([0.0, 2.0, -1.0]).double().requires_grad_()
    greys = torch.tensor([0.05, 0.2, 0.6, 0.95]).double().requires_grad_()
    assert torch.autograd.gradcheck(shown, (sliders, greys))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grey_map": (0.0, 0.6, 0.5, 1.0)}, "grey_map must rise from knot to knot"),
        ({"grey_map": (0.0, 1.5)}, r"grey_map must lie in \[0, 1\], got 1.5"),
        ({"grey_map": (0.3,)}, r"grey_map: expected shape \(K,\) with K >= 2, got \(1,\)"),
        ({"tgc_curve_db": (1.0, float("nan"))}, "tgc_curve_db must lie in"),
        ({"noise_db": 3.0}, r"noise_db must lie in \[-240, 0\], got 3"),
        ({"specular_angle_deg": 0.0}, r"specular_angle_deg must lie in \[1, 89\], got 0"),
        ({"speckle_reduction": 1.2}, r"speckle_reduction must lie in \[0, 1\]"),
        ({"max_memory_mb": 0.0}, "max_memory_mb must lie in"),
        ({"dynamic_range_db": 0.0}, "dynamic_range_db must lie in"),
    ],
)
def test_settings_refuse(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RenderSettings(**options)
