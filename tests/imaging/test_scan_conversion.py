"""Scan conversion: a known function of the plane, painted on scanlines, comes back in mm."""

from __future__ import annotations

import pytest
import torch
from tests.scenes import PROBES
from tests.support import as_users_run

from diffus import Probe, RadialProbe
from diffus.imaging.scan_conversion import (
    PixelGrid,
    field_of_view,
    recover_scanlines,
    sample_scanlines,
    to_cartesian,
    to_scanlines,
)


def painted(probe: Probe) -> torch.Tensor:
    lines = probe.scanlines()
    points = lines.origins_mm[:, None] + probe.sample_depths_mm()[:, None] * lines.directions[:, None]
    return function(points[..., 0], points[..., 2])[None]


def function(x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.sin(0.15 * x) + torch.cos(0.1 * z)


@pytest.mark.parametrize("name", PROBES)
def test_a_function_of_the_plane_comes_back(name: str) -> None:
    probe = PROBES[name].with_options(n_scanlines=600, n_samples=200)
    grid = PixelGrid.around(probe, spacing_mm=0.7)
    image = to_cartesian(painted(probe), probe, grid)[0]
    x, z = grid.centres_mm()
    inside = field_of_view(probe, grid)
    depth = probe.scanline_coordinates(x, z)[1]
    step = float(probe.sample_spacing_mm)
    between = inside & (depth > step / 2) & (depth < float(probe.depth_mm) - step / 2)
    assert (image - function(x, z))[between].abs().max() < 2e-3
    assert (image * ~inside).abs().max() == 0
    assert inside.float().mean() > 0.3


@pytest.mark.parametrize("name", PROBES)
def test_the_grid_holds_the_field_of_view_and_is_centred_on_it(name: str) -> None:
    probe = PROBES[name]
    outline = probe.outline_mm()
    for grid in (PixelGrid.around(probe, spacing_mm=0.5), PixelGrid.around(probe, shape=(64, 80))):
        left, right, top, bottom = grid.edges_mm()
        slack = grid.spacing_mm / 2
        assert left - slack <= outline[:, 0].min() and outline[:, 0].max() <= right + slack
        assert top - slack <= outline[:, 1].min() and outline[:, 1].max() <= bottom + slack
    assert PixelGrid.around(probe, shape=(64, 80)).shape == (64, 80)


def test_default_pixels_are_as_deep_as_a_sample() -> None:
    probe = PROBES["convex"]
    assert PixelGrid.around(probe).spacing_mm == pytest.approx(float(probe.sample_spacing_mm))


def test_between_last_and_first_scanline_of_a_ring() -> None:
    probe = PROBES["radial"]
    assert isinstance(probe, RadialProbe)
    image = torch.zeros(1, 4, 2)
    image[0, 3], image[0, 0] = 2.0, 4.0
    value = sample_scanlines(image, torch.tensor([3.5]), torch.tensor([0.0]), wraps=True)
    assert value.item() == pytest.approx(3.0)


def test_probe_from_pixel_places_columns_and_rows() -> None:
    grid = PixelGrid.around(PROBES["convex"], spacing_mm=0.4)
    matrix = grid.probe_from_pixel(thickness_mm=2.0)
    x, z = grid.centres_mm()
    place = matrix @ torch.tensor([5.0, 9.0, 0.0, 1.0], dtype=torch.float64)
    assert place.tolist() == pytest.approx([float(x[9, 5]), 0.0, float(z[9, 5]), 1.0])
    assert float(torch.linalg.det(matrix[:3, :3])) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spacing_mm": 0.0}, "spacing_mm must be a finite number above 0, got 0"),
        ({"spacing_mm": -1.0}, "spacing_mm must be a finite number above 0"),
        ({"shape": (0, 5)}, "two whole numbers above 0"),
        ({"shape": (5,)}, "two whole numbers above 0"),
        ({"shape": (5, 5), "spacing_mm": 1.0}, "not both"),
    ],
)
def test_refuses_impossible_grids(options: dict, message: str) -> None:
    with as_users_run(), pytest.raises(ValueError, match=message):
        PixelGrid.around(PROBES["linear"], **options)


@pytest.mark.parametrize("name", PROBES)
def test_a_function_of_the_plane_goes_back_to_scanlines(name: str) -> None:
    probe = PROBES[name].with_options(n_scanlines=40, n_samples=50)
    grid = PixelGrid.around(probe, spacing_mm=0.4)
    x, z = grid.centres_mm()
    values, inside = to_scanlines(function(x, z)[None], probe, grid)
    assert inside.float().mean() > 0.95
    # Beyond the middles of the outermost pixels their values go on.
    assert (values - painted(probe))[0][inside].abs().max() < 0.03
    assert (values - painted(probe))[0][1:-1, 2:-2].abs().max() < 2e-3


def test_pixels_beside_the_grid_are_told() -> None:
    probe = PROBES["linear"]
    grid = PixelGrid(x_mm=-2.0, z_mm=10.0, spacing_mm=1.0, shape=(11, 5))
    _, inside = to_scanlines(torch.ones(1, 11, 5), probe, grid)
    lines = probe.scanlines().origins_mm[:, 0]
    depths = probe.sample_depths_mm()
    expected = (lines.abs() <= 2.5)[:, None] & ((depths >= 9.5) & (depths <= 20.5))
    assert torch.equal(inside, expected)


@pytest.mark.parametrize("name", PROBES)
def test_recovery_is_the_inverse_of_scan_conversion(name: str) -> None:
    probe = PROBES[name].with_options(n_scanlines=24, n_samples=32)
    grid = PixelGrid.around(probe, spacing_mm=0.25)
    generator = torch.Generator().manual_seed(3)
    given = torch.rand(2, 24, 32, generator=generator, dtype=torch.float64)
    found, determined = recover_scanlines(to_cartesian(given, probe, grid), probe, grid, n_iterations=1500)
    deep = determined.clone()
    deep[:, :6] = False  # near its centre a fan has more samples than there are pixels
    assert deep.float().mean() > 0.6
    assert (found - given)[:, deep].abs().max() < 1e-6
    plain, _ = to_scanlines(to_cartesian(given, probe, grid), probe, grid)
    assert (plain - given)[:, deep].abs().max() > 0.05  # what bilinear interpolation alone would leave


def test_refuses_an_image_of_another_grid() -> None:
    grid = PixelGrid.around(PROBES["linear"], spacing_mm=1.0)
    with as_users_run(), pytest.raises(ValueError, match=r"that of the grid, got \(1, 3, 4\)"):
        to_scanlines(torch.zeros(1, 3, 4), PROBES["linear"], grid)
