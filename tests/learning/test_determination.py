"""What frames determine: information against simulated speckle, levels that stay open, and refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from benchmarks.learned.boundaries import recover_steps
from tests.learning.paired import features, hidden

from diffus import ConvexProbe, Medium, RenderSettings, pose
from diffus.imaging.formation import resampled
from diffus.learning import ConvolutionalModel, VoxelModel, determined
from diffus.learning.case import TrainingCase
from diffus.learning.determination import LEVELS, TOLERANCE_PERCENT, Determination
from diffus.learning.frames import VirtualFrames
from diffus.learning.information import (
    Levelled,
    covariance_of,
    frame_information,
    log_mean_slopes,
    looks_per_sample,
    penalty_bend,
)
from diffus.learning.loss import RayleighLikelihood
from diffus.learning.rendering import learned_levels
from diffus.pose import transform_points
from diffus.registration.virtual_sweep import VirtualSweep
from diffus.render import render

KNOWN = RayleighLikelihood(decibel_per_grey=1.0)
PROBE = resampled(ConvexProbe(radius_mm=20, field_of_view_deg=60, depth_mm=40, frequency_mhz=6), 32, 64)


@cache
def case(count: int = 4) -> TrainingCase:
    """Frames of the three tissues from several sides; their grey values do not count."""
    generator = torch.Generator().manual_seed(2)
    directions = torch.randn(count, 3, generator=generator, dtype=torch.float64)
    middle = transform_points(features().world_from_voxel, torch.full((1, 3), 19.5).double())[0]
    entries = middle - 24 * directions / directions.norm(dim=1, keepdim=True)
    poses = torch.stack([pose.look_at(entry, middle) for entry in entries])
    shape = torch.zeros(count, PROBE.n_scanlines, PROBE.n_samples)
    frames = VirtualFrames(VirtualSweep(PROBE, poses, shape, shape + 1), torch.linspace(0, 1, count))
    return TrainingCase("one", features(), frames, torch.eye(4, dtype=torch.float64), middle)


def model() -> VoxelModel:
    made = hidden()
    assert isinstance(made, VoxelModel)
    return made


@cache
def told() -> Determination:
    return determined(model(), [case()], loss=KNOWN)


@pytest.mark.parametrize("known_range", [True, False])
def test_information_is_the_inverse_covariance_of_what_the_likelihood_finds(known_range: bool) -> None:
    """Over 1000 frames of speckle, each fitted on its own."""
    generator = torch.Generator().manual_seed(0)
    lines, samples, count = 16, 24, 1000
    slopes = torch.randn(2, lines, samples, generator=generator, dtype=torch.float64)
    log_mean = torch.randn(lines, samples, generator=generator, dtype=torch.float64)
    looks = torch.ones(lines, samples, dtype=torch.float64)
    looks[:, :4] = 0
    loss = RayleighLikelihood(3, decibel_per_grey=1.0 if known_range else None)
    if not known_range:
        slopes[1] = 0.5 * slopes[1] + log_mean  # hardly told from a stretched grey scale
    information = frame_information(log_mean, slopes, looks, loss, steady_gain=True)

    unit = torch.rand(count, lines, samples, generator=generator, dtype=torch.float64)
    per_neper = 10 / torch.log(torch.tensor(10.0, dtype=torch.float64))
    seen = per_neper * (log_mean + torch.log(-torch.log(unit)))
    found = torch.zeros(count, 2, dtype=torch.float64)
    for _ in range(5):  # Fisher scoring
        found.requires_grad_()
        rendered = per_neper * (log_mean + torch.einsum("fp,psn->fsn", found, slopes))
        total = (loss(rendered, seen, looks.expand_as(seen)) * looks.sum()).sum()
        (slope,) = torch.autograd.grad(total, found)
        found = found.detach() - slope @ torch.linalg.inv(information)
    measured = torch.cov(found.T)
    whitened = torch.linalg.cholesky(information).mT
    assert torch.allclose(whitened @ measured @ whitened.mT, torch.eye(2).double(), atol=0.15)


def test_looks_are_those_of_rendered_speckle() -> None:
    """The sum over lags of the correlation of intensities in uniform tissue."""
    probe = resampled(PROBE, 48, 80)
    uniform = torch.full((3, 3, 3), 1.0)
    affine = torch.diag(torch.tensor([60.0, 60, 60, 1], dtype=torch.float64))
    affine[:3, 3] = -60
    medium = Medium(1.5 * uniform, 0 * uniform, 0.003 * uniform, affine)
    at = pose.look_at((0, 0, -20), (0, 0, 0))
    settings = RenderSettings(speckle="sampled", noise_db=None)
    images = [render(medium, probe, at, settings.with_options(seed=seed)).envelope for seed in range(16)]
    deviation = torch.cat(images).double() ** 2
    deviation = deviation / deviation.mean(dim=(0, 1), keepdim=True) - 1
    lines, samples = slice(8, 40), slice(30, 60)
    middle, alike = deviation[:, lines, samples], torch.zeros(30, dtype=torch.float64)
    for line in range(-7, 8):
        for sample in range(-3, 4):
            beside = deviation.roll((line, sample), (1, 2))[:, lines, samples]
            alike += (middle * beside).mean(dim=(0, 1))
    expected = 1 / looks_per_sample(probe)[20, samples]
    assert float(alike.mean()) == pytest.approx(float(expected.mean()), rel=0.15)


def test_slopes_are_those_of_differences() -> None:
    poses, step = case().poses[:1], 1e-6
    _, slopes = log_mean_slopes(model(), features(), PROBE, poses)
    place = 4  # a knot that the frames show, at 0.75
    for channel in range(3):
        rendered = []
        for sign in (-1, 1):
            moved = model().double()
            with torch.no_grad():
                moved.curves[0, place, channel] += sign * step
            doubled = replace(
                features(),
                **{n: getattr(features(), n).double() for n in ("intensities", "edges", "untrained")},
            )
            with torch.no_grad():
                rendered.append(learned_levels(moved, doubled, PROBE, poses))
        expected = (rendered[1] - rendered[0]) / (2 * step) * math.log(10) / 10
        assert float(expected.abs().max()) > 0
        assert torch.allclose(slopes[3 * place + channel], expected, atol=1e-4)


def test_gain_levels_and_attenuation_leave_frames_as_they_are_but_for_the_scanner() -> None:
    """Each level of the medium changes frames as gain, TGC or nothing does, to a share of a per cent."""
    levelled = Levelled(model())
    rendered = {}
    for number, moved in enumerate((None, 0.2, 0.2, 0.2)):
        with torch.no_grad():
            levelled.levels.zero_()
            if moved is not None:
                levelled.levels[number - 1] = moved
            rendered[number] = learned_levels(levelled, features(), PROBE, case().poses)
    bright = rendered[0] > -45  # far above the noise
    change = [(rendered[number] - rendered[0])[bright] for number in (1, 2, 3)]
    assert float(change[0].abs().max()) < 0.01
    depth = PROBE.sample_depths_mm().float().expand_as(bright)[bright]
    fitted = (change[1] @ depth) / (depth @ depth) * depth
    assert float((change[1] - fitted).std()) < 0.02 * float(fitted.abs().max())
    assert float(change[2].std()) < 0.02 * float(change[2].mean())


def test_levels_are_open_and_differences_are_determined() -> None:
    said = told()
    assert set(LEVELS.values()) <= set(said.undetermined)
    for channel, sigma in said.level_sigma.items():
        assert sigma > 3 * TOLERANCE_PERCENT[channel]
    # Grey and white matter, of which there is much.
    for channel in ("attenuation", "backscatter"):
        curve = said.curve(channel)
        grey_and_white = (curve.intensity > 0.7) & (curve.intensity < 1.0)
        assert bool(curve.determined[grey_and_white].all()), curve
    assert said.step_sigma_percent("backscatter", 0.75, 0.95) < 5
    text = said.summary()
    assert "attenuation over t1: median" in text and "open: mean attenuation: TGC" in text


def test_steps_of_impedance_have_gain_for_a_factor() -> None:
    given, free = (
        told().step_sigma_percent("impedance", 0.75, 0.95, levels=levels) for levels in (True, False)
    )
    assert given < 0.2 * free
    assert free == pytest.approx(told().level_sigma["backscatter"], rel=0.3)


def test_standard_deviations_shrink_as_one_over_the_root_of_frames() -> None:
    four = determined(model(), [case()] * 4, loss=KNOWN)
    assert torch.allclose(four.information, 4 * told().information)
    for channel in ("attenuation", "backscatter", "impedance"):
        once, more = (said.step_sigma_percent(channel, 0.75, 0.95) for said in (told(), four))
        assert more / once == pytest.approx(0.5, abs=0.04), channel
    looks = [determined(model(), [case()], loss=KNOWN, looks=number).information for number in (0.25, 1.0)]
    assert torch.allclose(4 * looks[0], looks[1])


def test_an_unknown_range_never_tells_more() -> None:
    unknown = determined(model(), [case()])
    difference = told().information - unknown.information
    assert float(torch.linalg.eigvalsh(difference).min()) > -1e-6 * float(difference.diagonal().max())
    assert bool((unknown.curve("backscatter").sigma >= told().curve("backscatter").sigma).all())


def test_penalty_is_kept_apart() -> None:
    assert bool((told().curve("backscatter").held_sigma <= told().curve("backscatter").sigma).all())
    bend = penalty_bend(model())
    weights = torch.cat([values.flatten() for values in (*model().parameters(), torch.zeros(3))]).double()
    assert (weights @ bend @ weights / 2).item() == pytest.approx(model().penalty().item(), rel=1e-5)
    assert torch.equal(told().covariance, covariance_of(told().information))


def test_a_contrast_that_no_case_has_is_not_judged_and_one_that_some_lack_is() -> None:
    both = VoxelModel(("t1", "t2"))
    said = determined(both, [case()], loss=KNOWN)
    assert {curve.contrast for curve in said.curves} == {"t1"}
    assert set(LEVELS.values()) <= set(said.undetermined)
    with pytest.raises(ValueError, match="unknown contrast 't2': expected one of 't1'"):
        said.curve("impedance", "t2")


def outside() -> TrainingCase:
    blind = replace(case().frames.sweep, weights=torch.zeros_like(case().frames.sweep.weights))
    return replace(case(), frames=VirtualFrames(blind, case().frames.place))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": ConvolutionalModel(("t1",))}, "expected a VoxelModel.*got a ConvolutionalModel"),
        ({"model": VoxelModel(("t2",))}, "this voxel model reads t2, got t1"),
        ({"cases": []}, "no case given"),
        ({"cases": [outside()]}, "no sample of one that counts lies in the brain"),
        ({"penalty": -1.0}, "penalty must be a finite number, 0 or above, got -1"),
        ({"looks": 0.0}, "looks must be a finite number above 0"),
        ({"tolerance_percent": {"impedance": 1.0}}, "expected impedance, attenuation.*got impedance"),
        ({"tolerance_percent": TOLERANCE_PERCENT | {"backscatter": -5.0}}, "backscatter must be"),
    ],
)
def test_refusals(arguments: dict, words: str) -> None:
    given = {"model": model(), "cases": [case()]} | arguments
    with pytest.raises(ValueError, match=words):
        determined(given.pop("model"), given.pop("cases"), **given)


def test_what_was_not_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown channel 'speed': expected one of 'impedance'"):
        told().curve("speed")
    with pytest.raises(ValueError, match=r"frames show t1 intensities from .* got 1\.4: ask within"):
        told().step_sigma_percent("impedance", 0.75, 1.4)


@pytest.mark.slow
def test_hidden_steps_of_impedance_are_found_within_ten_percent() -> None:
    """Their common factor is gain: it is taken from the backscatter, and stays open otherwise."""
    for step in recover_steps(240):
        assert abs(step.error("before", gain_free=True)) > 0.5
        assert abs(step.error("found", gain_free=True)) < 0.1
        assert abs(step.error("found", gain_free=True)) < 4 * step.sigma
        assert step.sigma_free > 0.1
