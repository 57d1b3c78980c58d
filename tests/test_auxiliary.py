"""Auxiliary maps against hand calculation on layers."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, PROBES, medium_of, textured
from torch import Tensor

from diffus import LinearProbe, RenderSettings, auxiliary_maps, pose
from diffus.tissues import TISSUES

PROBE = LinearProbe(width_mm=8.0, n_scanlines=5, n_samples=160, depth_mm=40.0, frequency_mhz=5.0)
LINE = 2


def layered(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Soft tissue, from 15 to 20 mm another impedance without attenuation."""
    other = ((z > 15.0) & (z < 20.0)).to(z)
    return 1.6 + 0.8 * other, 0.5 * (1 - other), 0 * z + 0.01


def at(values: Tensor, depth_mm: float) -> float:
    return float(values[0, LINE, int(depth_mm / 0.25)])


def test_layers_by_hand() -> None:
    settings = RenderSettings(tgc_db_per_cm=5.0, noise_db=-100.0)
    maps = auxiliary_maps(medium_of(layered, spacing_mm=0.125), PROBE, IDENTITY, settings)
    r = 0.8 / 4.0
    assert at(maps.transmission, 10.0) == pytest.approx(1.0, abs=1e-9)
    assert at(maps.transmission, 17.5) == pytest.approx(1 - r**2, rel=1e-3)
    assert at(maps.transmission, 35.0) == pytest.approx((1 - r**2) ** 2, rel=1e-3)
    # 0.5 dB/cm/MHz at 5 MHz, both ways: 5 dB/cm, over what of the way attenuates.
    assert at(maps.attenuation_db, 10.0) == pytest.approx(5.0, abs=0.15)
    assert at(maps.attenuation_db, 35.0) == pytest.approx(15.0, abs=0.2)
    interfaces = -40 * math.log10(1 - r**2)
    assert at(maps.shadow_db, 10.0) == pytest.approx(0.0, abs=0.1)
    assert at(maps.shadow_db, 35.0) == pytest.approx(interfaces - 2.5, abs=0.2)
    reach_db = -at(maps.attenuation_db, 35.0) + 20 * math.log10(at(maps.transmission, 35.0))
    signal = 10 ** (reach_db / 10) * TISSUES["grey_matter"].backscatter ** 2
    assert at(maps.confidence, 35.0) == pytest.approx(signal / (signal + 1e-10), rel=1e-3)


def test_without_noise_all_is_trusted() -> None:
    maps = auxiliary_maps(textured(), PROBES["convex"], IDENTITY, RenderSettings(noise_db=None))
    assert bool((maps.confidence == 1).all())


def test_gradients_and_scan_conversion() -> None:
    tangent = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    probe = PROBES["convex"].with_options(n_elevation=3)
    maps = auxiliary_maps(textured(), probe, pose.perturb(IDENTITY, tangent))
    assert maps.cartesian("shadow_db", shape=(30, 40)).shape == (1, 30, 40)
    maps.confidence.sum().backward()
    assert tangent.grad is not None and float(tangent.grad.abs().sum()) > 0
    with pytest.raises(ValueError, match="unknown auxiliary map 'depth': expected one of 'transmission'"):
        maps.cartesian("depth")
