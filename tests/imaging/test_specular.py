"""Tilted interfaces: the fall-off by hand, the energy kept, and a tilted plane through the whole renderer."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, medium_of
from torch import Tensor

from diffus import LinearProbe, RenderSettings, render
from diffus.imaging.specular import NodeSteps, fall_off, tilted_impedance
from diffus.propagation.reflection import reflection, two_way_transmission

STEPS = NodeSteps(
    torch.tensor(0.5, dtype=torch.float64),
    torch.full((21,), 0.7, dtype=torch.float64),
    torch.tensor([-1.2, 0.3, 1.5], dtype=torch.float64)[:, None].expand(3, 21),
    None,
)


def sloping(lateral_deg: float, elevation_deg: float = 0.0) -> Tensor:
    """An impedance that grows along one direction, tilted from the beam, (1, 3, 9, 21)."""
    z = 0.5 * torch.arange(21, dtype=torch.float64)
    x = 0.7 * torch.arange(9, dtype=torch.float64)[:, None]
    y = STEPS.planes_mm[:, :1, None]  # pyright: ignore
    lateral, elevation = math.tan(math.radians(lateral_deg)), math.tan(math.radians(elevation_deg))
    return (1.6 + 0.2 * (z + lateral * x + elevation * y))[None]


@pytest.mark.parametrize(("lateral", "elevation"), [(30.0, 0.0), (0.0, -30.0), (-30.0, 0.0)])
def test_half_is_left_at_the_angle_that_says_so(lateral: float, elevation: float) -> None:
    shares = fall_off(sloping(lateral, elevation), STEPS, 30.0, wraps=False)
    assert torch.allclose(shares, torch.full_like(shares, 0.5), atol=1e-5)


def test_tilts_to_both_sides_add_as_the_tangent_of_the_whole() -> None:
    shares = fall_off(sloping(20.0, 35.0), STEPS, 30.0, wraps=False)
    tangent_squared = math.tan(math.radians(20)) ** 2 + math.tan(math.radians(35)) ** 2
    expected = math.exp(-math.log(2) * tangent_squared / math.tan(math.radians(30)) ** 2)
    assert torch.allclose(shares, torch.full_like(shares, expected), rtol=1e-4)


def test_lines_that_lean_see_the_tilt_from_their_own_beam() -> None:
    # Impedance grows along beams steered by 25 degrees; scanlines start on a face along x.
    angle = math.radians(25.0)
    depth, start = (
        0.5 * torch.arange(21, dtype=torch.float64),
        0.7 * torch.arange(9, dtype=torch.float64)[:, None],
    )
    impedance = (1.6 + 0.2 * (depth + start * math.sin(angle)))[None, None]
    lines = torch.full((21,), 0.7 * math.cos(angle), dtype=torch.float64)
    steps = NodeSteps(STEPS.depth_mm, lines, None, torch.tensor(math.tan(angle), dtype=torch.float64))
    shares = fall_off(impedance, steps, 30.0, wraps=False)
    assert torch.allclose(shares, torch.ones_like(shares), atol=1e-6)


def test_level_interfaces_are_left_as_they_are() -> None:
    level = 1.6 + 0.3 * torch.rand(21, dtype=torch.float64)
    level = level.expand(1, 3, 9, 21)
    impedance, behind = tilted_impedance(level, STEPS, 20.0, wraps=False)
    assert torch.allclose(impedance, level, rtol=1e-12)
    assert torch.allclose(behind, torch.ones_like(behind))


def test_reflections_are_weakened_and_transmission_is_kept() -> None:
    impedance = 1.6 + 0.5 * torch.rand(2, 3, 9, 21, dtype=torch.float64)
    tilted, behind = tilted_impedance(impedance, STEPS, 30.0, wraps=False)
    expected = reflection(impedance) * fall_off(impedance, STEPS, 30.0, wraps=False)
    assert torch.allclose(reflection(tilted), expected, atol=1e-12)
    through = two_way_transmission(tilted) * behind.cumprod(dim=-1) ** 2
    assert torch.allclose(through, two_way_transmission(impedance), rtol=1e-10)
    assert float(behind.max()) <= 1


def test_a_ring_has_no_edge() -> None:
    impedance = 1.6 + 0.1 * torch.rand(1, 1, 9, 21, dtype=torch.float64)
    steps = STEPS._replace(planes_mm=None)
    shares = fall_off(impedance, steps, 30.0, wraps=True)
    turned = fall_off(impedance.roll(4, dims=2), steps, 30.0, wraps=True)
    assert torch.allclose(turned, shares.roll(4, dims=2))


def test_gradients() -> None:
    impedance = (1.6 + 0.1 * torch.rand(1, 3, 4, 6, dtype=torch.float64)).requires_grad_()
    steps = STEPS._replace(
        lines_mm=STEPS.lines_mm[:6],
        planes_mm=STEPS.planes_mm[:, :6],  # pyright: ignore
    )
    angle = torch.tensor(35.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda z, a: tilted_impedance(z, steps, a, wraps=False), (impedance, angle), atol=1e-6
    )


@pytest.mark.parametrize("degrees", [0.0, 20.0, 40.0])
def test_a_tilted_plane_through_the_renderer(degrees: float) -> None:
    # One scanline apart from its neighbours by less than the beam, a boundary smeared over 2 mm.
    probe = LinearProbe(width_mm=2.0, n_scanlines=9, n_samples=240, depth_mm=40.0, aperture_mm=40.0)
    tangent = math.tan(math.radians(degrees))

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        distance = (z - 20.0 - tangent * x) / math.sqrt(1 + tangent**2)
        return 1.55 + 0.1 * torch.sigmoid(distance / 0.5), 0 * z, 0 * z

    plain = RenderSettings(propagation="primary", speckle="none", noise_db=None, specular_angle_deg=None)
    medium = medium_of(fields, spacing_mm=0.25)
    mirror = render(medium, probe, IDENTITY, plain).envelope[0, 4].max()
    rough = render(medium, probe, IDENTITY, plain.with_options(specular_angle_deg=25.0)).envelope[0, 4].max()
    expected = math.exp(-math.log(2) * tangent**2 / math.tan(math.radians(25.0)) ** 2)
    assert float(rough / mirror) == pytest.approx(expected, abs=0.01)
