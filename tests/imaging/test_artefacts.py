"""The artefacts that a reader of ultrasound knows, each against a calculation by hand, in decibels."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from tests.oracles.point_target import full_width
from tests.scenes import IDENTITY, medium_of
from torch import Tensor

from diffus import LinearProbe, Medium, RenderSettings, render
from diffus.imaging.beam import lateral_sigma_mm

WITHIN_DB = 0.5
STEP_MM = 0.1
PROBE = LinearProbe(
    width_mm=8.0,
    n_scanlines=33,
    depth_mm=40.0,
    n_samples=400,
    frequency_mhz=5.0,
    n_elevation=1,
    focus_mm=25.0,
)
"""Its nodes lie on the voxels of `layers`: a border midway between two is sharp and in its place."""
PLAIN = RenderSettings(noise_db=None)
TISSUE = {"impedance": 1.6, "attenuation": 0.7, "backscatter": 0.01}


def layers(
    *slabs: tuple[float, float, dict[str, float]], beside: Callable[[Tensor], Tensor] | None = None
) -> Medium:
    """Tissue with slabs between two depths; only where ``beside(x)`` is true, if given."""

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = {name: torch.full_like(z, value) for name, value in TISSUE.items()}
        for top, bottom, values in slabs:
            inside = (z > top) & (z < bottom) & (True if beside is None else beside(x))
            maps = {name: torch.where(inside, values[name], kept) for name, kept in maps.items()}
        return maps["impedance"], maps["attenuation"], maps["backscatter"]

    return medium_of(fields, STEP_MM, half_width_mm=8.5, z_mm=(-1.0, 42.0))


def decibel(medium: Medium, probe: LinearProbe = PROBE, settings: RenderSettings = PLAIN) -> Tensor:
    """Envelope in dB, (scanlines, samples), before TGC and gain."""
    return 20 * torch.log10(render(medium, probe, IDENTITY, settings).envelope[0])


def sample_at(depth_mm: float, probe: LinearProbe = PROBE) -> int:
    return int(depth_mm / float(probe.sample_spacing_mm))


def loss_db(attenuation: float, thickness_mm: float, frequency_mhz: float = 5.0) -> float:
    """Both ways, by hand."""
    return 2 * attenuation * frequency_mhz * thickness_mm / 10


# ------------------------------------------------------------------------------------- attenuation


@pytest.mark.parametrize("frequency", [2.5, 5.0])
def test_echoes_fade_by_the_attenuation_of_the_way(frequency: float) -> None:
    image = decibel(layers(), PROBE.with_options(frequency_mhz=frequency))
    faded = image[16, sample_at(10.0)] - image[16, sample_at(35.0)]
    assert float(faded) == pytest.approx(loss_db(0.7, 25.0, frequency), abs=0.05)


@pytest.mark.parametrize("speckle", ["expected", "sampled"])
def test_behind_a_cyst_tissue_is_brighter_by_what_the_fluid_did_not_take(speckle: str) -> None:
    fluid = {"impedance": 1.6, "attenuation": 0.02, "backscatter": 0.0}
    probe = PROBE.with_options(width_mm=11.0, n_scanlines=45)
    medium = layers((10.05, 20.05, fluid), beside=lambda x: x < 0)
    powers = []
    for seed in range(1 if speckle == "expected" else 8):
        settings = PLAIN.with_options(speckle=speckle, seed=seed)
        powers.append(10 ** (decibel(medium, probe, settings) / 10))
    power = torch.stack(powers).mean(dim=0)
    deep = slice(sample_at(24.0), sample_at(34.0))
    behind, beside = power[:16, deep].mean(), power[-16:, deep].mean()
    brighter = 10 * math.log10(float(behind / beside))
    assert brighter == pytest.approx(
        loss_db(0.7 - 0.02, 10.0), abs=WITHIN_DB if speckle == "sampled" else 0.05
    )
    if speckle == "expected":
        assert float(power[4, sample_at(15.0)] / power[4, sample_at(9.0)]) < 1e-6


# ---------------------------------------------------------------------------- strong reflectors

BONE = {"impedance": 5.4, "attenuation": 4.7, "backscatter": 0.0}


def reflects(above: float, below: float) -> float:
    return (below - above) / (below + above)


@pytest.mark.parametrize("propagation", ["primary", "full"])
def test_shadow_behind_bone_is_as_deep_as_its_faces_and_its_attenuation_make_it(propagation: str) -> None:
    thickness, depth = 3.0, 30.0
    medium = layers((10.05, 10.05 + thickness, BONE), beside=lambda x: x < 0)
    image = decibel(medium, settings=PLAIN.with_options(propagation=propagation))
    r = reflects(TISSUE["impedance"], BONE["impedance"])
    # Each face is passed twice, down with 1 + r and up with 1 - r (or the other way round).
    through_faces = -20 * math.log10((1 - r**2) ** 2)
    expected = through_faces + loss_db(BONE["attenuation"] - TISSUE["attenuation"], thickness)
    shadow = image[-4, sample_at(depth)] - image[3, sample_at(depth)]
    assert expected > 15
    assert float(shadow) == pytest.approx(expected, abs=WITHIN_DB)


def test_the_two_faces_of_a_plate_repeat_each_other_at_equal_spacing() -> None:
    fluid = {"impedance": 1.6, "attenuation": 0.02, "backscatter": 0.0}
    plate, behind = fluid | {"impedance": 6.0}, fluid | {"impedance": 1.4}
    medium = layers((-2.0, 12.05, fluid), (12.05, 16.05, plate), (16.05, 50.0, behind))
    image = decibel(medium)[16]
    r1, r2 = reflects(1.6, 6.0), reflects(6.0, 1.4)
    # The front, the back, and the back after each trip from the back to the front and down again.
    series = [r1, *((1 - r1**2) * r2 * (-r1 * r2) ** trips for trips in range(5))]
    for number, amplitude in enumerate(series):
        depth = 12.05 + 4.0 * number
        near = slice(sample_at(depth) - 10, sample_at(depth) + 11)
        expected = 20 * math.log10(abs(amplitude)) - loss_db(0.02, depth)
        assert float(image[near].max()) == pytest.approx(expected, abs=WITHIN_DB), number
        assert abs(int(image[near].argmax()) - 10) <= 1, number
        assert float(image[sample_at(depth + 2.0)]) < expected - 60, number


def test_the_face_and_a_plate_repeat_the_plate_at_multiples_of_its_depth() -> None:
    fluid = {"impedance": 1.6, "attenuation": 0.0, "backscatter": 0.0}
    medium = layers((-2.0, 9.05, fluid), (9.05, 50.0, fluid | {"impedance": 5.4}))
    image = decibel(medium, settings=PLAIN.with_options(face_reflection=0.5))[16]
    r = reflects(1.6, 5.4)
    for number in range(4):
        expected = 20 * math.log10(r * (0.5 * r) ** number)
        near = slice(sample_at(9.05 * (number + 1)) - 10, sample_at(9.05 * (number + 1)) + 11)
        assert float(image[near].max()) == pytest.approx(expected, abs=WITHIN_DB), number
        assert abs(int(image[near].argmax()) - 10) <= 1 + number, number


# ------------------------------------------------------------------------------------ beam and noise


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
def test_a_thin_rod_is_smeared_away_from_the_focus(dynamic: bool) -> None:
    probe = PROBE.with_options(width_mm=16.0, n_scanlines=161, n_samples=800, dynamic_receive=dynamic)

    def widths(depth: float) -> tuple[float, float]:
        def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            rod = ((x.abs() < STEP_MM / 2) & ((z - depth).abs() < STEP_MM / 2)).to(z)
            return 0 * z + 1.6, 0 * z, rod

        envelope = render(
            medium_of(fields, STEP_MM, half_width_mm=8.5, z_mm=(-1.0, 42.0)), probe, IDENTITY, PLAIN
        ).envelope
        across = envelope[0].amax(dim=1)
        sigma = float(lateral_sigma_mm(probe, torch.tensor([depth], dtype=torch.float64)))
        return full_width(16.0 * torch.linspace(-0.5, 0.5, 161), across), 2.3548 * sigma

    measured, model = zip(*(widths(depth) for depth in (8.0, 16.0, 25.0, 32.0, 39.0)), strict=True)
    assert measured == pytest.approx(model, rel=0.03)
    assert min(measured) == measured[2]
    assert measured[4] > 1.5 * measured[2]


FLOOR_DB = -52.0


@pytest.mark.parametrize("frequency", [3.0, 5.0])
def test_tissue_is_seen_down_to_where_its_echo_meets_the_noise(frequency: float) -> None:
    probe = PROBE.with_options(frequency_mhz=frequency)
    image = decibel(layers(), probe, PLAIN.with_options(noise_db=FLOOR_DB))[16]
    at_face = 20 * math.log10(TISSUE["backscatter"])
    slope = loss_db(TISSUE["attenuation"], 1.0, frequency)
    # Echo and noise add by power: where they are equal, both together are 3 dB above either.
    last = int((image > FLOOR_DB + 10 * math.log10(2)).sum())
    meet_mm = (at_face - FLOOR_DB) / slope
    assert float(probe.sample_depths_mm()[last]) == pytest.approx(meet_mm, abs=WITHIN_DB / slope)
    echo = at_face - slope * 35.0
    both = 10 * math.log10(10 ** (FLOOR_DB / 10) + 10 ** (echo / 10))
    assert float(image[sample_at(35.0)]) == pytest.approx(both, abs=WITHIN_DB)


def test_below_the_reach_of_sampled_speckle_there_is_the_noise() -> None:
    settings = PLAIN.with_options(speckle="sampled", noise_db=FLOOR_DB)
    deep = decibel(layers(), PROBE.with_options(frequency_mhz=8.0), settings)[:, sample_at(33.0) : -10]
    assert 10 * math.log10(float((10 ** (deep / 10)).mean())) == pytest.approx(FLOOR_DB, abs=WITHIN_DB)
