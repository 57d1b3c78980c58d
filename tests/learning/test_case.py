"""Virtual frames and prepared cases: what they hold, where they lie, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.learning.paired import (
    CENTRE,
    IDENTITY,
    SAMPLING,
    TRUE,
    Pair,
    features,
    hidden,
    mri,
    pair,
    prepared,
)
from tests.learning.scenes import shaken
from tests.registration.phantom_sweep import GEOMETRY

from diffus import Medium, RenderSettings, Volume
from diffus.learning import ConvolutionalModel, TissueModel, VoxelModel, apply_model
from diffus.learning.augmentation import Augmentation
from diffus.learning.case import TrainingCase
from diffus.learning.frames import FrameSampling, cut_frames
from diffus.learning.rendering import box_around, learned_levels, levels_db
from diffus.registration.rendered_sweep import FLOOR_DB
from diffus.registration.virtual_sweep import frame_points
from diffus.render import render
from diffus.similarity import NCC


def test_frames_hold_what_the_ultrasound_holds_there() -> None:
    frames = prepared().frames
    sweep = frames.sweep
    points = frame_points(sweep.probe, sweep.world_from_probe)
    counted = sweep.weights > 0
    expected = pair().ultrasound.sample(points).float()
    assert torch.allclose(sweep.image[counted], expected[counted], atol=1e-3)
    assert len(frames) == len(frames.place) <= 2 * SAMPLING.n_frames
    straight = frames.sweep.world_from_probe[: SAMPLING.n_frames // 2]
    assert torch.allclose(straight[:, :3, :3], GEOMETRY.world_from_probe[:3, :3].expand(len(straight), 3, 3))
    tilted = sweep.world_from_probe[-1, :3, :3].T @ GEOMETRY.world_from_probe[:3, :3]
    assert 0.9 < float(tilted.trace() - 1) / 2 < 0.99999


def test_places_run_along_the_sweep() -> None:
    frames = prepared().frames
    along = (frames.sweep.world_from_probe[:, :3, 3] - CENTRE) @ GEOMETRY.sweep_direction
    assert float(torch.corrcoef(torch.stack([along, frames.place]))[0, 1]) > 0.95
    first, second = frames.between(0, 0.5), frames.between(0.5, 1.01)
    assert len(first) + len(second) == len(frames)
    assert float(first.place.max()) < 0.5 <= float(second.place.min())


def test_same_seed_same_frames() -> None:
    one, other = (cut_frames(pair().ultrasound, GEOMETRY, SAMPLING, seed=4) for _ in range(2))
    assert torch.equal(one.sweep.image, other.sweep.image)
    third = cut_frames(pair().ultrasound, GEOMETRY, SAMPLING, seed=5)
    assert not torch.equal(one.sweep.world_from_probe[-1], third.sweep.world_from_probe[-1])


def test_hidden_medium_renders_what_the_case_shows() -> None:
    """Frames of the sweep's sampled speckle against the expected image of the medium it was made from."""
    case = prepared()
    sweep = case.frames.sweep
    scores = []
    for transform in (TRUE, IDENTITY):
        with torch.no_grad():
            levels = learned_levels(hidden(), features(), sweep.probe, transform @ sweep.world_from_probe)
        scores.append(float(NCC()(levels, sweep.image, sweep.weights).mean()))
    assert scores[0] > 0.5
    assert scores[0] > scores[1] + 0.1


def test_a_case_comes_back_from_its_file(tmp_path: Path) -> None:
    prepared().save(tmp_path / "case.safetensors")
    back = TrainingCase.load(tmp_path / "case.safetensors")
    assert (back.name, back.mri.contrasts) == ("one", ("t1",))
    assert torch.equal(back.poses, prepared().poses)
    assert torch.equal(back.mri.untrained, prepared().mri.untrained)
    assert torch.equal(back.frames.sweep.image, prepared().frames.sweep.image)
    assert back.frames.sweep.probe == prepared().frames.sweep.probe
    assert torch.equal(back.pivot_mm, prepared().pivot_mm)


@pytest.mark.parametrize(
    "model", [VoxelModel(("t1",)), ConvolutionalModel(("t1",), width=3)], ids=lambda model: model.kind
)
def test_touched_voxels_and_crops_render_as_the_whole_does(model: TissueModel) -> None:
    shaken(model, 0.3)
    case = prepared()
    frames = case.frames.chosen(torch.tensor([1, 6]))
    poses = case.mri_from_ultrasound @ frames.sweep.world_from_probe
    whole = levels_db(apply_model(model, features()), frames.sweep.probe, poses)
    box = box_around(case.mri, frames.sweep.probe, poses, margin_voxels=model.reach_voxels + 1)
    with torch.no_grad():
        part = learned_levels(model, case.mri.crop(box), frames.sweep.probe, poses)
    assert case.mri.crop(box).inside.numel() < 0.9 * features().inside.numel()
    counted = frames.sweep.weights > 0
    assert torch.allclose(part[counted], whole[counted], atol=2e-2)
    assert float((part - whole)[counted].abs().median()) < 1e-4


def test_levels_are_those_of_the_intensity_and_fade_into_noise() -> None:
    case = prepared()
    at, probe = case.poses[3:4], case.frames.sweep.probe
    medium = apply_model(hidden(), features())
    settings = RenderSettings(propagation="primary", noise_db=None, tgc_db_per_cm=0.0)
    power = 10 ** (levels_db(medium, probe, at, settings) / 10) - 10 ** (FLOOR_DB / 10)
    assert torch.allclose(power.sqrt(), render(medium, probe, at, settings).envelope, rtol=1e-3, atol=3e-6)
    dark = Medium(
        medium.impedance * 0 + 1.5, medium.attenuation, medium.backscatter * 0, medium.world_from_voxel
    )
    assert torch.allclose(levels_db(dark, probe, at), torch.tensor(FLOOR_DB), atol=1e-2)


def test_gradient_reaches_weights_and_poses() -> None:
    case, model = prepared(), VoxelModel(("t1",))
    frames = case.frames.chosen(torch.tensor([2]))
    poses = (case.mri_from_ultrasound @ frames.sweep.world_from_probe).requires_grad_()
    levels = learned_levels(model, case.mri, frames.sweep.probe, poses)
    levels[frames.sweep.weights > 0].sum().backward()
    assert poses.grad is not None and float(poses.grad[:, :3].abs().max()) > 0
    assert model.curves.grad is not None and model.edge.grad is not None
    assert float(model.curves.grad[0, :, 2].abs().max()) > 0
    assert float(model.edge.grad.abs().max()) > 0


def test_receive_field_is_the_same_on_a_crop() -> None:
    augmentation = Augmentation(mri_scale=0.2, mri_bias=0.3)

    def field(box: tuple[slice, slice, slice] | None) -> torch.Tensor:
        part = features() if box is None else features().crop(box)
        return augmentation.receive_field(part, CENTRE, torch.Generator().manual_seed(3))

    box = (slice(4, 12), slice(7, 20), slice(9, 30))
    assert torch.allclose(field(None)[:, *box], field(box), rtol=1e-6)
    spread = torch.log(field(None))
    assert 0.01 < float(spread.std()) < 1
    brighter = features().brightened(torch.full_like(features().intensities, 2.0))
    assert torch.allclose(brighter.edges, 4 * features().edges)


def test_scanner_augmentation_is_affine_with_depth() -> None:
    image = torch.rand(2, 12, 20)
    changed = Augmentation().scanner(image, torch.Generator().manual_seed(1))
    ratio = (changed[0, 1:] - changed[0, :1]) / (image[0, 1:] - image[0, :1])
    assert torch.allclose(ratio, ratio.flatten()[0].expand_as(ratio), rtol=1e-2)
    assert not torch.allclose(changed, image, atol=1e-2)
    none = Augmentation(mri_scale=0, mri_bias=0, gain=0, tgc=0, dynamic_range=0)
    assert torch.equal(none.scanner(image, torch.Generator()), image)


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"case one has t1, the model reads t2: leave the case out"):
        TrainingCase.prepare(pair(), ("t2",), SAMPLING, GEOMETRY)
    away = IDENTITY.clone()
    away[:3, 3] = 200
    with pytest.raises(
        ValueError, match=r"0 % of the ultrasound lies in the brain of the MRI, expected 30 %"
    ):
        TrainingCase.prepare(replace(pair(), mri_from_ultrasound=away), ("t1",), SAMPLING, GEOMETRY)
    empty = Volume(torch.zeros(30, 30, 30), mri().world_from_voxel)
    with pytest.raises(ValueError, match=r"constant \(0\)"):
        TrainingCase.prepare(Pair("one", empty, {"t1": mri()}), ("t1",), SAMPLING, GEOMETRY)
    with pytest.raises(ValueError, match="has no frame from 2 to 3"):
        prepared().part(2, 3)
    with pytest.raises(ValueError, match="n_frames"):
        FrameSampling(n_frames=0)
    with pytest.raises(ValueError, match="Augmentation: gain must lie in"):
        Augmentation(gain=-1)
