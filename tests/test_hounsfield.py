"""CT numbers to acoustic values, against the printed laws."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck

from diffus.hounsfield import (
    acoustic_from_hounsfield,
    density_from_hounsfield,
    fluid_share,
    impedance_from_hounsfield,
    speed_from_density,
)
from diffus.tissues import tissue


def _printed_density(hu):
    x = hu + 1000
    if x < 930:
        return 1.025793 * x - 5.680404
    if x < 1098:
        return 0.908271 * x + 103.6151
    if x < 1260:
        return 0.510837 * x + 539.9977
    return 0.662537 * x + 348.8555


def _acoustic(*hu):
    return acoustic_from_hounsfield(torch.tensor(hu, dtype=torch.float64))


@pytest.mark.parametrize("hu", [-990, -500, -100, -71, -70, 0, 50, 97, 98, 200, 259, 260, 400, 1000, 3000])
def test_density_follows_the_printed_pieces(hu):
    density = float(density_from_hounsfield(torch.tensor([hu], dtype=torch.float64)))
    assert density == pytest.approx(_printed_density(hu), abs=2e-3)


@pytest.mark.parametrize("hu", [-100.0, 0.0, 60.0, 250.0])
def test_speed_in_soft_tissue(hu):
    density = torch.tensor([_printed_density(hu)], dtype=torch.float64)
    speed = speed_from_density(density, torch.tensor([hu], dtype=torch.float64))
    assert float(speed) == pytest.approx((_printed_density(hu) + 349) / 0.893)


@pytest.mark.parametrize("hu", [500.0, 1000.0, 2000.0])
def test_speed_in_bone(hu):
    density = torch.tensor([_printed_density(hu)], dtype=torch.float64)
    speed = speed_from_density(density, torch.tensor([hu], dtype=torch.float64))
    assert float(speed) == pytest.approx(1.33 * _printed_density(hu) + 167)


def test_density_and_speed_never_fall_with_the_ct_number():
    hu = torch.linspace(-690, 3000, 2000, dtype=torch.float64)
    density = density_from_hounsfield(hu)
    assert (density.diff() > -0.6).all()  # the pieces meet within half a kg/m3
    assert (speed_from_density(density, hu).diff() > -0.6).all()


def test_air_water_liver_and_bone_are_near_the_tissue_table():
    air, water, liver, bone = _acoustic(-1000, 0, 55, 1800)
    assert float(air[0]) == pytest.approx(tissue("air").impedance_mrayl)
    assert float(water[0]) == pytest.approx(tissue("water").impedance_mrayl, rel=0.05)
    assert float(liver[0]) == pytest.approx(tissue("liver").impedance_mrayl, rel=0.05)
    assert float(bone[0]) > 4
    assert liver[1:].tolist() == pytest.approx(tissue("muscle").acoustic[1:])
    assert bone[1:].tolist() == pytest.approx(tissue("cortical_bone").acoustic[1:])
    assert air[1:].tolist() == pytest.approx(tissue("air").acoustic[1:])


def test_a_little_gas_makes_a_mixture_soft():
    # Wood's law by hand: 1 % of gas by volume in fat at -150 HU.
    hu = -150 - 0.01 * 850
    density, speed = _printed_density(-150.0), (_printed_density(-150.0) + 349) / 0.893
    air = tissue("air")
    stiffness = 1 / (0.99 / (density * speed**2) + 0.01 / (air.density_kg_m3 * air.speed_m_s**2))
    expected = (stiffness * (0.99 * density + 0.01 * air.density_kg_m3)) ** 0.5 * 1e-6
    mixed = float(impedance_from_hounsfield(torch.tensor([hu], dtype=torch.float64)))
    assert mixed == pytest.approx(expected, rel=1e-6)
    assert mixed < 0.11
    assert float(impedance_from_hounsfield(torch.tensor([-150.0]))) > 1.1


def test_fluid_is_told_from_noise_and_from_borders():
    generator = torch.Generator().manual_seed(0)
    ct = torch.full((30, 12, 12), 55.0)
    ct[10:20] = 6.0
    ct[20:] = -100.0
    ct += 8 * torch.randn(ct.shape, generator=generator)
    share = fluid_share(ct)
    assert float(share[12:18].mean()) > 0.95
    assert float(share[:8].max()) == 0
    assert float(share[22:].max()) == 0
    border = torch.full((20, 12, 12), 55.0)
    border[10:] = -100.0
    border[9] = 5.0  # a border of fat and muscle passes the number of fluid
    assert float(fluid_share(border).max()) < 0.01


def test_fluid_scatters_and_attenuates_as_water():
    wet = acoustic_from_hounsfield(torch.tensor([6.0]), torch.tensor([1.0]))[0]
    assert wet[1:].tolist() == pytest.approx(tissue("water").acoustic[1:])


def test_values_beyond_the_scale_are_those_of_its_ends():
    below, above = _acoustic(-3000, 20000)
    assert float(below[0]) > 0
    assert below[1:].tolist() == pytest.approx(tissue("air").acoustic[1:])
    assert above[1:].tolist() == pytest.approx(tissue("cortical_bone").acoustic[1:])


def test_keeps_shape_and_dtype_and_the_gradient():
    assert acoustic_from_hounsfield(torch.zeros(2, 3, 4)).shape == (2, 3, 4, 3)
    assert acoustic_from_hounsfield(torch.zeros(2)).dtype == torch.float32
    hu = torch.tensor([-800.0, -120.0, -30.0, 5.0, 25.0, 60.0, 200.0, 700.0, 1500.0], dtype=torch.float64)
    assert gradcheck(acoustic_from_hounsfield, hu.requires_grad_())
