"""Sampled speckle belongs to the tissue: it stays there when the probe moves."""

from __future__ import annotations

import math

import pytest
import torch
from tests.imaging.speckle_scenes import IDENTITY, level
from torch import Tensor

from diffus import ConvexProbe, LinearProbe, pose
from diffus.imaging.beam import elevation_sigma_mm
from diffus.imaging.scan_conversion import PixelGrid, to_cartesian
from diffus.imaging.speckle import scattered_iq


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


FINE = LinearProbe(
    width_mm=16.0, depth_mm=25.0, n_scanlines=161, n_samples=500, frequency_mhz=5.0, focus_mm=15.0
)


@pytest.mark.parametrize("density", [None, 1.0])
def test_moving_sideways_moves_the_pattern_back(density: float | None) -> None:
    step = 16.0 / 160
    power = level(FINE, n_poses=2)
    moved = pose.exp(torch.tensor([0.0, 0, 0, 1.5 * step, 0, 0], dtype=torch.float64))[None]
    still, after = scattered_iq(power, FINE, torch.cat([IDENTITY, moved]), scatterers_per_mm3=density).abs()
    between = (still[1:-1] + still[2:]) / 2  # scanline l + 3 / 2
    assert correlation(between, after[:-2]) > 0.95
    assert correlation(still[:-2], after[2:]) < 0.8  # and not the other way


def test_pushing_in_moves_the_pattern_up() -> None:
    step = 25.0 / 500
    pushed = pose.exp(torch.tensor([0.0, 0, 0, 0, 0, 4 * step], dtype=torch.float64))[None]
    still, after = scattered_iq(level(FINE, n_poses=2), FINE, torch.cat([IDENTITY, pushed])).abs()
    assert correlation(still[:, 4:], after[:, :-4]) > 0.95
    assert correlation(still[:, :-4], after[:, 4:]) < 0.5


def test_convex_pattern_stays_in_the_tissue() -> None:
    probe = ConvexProbe(
        radius_mm=20.0,
        field_of_view_deg=40.0,
        depth_mm=25.0,
        n_scanlines=300,
        n_samples=500,
        frequency_mhz=5.0,
    )
    spacing = 0.05
    moved = pose.exp(torch.tensor([0.0, 0, 0, 6 * spacing, 0, 4 * spacing], dtype=torch.float64))[None]
    envelope = scattered_iq(level(probe, n_poses=2), probe, torch.cat([IDENTITY, moved])).abs()
    still, after = to_cartesian(envelope, probe, PixelGrid.around(probe, spacing))
    inside = PixelGrid.around(probe, spacing)
    mask = (to_cartesian(torch.ones_like(envelope[:1]), probe, inside)[0] > 0)[4:, 6:]
    mask = mask & (after[:-4, :-6] > 0) & (still[4:, 6:] > 0)
    assert correlation(still[4:, 6:][mask], after[:-4, :-6][mask]) > 0.95


def test_a_slice_thickness_aside_is_other_speckle() -> None:
    probe = FINE.with_options(elevation_focus_mm=15.0, elevation_aperture_mm=6.0)
    focus = torch.tensor([15.0], dtype=torch.float64)
    thickness = 2 * math.sqrt(2 * math.log(2)) * float(elevation_sigma_mm(probe, focus))
    aside, half = (
        pose.exp(torch.tensor([0.0, 0, 0, 0, share * thickness, 0], dtype=torch.float64))[None]
        for share in (1.0, 0.25)
    )
    images = scattered_iq(level(probe, n_poses=3), probe, torch.cat([IDENTITY, aside, half])).abs()
    still, after, near = images[:, :, 260:340]  # within 2 mm of the lens's focus
    assert correlation(still, after) < 0.3
    assert correlation(still, near) > 0.6
