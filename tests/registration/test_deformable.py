"""Free-form displacements: splines against their definition, energies by differences, a known shift found."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.registration.phantom_sweep import GEOMETRY, POSE, PROBE, swept, tissue
from tests.support import placed
from torch import Tensor

from diffus import Medium, RenderSettings, Volume, render
from diffus.bspline import BSplineDisplacement, LatticeOnGrid, cubic_weights
from diffus.registration.deformable import DeformableRegistration, DeformableSettings, register_deformable
from diffus.registration.virtual_sweep import SweepSampling, VirtualSweep, frame_points
from diffus.registration.volume import SweepGeometry
from diffus.registration.warped_medium import WarpGrid
from diffus.sampling import sample_trilinear
from diffus.segmentation import brain_mask

GRID, SHAPE = placed(), (19, 23, 11)
SMALL = SweepSampling(n_frames=5, n_scanlines=32, n_samples=48)
QUICK = DeformableSettings(spacings_mm=(20.0, 14.0), grid_mm=1.5, n_steps=8)


def random_spline(size_mm: float = 2.0) -> BSplineDisplacement:
    rest = BSplineDisplacement.at_rest(GRID, SHAPE, spacing_mm=7.0)
    return rest.with_coefficients(size_mm * torch.randn(rest.coefficients.shape, dtype=torch.float64))


def grid_points() -> Tensor:
    index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in SHAPE), indexing="ij"), -1)
    return index @ GRID[:3, :3].T + GRID[:3, 3]


def by_definition(spline: BSplineDisplacement, point: Tensor) -> Tensor:
    """Sum over all control points of the recursion of Cox and de Boor, uniform knots."""

    def bump(x: float, order: int) -> float:
        """The B-spline on [0, order + 1]."""
        if order == 0:
            return 1.0 if 0 <= x < 1 else 0.0
        return (x * bump(x, order - 1) + (order + 1 - x) * bump(x - 1, order - 1)) / order

    index = torch.linalg.inv(spline.world_from_control) @ torch.cat([point, torch.ones(1).double()])
    total = torch.zeros(3, dtype=torch.float64)
    for a, plane in enumerate(spline.coefficients):
        for b, row in enumerate(plane):
            for c, node in enumerate(row):
                share = [
                    bump(float(at) - control + 2, 3) for at, control in zip(index, (a, b, c), strict=False)
                ]
                total += math.prod(share) * node
    return total


def test_displacement_is_the_sum_of_splines() -> None:
    spline = random_spline()
    points = grid_points()[3::7, 2::9, 1::5].reshape(-1, 3)
    expected = torch.stack([by_definition(spline, point) for point in points])
    assert torch.allclose(spline.at(points), expected, atol=1e-10)


def test_field_on_a_grid_is_that_at_its_points() -> None:
    spline = random_spline()
    on_grid = LatticeOnGrid(spline, GRID, SHAPE)
    assert torch.allclose(on_grid.displacements(spline.coefficients), spline.at(grid_points()), atol=1e-10)


def test_control_points_that_follow_a_line_give_that_line() -> None:
    """Cubic splines reproduce affine maps, whose bending energy is nothing and whose volume is known."""
    rest = BSplineDisplacement.at_rest(GRID, SHAPE, spacing_mm=7.0)
    counts = rest.coefficients.shape[:3]
    index = torch.stack(torch.meshgrid(*(torch.arange(n).double() for n in counts), indexing="ij"), -1)
    places = index @ rest.world_from_control[:3, :3].T + rest.world_from_control[:3, 3]
    slope = torch.tensor([[0.1, 0.2, 0.0], [-0.05, 0.02, 0.3], [0.0, 0.1, -0.2]]).double()
    spline = rest.with_coefficients(places @ slope.T)
    on_grid = LatticeOnGrid(spline, GRID, SHAPE)
    assert torch.allclose(on_grid.displacements(spline.coefficients), grid_points() @ slope.T, atol=1e-9)
    assert float(on_grid.bending_energy(spline.coefficients)) < 1e-18
    volume = float(torch.linalg.det(torch.eye(3, dtype=torch.float64) + slope))
    determinants = on_grid.jacobian_determinants(spline.coefficients)
    assert torch.allclose(determinants, torch.full_like(determinants, volume), atol=1e-9)


def test_energy_and_volume_by_finite_differences() -> None:
    spline = random_spline()
    on_grid = LatticeOnGrid(spline, GRID, SHAPE)
    inner = (slice(2, -2),) * 3
    points = grid_points()[inner].reshape(-1, 3)
    # The energy does not depend on which orthogonal axes it is taken along; the volume neither.
    step = 1e-3
    axes = step * torch.eye(3, dtype=torch.float64)
    second = torch.zeros(len(points), dtype=torch.float64)
    first = []
    for one in axes:
        first.append((spline.at(points + one) - spline.at(points - one)) / (2 * step))
        for other in axes:
            corners = [
                sign * spline.at(points + a * one + b * other)
                for a, b, sign in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
            ]
            bend = torch.stack(corners).sum(dim=0) / (4 * step**2)
            second += bend.square().sum(dim=-1)
    inside = LatticeOnGrid(spline, _shifted(GRID, 2), tuple(n - 4 for n in SHAPE))
    assert float(inside.bending_energy(spline.coefficients)) == pytest.approx(float(second.mean()), rel=1e-3)
    jacobian = torch.stack(first, dim=-1) + torch.eye(3, dtype=torch.float64)
    determinants = on_grid.jacobian_determinants(spline.coefficients)[inner].flatten()
    assert torch.allclose(determinants, torch.linalg.det(jacobian), atol=1e-6)


def test_gradients_of_energy_volume_and_field() -> None:
    spline = random_spline()
    on_grid = LatticeOnGrid(spline, GRID, (3, 4, 3))
    point = grid_points()[4, 5, 6]
    free = spline.coefficients.clone().requires_grad_()
    for function in (
        on_grid.bending_energy,
        lambda values: on_grid.jacobian_determinants(values).mean(),
        lambda values: on_grid.displacements(values).square().mean(),
        lambda values: spline.with_coefficients(values).at(point),
    ):
        assert torch.autograd.gradcheck(function, (free,), fast_mode=True)


def test_weights_add_up_to_one() -> None:
    share = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert torch.allclose(cubic_weights(share).sum(dim=-1), torch.ones_like(share))
    assert torch.allclose(cubic_weights(share[:1])[0], torch.tensor([1, 4, 1, 0]).double() / 6)


def smooth_shift(grid: WarpGrid, peak_mm: float, spacing_mm: float = 24.0) -> BSplineDisplacement:
    """A random smooth displacement that is at most so large on a grid."""
    rest = BSplineDisplacement.at_rest(grid.world_from_voxel, grid.shape, spacing_mm)
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(rest.coefficients.shape, generator=generator, dtype=torch.float64)
    field = LatticeOnGrid(rest, grid.world_from_voxel, grid.shape).displacements(values)
    return rest.with_coefficients(values * peak_mm / field.norm(dim=-1).max())


def deformed_frames(
    medium: Medium,
    shift: BSplineDisplacement,
    sweep: VirtualSweep,
    geometry: SweepGeometry,
    spacing_mm: float,
) -> VirtualSweep:
    """The sweep with frames of the deformed medium, speckled, at full resolution and then averaged."""
    grid = WarpGrid.around(sweep, spacing_mm)
    points = grid.points_mm()
    matrix = medium.voxel_from_world
    index = (points + shift.at(points)) @ matrix[:3, :3].T + matrix[:3, 3]
    there = Medium.from_channels(sample_trilinear(medium.channels, index.float()), grid.world_from_voxel)
    lines, samples = 2 * sweep.probe.n_scanlines, 4 * sweep.probe.n_samples
    probe = geometry.probe.with_options(n_scanlines=lines, n_samples=samples)
    settings = RenderSettings(speckle="sampled", seed=77, gain_db=30.0, dynamic_range_db=80.0)
    frames = render(there, probe, sweep.world_from_probe, settings).scanlines
    image = torch.nn.functional.interpolate(frames[None], size=sweep.image.shape[1:], mode="area")[0]
    return replace(sweep, image=image)


def apart_mm(found: BSplineDisplacement, true: BSplineDisplacement, sweep: VirtualSweep) -> Tensor:
    """How far two displacements differ at the samples that count."""
    points = frame_points(sweep.probe, sweep.world_from_probe)[sweep.weights > 0]
    return (found.at(points) - true.at(points)).norm(dim=-1)


@cache
def shifted_scene() -> tuple[Medium, VirtualSweep, BSplineDisplacement]:
    """A tissue, a sweep over it as it lies after a shift of 4 mm, and the shift."""
    medium = tissue()
    ultrasound = swept(medium, torch.eye(4, dtype=torch.float64))
    sweep = VirtualSweep.cut(ultrasound, PROBE, POSE, POSE[:3, 1], SMALL)
    true = smooth_shift(WarpGrid.around(sweep, 1.2), peak_mm=4.0)
    return medium, deformed_frames(medium, true, sweep, GEOMETRY, 1.0), true


def test_known_shift_is_found_without_folding() -> None:
    medium, sweep, true = shifted_scene()
    found = register_deformable(sweep, medium, None, QUICK)
    before = apart_mm(true.with_coefficients(0 * true.coefficients), true, sweep)
    after = apart_mm(found.displacement, true, sweep)
    assert float(before.mean()) > 1
    assert float(after.mean()) < 0.35 * float(before.mean())
    assert not found.folds
    assert found.least_volume > 0.3
    assert found.score > found.initial_score + 0.1
    point = sweep.centre_mm[None]
    assert torch.allclose(found.transform_points(point), point + found.displacement.at(point))
    grid = Volume(torch.zeros(3, 4, 5), placed(origin_mm=tuple(point[0].tolist())))
    field, corner = (
        found.displacement_field(grid),
        grid.world_from_voxel @ torch.tensor([2.0, 3, 4, 1]).double(),
    )
    assert torch.allclose(field[2, 3, 4], found.displacement.at(corner[:3]))


def test_stiffness_holds_the_displacement_straight() -> None:
    medium, sweep, _ = shifted_scene()
    energies = []
    for bending in (0.0, 30.0):
        short = replace(QUICK, spacings_mm=(20.0,), bending=bending, n_steps=8)
        spline = register_deformable(sweep, medium, None, short).displacement
        lattice = LatticeOnGrid(spline, spline.world_from_control, spline.coefficients.shape[:3])
        energies.append(float(lattice.bending_energy(spline.coefficients)))
    assert energies[1] < 0.2 * energies[0]


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(A, B, C, 3\) with A, B and C of 4 or more"):
        BSplineDisplacement(torch.zeros(4, 4, 3, 3), GRID)
    with pytest.raises(ValueError, match="spacing_mm must be"):
        BSplineDisplacement.at_rest(GRID, SHAPE, 0.0)
    with pytest.raises(ValueError, match="axes are not those of the B-spline lattice"):
        LatticeOnGrid(random_spline(), torch.eye(4, dtype=torch.float64), SHAPE)
    with pytest.raises(ValueError, match="spacings_mm is empty"):
        DeformableSettings(spacings_mm=())
    with pytest.raises(ValueError, match="bending"):
        DeformableSettings(bending=-1.0)


@pytest.mark.slow
def test_six_millimetres_of_brain_shift(shared_data: Path) -> None:
    """Case 24 MRI deformed by 6 mm at most, seen with sampled speckle of another seed."""
    folder = shared_data / "resect"
    names = {"cet1": "T1", "flair": "FLAIR"}
    volumes = {c: Volume.load(folder / f"Case24-{n}-inUS-0.5mm.nii.gz") for c, n in names.items()}
    medium = Medium.from_mri(volumes, mask=brain_mask(volumes["cet1"], "cet1"))
    ultrasound = Volume.load(folder / "Case24-US-before-0.5mm.nii.gz")
    geometry = SweepGeometry.found_in(ultrasound)
    probe, at, direction = geometry.probe, geometry.world_from_probe, geometry.sweep_direction
    sweep = VirtualSweep.cut(ultrasound, probe, at, direction)
    true = smooth_shift(WarpGrid.around(sweep, 0.8), peak_mm=6.0)
    found = register_deformable(deformed_frames(medium, true, sweep, geometry, 0.5), medium)
    after = apart_mm(found.displacement, true, sweep)
    assert float(after.mean()) < 1.2
    assert not found.folds


def _shifted(affine: Tensor, voxels: int) -> Tensor:
    moved = affine.clone()
    moved[:3, 3] += affine[:3, :3].sum(dim=1) * voxels
    return moved


@pytest.mark.parametrize(
    ("least", "plausible", "words"),
    [(0.8, True, "at least 80%"), (0.3, False, "not to be believed"), (-0.1, False, "it folds")],
)
def test_a_deformation_that_squeezes_tissue_is_not_believed(
    least: float, plausible: bool, words: str
) -> None:
    spline = BSplineDisplacement.at_rest(GRID, SHAPE, spacing_mm=7.0)
    found = DeformableRegistration(torch.eye(4, dtype=torch.float64), spline, 0.5, 0.4, least, (0.4, 0.5))
    assert found.plausible == plausible
    assert words in found.summary()
