"""Boundaries that a grid smears echo with the energy of the sharp ones that they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from tests.scenes import IDENTITY, medium_of
from torch import Tensor

from diffus import LinearProbe, RenderSettings, render
from diffus.imaging.formation import sigma_steps, unresolved

PROBE = LinearProbe(width_mm=4.0, n_scanlines=5, n_samples=640, depth_mm=40.0, frequency_mhz=8.0)
PLAIN = RenderSettings(propagation="primary", speckle="none", noise_db=None)


def energy_of_a_step(below: float, voxel_mm: float, settings: RenderSettings) -> float:
    """Energy of the echo of a step from 1.6 MRayl, on a grid that shows it within one voxel."""

    def fields(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.where(z > 20.0, below, 1.6).to(z), 0 * z, 0 * z

    medium = medium_of(fields, spacing_mm=voxel_mm, half_width_mm=10.0, z_mm=(-5.0, 45.0))
    return float(render(medium, PROBE, IDENTITY, settings).envelope[0, 2].square().sum())


@pytest.mark.parametrize("below", [1.58, 1.7, 5.4, 0.4])
@pytest.mark.parametrize("voxel_mm", [0.5, 1.0, 2.0])
def test_a_step_on_any_grid_echoes_its_energy(below: float, voxel_mm: float) -> None:
    # A sharp step: its reflection, under a Gaussian pulse.
    sigma_samples = float(sigma_steps(PROBE, torch.zeros((), dtype=torch.float64))[0])
    sharp = ((below - 1.6) / (below + 1.6)) ** 2 * math.sqrt(math.pi) * sigma_samples
    energy = energy_of_a_step(below, voxel_mm, PLAIN)
    strong = below in (5.4, 0.4)  # a ramp of such height is uneven in its logarithm, and dims its own far end
    # At its ends the pulse reaches beyond the ramp: a box under a Gaussian keeps 1 - 2 s / (sqrt(pi) w).
    sigma_mm = sigma_samples * float(PROBE.sample_spacing_mm)
    ends_db = 10 * math.log10(1 - 2 * sigma_mm / (math.sqrt(math.pi) * voxel_mm))
    assert 10 * math.log10(energy / sharp) == pytest.approx(ends_db, abs=1.7 if strong else 0.1)
    smeared = energy_of_a_step(below, voxel_mm, PLAIN.with_options(boundary_voxels=0.0))
    assert smeared < 0.6 * sharp


def test_where_the_pulse_is_longer_than_a_voxel_nothing_changes() -> None:
    amplitude = torch.linspace(-0.9, 0.9, 5 * 640, dtype=torch.float64).reshape(1, 5, 640)
    fine = torch.full((1, 5), 0.05, dtype=torch.float64)
    assert torch.allclose(unresolved(amplitude, fine, 1.0, PROBE), amplitude, rtol=1e-12)
    coarse = torch.full((1, 5), 3.0, dtype=torch.float64)
    assert torch.allclose(unresolved(amplitude, coarse, 0.0, PROBE), amplitude, rtol=1e-12)
    louder = unresolved(amplitude, coarse, 1.0, PROBE)
    assert float(louder.abs().max()) <= 1
    assert bool((louder.abs() >= amplitude.abs()).all())


def test_voxels_are_measured_along_each_scanline() -> None:
    # Voxels of 0.5 x 2 x 0.5 mm seen along their long side.
    medium = medium_of(lambda x, y, z: (1.6 + 0.01 * torch.sin(0.4 * y), 0 * z, 0 * z), half_width_mm=12.0)
    along_y = IDENTITY.clone()
    along_y[:3, :3] = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
    along_y[:3, 3] = torch.tensor([0.0, -18.0, 20.0], dtype=torch.float64)
    probe = PROBE.with_options(depth_mm=30.0)
    one, two = (
        render(medium, probe, along_y, PLAIN.with_options(boundary_voxels=v)).envelope[0, 2, 50:-50].max()
        for v in (0.5, 1.0)
    )
    assert float(two / one) == pytest.approx(math.sqrt(2.0), rel=1e-3)


def test_gradients() -> None:
    amplitude = (0.4 * torch.rand(1, 5, 640, dtype=torch.float64))[:, :, :7].requires_grad_()
    voxel = torch.linspace(0.4, 1.2, 5, dtype=torch.float64)[None].requires_grad_()
    count = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    frequency = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)

    def changed(a: Tensor, v: Tensor, n: Tensor, f: Tensor) -> Tensor:
        return unresolved(a, v, n, PROBE.with_options(frequency_mhz=f))

    assert torch.autograd.gradcheck(changed, (amplitude, voxel, count, frequency))
