"""What a pose is judged by, against a slow twin, and what it does not see."""

from __future__ import annotations

import math

import pytest
import torch
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium, sampled, target

import diffus
from diffus import RenderSettings
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.registration.objective import RIDGE, UNRELATED, Objective, cost_of
from diffus.registration.stages import Stage

STAGE = Stage(blur_mm=1.5, spacing_mm=2.0, trend_mm=8.0, window_mm=6.0)
PIVOT = pivot_of(sector_points(PROBE))


def _objective(fixed: torch.Tensor, weights: torch.Tensor | None = None, stage: Stage = STAGE) -> Objective:
    ones = torch.ones_like(fixed) if weights is None else weights
    return Objective(fixed, ones, medium(), PROBE, IDENTITY[None], RenderSettings(), stage)


def _gaussian(at: list[float], among: list[float], sigma: float) -> list[list[float]]:
    rows = [[math.exp(-0.5 * ((a - b) / sigma) ** 2) for b in among] for a in at]
    return [[w / sum(row) for w in row] for row in rows]


def _blurred(image: list[list[float]], across: list[list[float]], along: list[list[float]]) -> list:
    lines = [
        [sum(w * image[t][m] for t, w in enumerate(row)) for m in range(len(image[0]))] for row in across
    ]
    return [[sum(w * line[m] for m, w in enumerate(row)) for row in along] for line in lines]


def _slow_standard(image: torch.Tensor, probe: diffus.Probe, fine: diffus.Probe) -> torch.Tensor:
    """The same image by loops over plain numbers: trend, blur to the coarse cells, local contrast, norm."""
    middle = probe.lateral_spacing_mm(probe.sample_depths_mm())[probe.n_samples // 2].item()
    spacing = probe.lateral_spacing_mm(probe.sample_depths_mm())
    depths, fine_depths = probe.sample_depths_mm().tolist(), fine.sample_depths_mm().tolist()
    lines = [s / (probe.n_scanlines - 1) for s in range(probe.n_scanlines)]
    fine_lines = [s / (fine.n_scanlines - 1) for s in range(fine.n_scanlines)]
    width = middle * (probe.n_scanlines - 1)
    trend = _gaussian(fine_depths, fine_depths, STAGE.trend_mm)
    values = image.tolist()
    level = [
        [v - sum(w * u for w, u in zip(row, line, strict=True)) for v, row in zip(line, trend, strict=True)]
        for line in values
    ]
    sigma = max(STAGE.blur_mm, 0.35 * middle) / width
    blurred = _blurred(
        level,
        _gaussian(lines, fine_lines, sigma),
        _gaussian(depths, fine_depths, STAGE.blur_mm),
    )
    area = (spacing / spacing.sum() / probe.n_scanlines).tolist()
    power = [[v * v * a for v, a in zip(line, area, strict=True)] for line in blurred]
    wide = _gaussian(lines, lines, STAGE.window_mm / width), _gaussian(depths, depths, STAGE.window_mm)
    local = _blurred(power, *wide)
    weight = _blurred([area] * len(lines), *wide)
    total = sum(map(sum, power))
    alike = [
        [v / math.sqrt(p / w + RIDGE * total) * math.sqrt(a) for v, p, w, a in zip(*rows, area, strict=True)]
        for rows in zip(blurred, local, weight, strict=True)
    ]
    result = torch.tensor(alike)
    return result / result.norm()


def test_residual_is_that_of_a_slow_twin() -> None:
    fixed = sampled().scanlines
    objective = _objective(fixed)
    at = diffus.pose.perturb(TRUTH, torch.tensor([1.0, -2.0, 1.0, 0.5, 1.0, -0.5]))
    coarse = objective.probe
    rendered = diffus.render(medium(), coarse, at).scanlines[0]
    expected = _slow_standard(rendered, coarse, coarse) - _slow_standard(fixed[0], coarse, PROBE)
    found = objective(at[None]).residual[0].unflatten(0, tuple(expected.shape))
    assert torch.allclose(found, expected, atol=2e-4)


def test_energy_is_least_at_the_truth_along_every_axis() -> None:
    objective = _objective(sampled().scanlines)
    for axis in range(6):
        steps = torch.zeros(5, 6, dtype=torch.float64)
        steps[:, axis] = torch.tensor([-8.0, -2.0, 0.0, 2.0, 8.0])
        energy = objective(moved(TRUTH, steps, PIVOT)).energy
        assert int(energy.argmin()) in (1, 2, 3)  # a turn of 2 deg about the beam is 0.3 mm
        assert float(energy[2]) < 0.3
        assert float(energy[0]) > 1.05 * float(energy[2])
        assert float(energy[-1]) > 1.05 * float(energy[2])


def test_gain_tgc_and_a_shadow_are_hardly_seen() -> None:
    clean = sampled().scanlines.clamp(0.2, 0.8)
    depth = torch.linspace(-1, 1, PROBE.n_samples)
    other = clean + 0.05 + 0.1 * depth
    shadowed = clean.clone()
    shadowed[:, 20:26] -= 0.15
    before = float(_objective(clean)(TRUTH[None]).energy)
    assert float(_objective(other)(TRUTH[None]).energy) == pytest.approx(before, abs=0.06)
    assert float(_objective(shadowed)(TRUTH[None]).energy) == pytest.approx(before, abs=0.06)
    turned = moved(TRUTH, torch.tensor([8.0, 8.0, 0.0, 0.0, 0.0, 0.0]), PIVOT)
    assert float(_objective(clean)(turned[None]).energy) > before + 0.3


def test_what_the_mask_leaves_out_does_not_matter() -> None:
    fixed = sampled().scanlines
    weights = torch.ones_like(fixed)
    weights[:, :, 128:] = 0
    changed = torch.where(weights > 0, fixed, torch.rand_like(fixed))
    energies = [float(_objective(image, weights)(TRUTH[None]).energy) for image in (fixed, changed)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-6)


def test_a_pose_outside_scores_nothing_and_is_not_rendered() -> None:
    away = TRUTH.clone()
    away[:3, 3] += 500
    objective = _objective(sampled().scanlines)
    found = objective(torch.stack([away, TRUTH]))
    assert found.energy.tolist()[0] == 2.0
    assert float(found.seen[0]) == 0
    assert float(found.seen[1]) > 0.9
    assert objective.rendered == 1


def test_a_sector_is_in_the_volume_cell_by_cell_where_its_ends_are_not_all() -> None:
    objective = _objective(sampled().scanlines)
    shifts = torch.zeros(4, 6, dtype=torch.float64)
    shifts[:, 3] = torch.tensor([0.0, 20.0, 30.0, 200.0])  # whole, cut by more and more, and outside
    poses = diffus.pose.perturb(TRUTH, shifts)
    inside = objective._inside(poses)
    probe, volume = objective.probe, medium()
    world = diffus.pose.transform_points(poses, probe.sample_points_mm().flatten(0, 1))
    index = diffus.pose.transform_points(volume.voxel_from_world.expand(4, 4, 4), world)
    last = torch.tensor(volume.shape, dtype=torch.float64) - 1
    expected = ((index >= 0) & (index <= last)).all(dim=-1).unflatten(1, inside.shape[1:])
    shares = expected.double().mean(dim=(1, 2)).tolist()
    assert shares[0] == 1 and 1 > shares[1] > shares[2] > 0 and shares[3] == 0
    assert torch.equal(inside.bool(), expected)


def test_robust_weights_fall_where_residuals_gather() -> None:
    objective = _objective(sampled().scanlines)
    shape = (objective.probe.n_scanlines, objective.probe.n_samples)
    residual = 0.01 * torch.ones(1, *shape)
    residual[:, 2:5, 5:10] = 0.2
    weights = objective.robust_weights(residual.flatten(1)).unflatten(1, shape)[0]
    assert float(weights[3, 7]) < 0.3
    assert float(weights[-2, -2]) > 0.9


def test_a_sweep_stacks_its_frames() -> None:
    places = IDENTITY.repeat(2, 1, 1)
    places[1, 1, 3] = 3.0
    fixed = torch.cat([sampled(TRUTH @ place).scanlines for place in places])
    both = target(fixed, places).objective(STAGE)(TRUTH[None])
    each = [_objective(fixed[n : n + 1])((TRUTH @ places[n])[None]) for n in range(2)]
    mean = sum(float(one.energy) for one in each) / 2
    assert float(both.energy) == pytest.approx(mean, rel=0.1)
    assert both.residual.shape[1] == 2 * each[0].residual.shape[1]


def test_poses_that_see_as_much_are_ranked_by_their_energy() -> None:
    energy = torch.tensor([1.9, 0.3, 1.0, 2.5], dtype=torch.float64)
    for seen in (1.0, 0.4):
        cost = cost_of(energy, torch.full_like(energy, seen))
        assert torch.equal(cost.argsort(), energy.argsort())


def test_cost_is_the_likelihood_of_independent_differences() -> None:
    torch.manual_seed(0)
    energy, seen, cells = 0.7, 0.6, 1000
    noise = torch.randn(round(seen * cells), dtype=torch.float64)
    spread = (energy / UNRELATED) ** 0.5
    alike = torch.distributions.Normal(0.0, spread).log_prob(spread * noise / noise.std(correction=0))
    unrelated = torch.distributions.Normal(0.0, 1.0).log_prob(noise / noise.std(correction=0))
    twice = -2 * float((alike - unrelated).sum())
    cost = cost_of(torch.tensor([energy], dtype=torch.float64), torch.tensor([seen], dtype=torch.float64))
    assert float(cost) * cells == pytest.approx(twice, rel=1e-3)


def test_a_rim_that_resembles_by_chance_does_not_win() -> None:
    energy = torch.tensor([2 - 2 * 0.6, 2 - 2 * 0.4], dtype=torch.float64)
    rim, whole = cost_of(energy, torch.tensor([0.15, 0.95], dtype=torch.float64)).tolist()
    assert whole < rim < 0
    assert float(cost_of(torch.tensor([UNRELATED]), torch.tensor([0.05]))) == 0
