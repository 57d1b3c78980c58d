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
