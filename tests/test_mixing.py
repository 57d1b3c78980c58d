"""Mixing tissues in a voxel."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from diffus.mixing import CHANNELS, mix_tissues
from diffus.tissues import SULCUS_BACKSCATTER, tissue

NAMES = ("grey_matter", "white_matter", "csf")


def _mix(grey, white, csf, **options):
    fractions = [torch.tensor([value], dtype=torch.float64) for value in (grey, white, csf)]
    return mix_tissues(fractions, NAMES, "water", **options)[0]


def test_channels_are_impedance_attenuation_backscatter():
    assert CHANNELS == ("impedance", "attenuation", "backscatter")


@pytest.mark.parametrize("position", range(4))
def test_a_pure_voxel_has_the_tables_values(position):
    fractions = [1.0 if n == position else 0.0 for n in range(3)]
    name = (*NAMES, "water")[position]
    assert _mix(*fractions).tolist() == pytest.approx(tissue(name).acoustic, rel=1e-12)


def test_impedance_and_attenuation_mix_linearly_and_power_adds():
    grey, white, water = tissue("grey_matter"), tissue("white_matter"), tissue("water")
    impedance, attenuation, backscatter = _mix(0.2, 0.5, 0.0).tolist()
    assert impedance == pytest.approx(
        0.2 * grey.impedance_mrayl + 0.5 * white.impedance_mrayl + 0.3 * water.impedance_mrayl
    )
    assert attenuation == pytest.approx(0.2 * 0.67 + 0.5 * 1.21 + 0.3 * 0.0022)
    power = 0.2 * grey.backscatter**2 + 0.5 * white.backscatter**2 + 0.3 * water.backscatter**2
    assert backscatter == pytest.approx(math.sqrt(power))


def test_a_sulcus_is_bright_and_open_fluid_is_not():
    grey, csf = tissue("grey_matter"), tissue("csf")
    plain = 0.5 * grey.backscatter**2 + 0.5 * csf.backscatter**2
    assert float(_mix(0.5, 0, 0.5)[2]) == pytest.approx(math.sqrt(plain + SULCUS_BACKSCATTER**2))
    assert float(_mix(0.5, 0, 0.5, sulcus_backscatter=0.0)[2]) == pytest.approx(math.sqrt(plain))
    ventricle = torch.ones(1, dtype=torch.float64)
    assert float(_mix(0.5, 0, 0.5, open_fluid=ventricle)[2]) == pytest.approx(math.sqrt(plain))
    assert float(_mix(0.0, 0.5, 0.5)[2]) < 0.2 * float(_mix(0.5, 0.0, 0.5)[2])


def test_keeps_the_shape_and_dtype_of_a_volume():
    fractions = [torch.rand(2, 3, 4) / 3 for _ in NAMES]
    mixed = mix_tissues(fractions, NAMES, "air")
    assert mixed.shape == (2, 3, 4, 3)
    assert mixed.dtype == torch.float32
    assert mixed.is_contiguous()


def test_does_not_change_its_inputs():
    fractions = [torch.full((3,), 0.25) for _ in NAMES]
    mix_tissues(fractions, NAMES, "air")
    assert all(torch.equal(fraction, torch.full((3,), 0.25)) for fraction in fractions)


def test_gradient_to_the_fractions():
    fractions = [(0.1 + 0.2 * torch.rand(5, dtype=torch.float64)).requires_grad_() for _ in NAMES]
    assert gradcheck(lambda *each: mix_tissues(each, NAMES, "water"), fractions)


@pytest.mark.parametrize(("names", "surroundings"), [(("bone",), "water"), (("csf",), "vacuum")])
def test_unknown_tissues_are_refused(names, surroundings):
    with pytest.raises(ValueError, match="unknown tissue"):
        mix_tissues([torch.ones(2)], names, surroundings)
