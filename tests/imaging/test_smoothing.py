"""Speckle reduction keeps edges and the mean; persistence is the recursion written out."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, PROBES, textured

from diffus import LinearProbe, RenderSettings, render
from diffus.imaging.smoothing import persist, reduce_speckle
from diffus.imaging.speckle import scattered_iq

PROBE = LinearProbe(width_mm=20.0, depth_mm=20.0, n_scanlines=96, n_samples=240, frequency_mhz=5.0)


def speckle(power: torch.Tensor) -> torch.Tensor:
    return scattered_iq(power, PROBE, IDENTITY[None], seed=3).abs()


def decibel(envelope: torch.Tensor) -> torch.Tensor:
    return 20 * torch.log10(envelope)


def test_speckle_of_uniform_tissue_gets_quieter_and_keeps_its_mean() -> None:
    given = speckle(torch.ones(1, 96, 240, dtype=torch.float64))
    reduced = reduce_speckle(given, PROBE, 1.0)
    assert float(decibel(given).std()) == pytest.approx(5.57, abs=0.5)
    assert float(decibel(reduced).std()) < 0.65 * float(decibel(given).std())
    assert float(decibel(reduced).mean()) == pytest.approx(float(decibel(given).mean()), abs=0.1)
    assert torch.allclose(reduce_speckle(given, PROBE, 0.0), given, rtol=1e-12)


def test_an_edge_much_stronger_than_speckle_stays_where_it_is() -> None:
    power = torch.ones(1, 96, 240, dtype=torch.float64)
    power[:, :, 120:] = 1e-6
    given = speckle(power)
    reduced = decibel(reduce_speckle(given, PROBE, 1.0))
    level = reduced.mean(dim=1)[0]
    assert float(level[60:115].mean() - level[125:180].mean()) == pytest.approx(60.0, abs=1.5)
    given_level = decibel(given).mean(dim=1)[0]
    half = float(level[60:115].mean()) - 30
    assert abs(int((level > half).sum()) - int((given_level > half).sum())) <= 2


def test_persistence_written_out() -> None:
    frames = torch.rand(5, 3, 4, dtype=torch.float64)
    shown = persist(frames, 0.7)
    before = frames[0].clone()
    assert torch.equal(shown[0], before)
    for number in range(1, 5):
        before = 0.7 * before + 0.3 * frames[number]
        assert torch.allclose(shown[number], before, rtol=1e-12)


@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_persistence_has_its_bounds(value: float) -> None:
    with pytest.raises(ValueError, match=r"persistence must lie in \[0, 0.99\]"):
        persist(torch.rand(2, 3, 4), value)


def test_the_setting_acts_on_what_is_shown_and_leaves_the_envelope() -> None:
    medium = textured()
    plain = RenderSettings(speckle="sampled")
    one = render(medium, PROBES["convex"], IDENTITY, plain)
    other = render(medium, PROBES["convex"], IDENTITY, plain.with_options(speckle_reduction=0.8))
    assert torch.equal(one.envelope, other.envelope)
    assert float(other.scanlines.std()) < float(one.scanlines.std())
    sequence = render(medium, PROBES["convex"], torch.stack([IDENTITY, IDENTITY]), plain).with_persistence(
        0.5
    )
    assert torch.allclose(sequence.scanlines[1], one.scanlines[0])


def test_gradients_of_the_reduction() -> None:
    envelope = (0.1 + torch.rand(1, 5, 6, dtype=torch.float64)).requires_grad_()
    strength = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    probe = PROBE.with_options(n_scanlines=5, n_samples=6, depth_mm=1.0, width_mm=1.0)
    assert torch.autograd.gradcheck(lambda e, s: reduce_speckle(e, probe, s), (envelope, strength), atol=1e-6)
