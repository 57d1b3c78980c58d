"""The one-pass kernel against the reference, in values and gradients, inside the grid and beyond it."""

from __future__ import annotations

import logging

import pytest
import torch
from tests.scenes import IDENTITY, PROBES, TILTED, medium_of, moved, textured

from diffus import Medium, RenderSettings, pose, preset, render
from diffus.imaging.formation import samples_needed
from diffus.scanline_sampling import sample_scanline_medium

OUTWARDS = pose.exp(torch.tensor([5.0, 35.0, -10.0, 12.0, -16.0, 3.0], dtype=torch.float64))
"""Part of the fan leaves the grid, along every axis."""


def sampled(medium: Medium, probe, poses, backend: str):
    values = sample_scanline_medium(medium, probe, poses, backend)
    return values.impedance, values.attenuation, values.backscatter


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_values_agree(name: str, dtype: torch.dtype) -> None:
    probe = PROBES[name].with_options(n_elevation=3)
    poses = torch.stack([IDENTITY, OUTWARDS])
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    for fast, slow in zip(
        *(sampled(textured(dtype), probe, poses, backend) for backend in ("numba", "torch")), strict=True
    ):
        assert fast.shape == slow.shape
        assert (fast - slow).abs().max() <= tolerance


def gradients(backend: str):
    base = textured()
    probe = PROBES["convex"].with_options(n_elevation=2)
    leaves = {
        "maps": base.channels.clone().requires_grad_(),
        "tangent": torch.zeros(2, 6, dtype=torch.float64, requires_grad=True),
        "depth": torch.tensor(48.0, dtype=torch.float64, requires_grad=True),
        "elevation focus": torch.tensor(30.0, dtype=torch.float64, requires_grad=True),
    }
    medium = Medium.from_channels(leaves["maps"], base.world_from_voxel)
    probe = probe.with_options(depth_mm=leaves["depth"], elevation_focus_mm=leaves["elevation focus"])
    poses = pose.perturb(torch.stack([IDENTITY, OUTWARDS]), leaves["tangent"])
    generator = torch.Generator().manual_seed(0)
    score = torch.zeros((), dtype=torch.float64)
    for values, scale in zip(sampled(medium, probe, poses, backend), (1.0, 1.0, 100.0), strict=True):
        weights = torch.rand(values.shape, generator=generator, dtype=torch.float64)
        score = score + scale * (values * weights).sum()
    return dict(zip(leaves, torch.autograd.grad(score, list(leaves.values())), strict=True))


def test_gradients_agree() -> None:
    fast, slow = gradients("numba"), gradients("torch")
    for name, expected in slow.items():
        assert expected.abs().max() > 0, name
        assert (fast[name] - expected).abs().max() <= 1e-9 * expected.abs().max(), name


def test_a_grid_of_one_voxel_along_an_axis() -> None:
    flat = medium_of(lambda x, y, z: (0 * z + 1.6, 0 * z, 0 * z + 0.01))
    thin = Medium(
        *(m[:, :1].contiguous() for m in (flat.impedance, flat.attenuation, flat.backscatter)),
        flat.world_from_voxel,
    )
    at = pose.exp(torch.tensor([0.0, 0, 0, 0, -20.0, 0], dtype=torch.float64))
    both = [sampled(thin, PROBES["linear"], at[None], backend)[2] for backend in ("numba", "torch")]
    assert torch.allclose(*both, atol=1e-12) and float(both[0].max()) > 0


def test_second_derivatives_are_refused_with_a_way_out() -> None:
    tangent = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    frame = render(textured(), PROBES["linear"], pose.exp(tangent), RenderSettings(backend="numba"))
    (first,) = torch.autograd.grad(frame.envelope.sum(), tangent, create_graph=True)
    with pytest.raises(RuntimeError, match="backend='torch'"):
        torch.autograd.grad(first.sum(), tangent)


def test_the_whole_frame_agrees_between_backends() -> None:
    medium = moved(textured(), TILTED)
    for name, probe in PROBES.items():
        fast, slow = (
            render(medium, probe, TILTED, RenderSettings(backend=b)).envelope for b in ("numba", "torch")
        )
        assert (fast - slow).abs().max() <= 1e-10 * slow.max(), name


def test_it_is_said_once_that_the_step_is_too_coarse(caplog: pytest.LogCaptureFixture) -> None:
    probe = PROBES["linear"].with_options(n_samples=31, frequency_mhz=7.25)
    needed = samples_needed(probe)
    with caplog.at_level(logging.WARNING, logger="diffus"):
        for _ in range(2):
            render(textured(torch.float32), probe, IDENTITY)
    assert len(caplog.records) == 1
    assert f"use n_samples={needed} or more" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="diffus"):
        render(textured(torch.float32), probe.with_options(n_samples=needed), IDENTITY)
    assert not caplog.records


@pytest.mark.parametrize("name", ["craniotomy", "abdominal", "linear", "phased", "radial"])
def test_presets_resolve_their_pulse(name: str) -> None:
    probe = preset(name)
    assert probe.n_samples >= samples_needed(probe)
