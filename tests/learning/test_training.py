"""Training: it learns, resumes bit for bit, refuses what is not whole, and puts broken cases aside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.learning.paired import GEOMETRIES, SAMPLING, TRUE, Pair, features, hidden, mri, pair, prepared
from tests.learning.scenes import shaken
from tests.support import as_users_run

from diffus import Volume
from diffus.learning import ConvolutionalModel, apply_model, load_card, load_model
from diffus.learning.augmentation import Augmentation
from diffus.learning.checkpoint import Checkpoint, checkpoints_in
from diffus.learning.log import TrainingLog, read_log
from diffus.learning.rendering import learned_levels
from diffus.learning.run import TrainingResult
from diffus.learning.settings import TrainingSettings, TransformPrior
from diffus.learning.training import launched, split, train, train_on
from diffus.registration.motion import moved, pivot_at
from diffus.registration.volume import mean_displacement_mm

QUICK = TrainingSettings(
    contrasts=("t1",),
    steps=6,
    frames_per_step=4,
    learning_rate=0.05,
    sampling=SAMPLING,
    validate_every=3,
    checkpoint_every=3,
    panel_every=0,
    transform=TransformPrior(),
)

STILL = Augmentation(mri_scale=0, mri_bias=0, gain=0, tgc=0, dynamic_range=0)


class Killed(Exception):
    """Stands for a kill: it comes between two steps, whatever was written last."""


def quick(
    out: Path, settings: TrainingSettings = QUICK, kill_after: int | None = None, **options
) -> TrainingResult:
    """Train on the prepared case, held out against itself."""

    def told(what: str, at: int, of: int) -> None:
        if kill_after is not None and at == kill_after:
            raise Killed

    trained, held_out = split([prepared()], settings)
    return train_on(launched(settings), trained, held_out, out, settings, told=told, **options)


def test_with_nothing_held_out_the_last_weights_are_kept(tmp_path: Path) -> None:
    settings = replace(QUICK, validate_every=2, panel_every=6)
    result = train_on(launched(settings), [prepared()], [], tmp_path, settings)
    last = Checkpoint.load(checkpoints_in(tmp_path / "checkpoints")[-1]).tensors
    assert all(torch.equal(values, last[f"model.{name}"]) for name, values in weights_of(result).items())
    assert load_card(result.card).metrics == {}
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["step-0000006.png"]
    assert all("held_out_loss" not in line for line in read_log(tmp_path / "log.jsonl"))


def weights_of(result: TrainingResult) -> dict[str, torch.Tensor]:
    return result.model.state_dict()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    out = tmp_path_factory.mktemp("training")
    return quick(out), out


def test_what_is_written(uninterrupted: tuple[TrainingResult, Path]) -> None:
    result, out = uninterrupted
    lines = read_log(out / "log.jsonl")
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    held_out = [line["held_out_loss"] for line in lines if "held_out_loss" in line]
    assert len(held_out) == 3
    assert result.first_loss == held_out[0]
    assert result.best_loss <= min(held_out) + 1e-3
    assert [path.name for path in checkpoints_in(out / "checkpoints")] == [
        "step-0000003.safetensors",
        "step-0000006.safetensors",
    ]
    card = load_card(out / "model")
    assert card.training["cases"] == ["one"]
    assert card.training["settings"]["sampling"]["n_frames"] == SAMPLING.n_frames
    assert card.metrics["held_out_loss"] == result.best_loss
    back = load_model(result.card).state_dict()
    assert all(torch.equal(back[name], values) for name, values in weights_of(result).items())
    assert set(result.departures) == {"one"}


@pytest.mark.parametrize("kill_after", [2, 3, 4, 5])
def test_a_killed_training_goes_on_to_the_same_bits(
    kill_after: int, uninterrupted: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        quick(tmp_path, kill_after=kill_after)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "los')  # what a kill in the middle of a line leaves
    resumed = quick(tmp_path, resume=True)
    expected, out = uninterrupted
    assert resumed.best_loss == expected.best_loss
    for name, values in weights_of(resumed).items():
        assert torch.equal(values, weights_of(expected)[name]), name
    assert resumed.departures == expected.departures
    last, before = (Checkpoint.load(checkpoints_in(at / "checkpoints")[-1]) for at in (tmp_path, out))
    assert last.step == before.step == 6
    assert all(torch.equal(last.tensors[name], before.tensors[name]) for name in before.tensors)
    assert read_log(tmp_path / "log.jsonl") == read_log(out / "log.jsonl")


def test_another_seed_is_another_training(uninterrupted: tuple[TrainingResult, Path], tmp_path: Path) -> None:
    other = quick(tmp_path, replace(QUICK, seed=1, steps=2))
    last = Checkpoint.load(checkpoints_in(tmp_path / "checkpoints")[-1])
    assert last.step == 2
    assert not torch.equal(last.tensors["model.curves"], weights_of(uninterrupted[0])["curves"])
    assert other.steps == 2


def test_training_lowers_the_loss_and_moves_towards_the_hidden_medium(tmp_path: Path) -> None:
    settings = replace(
        QUICK, steps=30, validate_every=10, frames_per_step=6, transform=None, augmentation=STILL
    )
    result = quick(tmp_path, settings)
    assert result.best_loss < result.first_loss - 0.01
    mri_ = features()
    truth = torch.log(apply_model(hidden(), mri_).backscatter[mri_.inside])
    before = torch.log(mri_.untrained[..., 2][mri_.inside]) - truth
    after = torch.log(apply_model(result.model, mri_).backscatter[mri_.inside]) - truth
    # The overall level is gain, which no frame tells.
    assert float(after.std()) < 0.8 * float(before.std())


def test_wrong_transform_is_refined_with_the_model(tmp_path: Path) -> None:
    """From 1.2 mm off, with the hidden medium known and held."""
    motion = torch.tensor([0.0, 0, 0, 0.8, -0.6, 0.7], dtype=torch.float64)
    case = replace(prepared(), mri_from_ultrasound=moved(TRUE, motion, pivot_at(prepared().pivot_mm)))
    prior = TransformPrior(sigma_mm=1.0, sigma_deg=1.0, weight=1e-4, learning_rate=0.1)
    settings = replace(QUICK, transform=prior, learning_rate=1e-9, steps=25, augmentation=STILL)
    trained, held_out = split([case], settings)
    result = train_on(launched(settings), trained, held_out, tmp_path, settings, model=hidden())
    departure = torch.tensor(result.departures["one"], dtype=torch.float64)
    refined = moved(case.mri_from_ultrasound, departure, pivot_at(case.pivot_mm))
    off = [
        float(mean_displacement_mm(transform, TRUE, pair().ultrasound))
        for transform in (case.mri_from_ultrasound, refined)
    ]
    assert off[0] > 1.1
    assert off[1] < 0.6
    assert result.best_loss < result.first_loss


@pytest.mark.parametrize(
    "changes",
    [{"model": "convolutional", "precision": "bf16-mixed"}, {"loss": "rayleigh"}, {"model": "published"}],
)
def test_other_ways_to_train(changes: dict, tmp_path: Path) -> None:
    result = quick(tmp_path, replace(QUICK, steps=2, learning_rate=None, **changes))
    assert result.steps == 2
    assert result.best_loss <= result.first_loss
    assert all(bool(values.isfinite().all()) for values in weights_of(result).values())


def test_half_precision_hardly_changes_what_networks_say() -> None:
    settings = replace(QUICK, model="convolutional", precision="bf16-mixed")
    model = shaken(ConvolutionalModel(("t1",)), 0.05)
    frames = prepared().frames.chosen(torch.tensor([3]))
    with torch.no_grad():
        halved, plain = (
            learned_levels(model, prepared().mri, frames.sweep.probe, prepared().poses[3:4], autocast)
            for autocast in (launched(settings).autocast(), None)
        )
    apart = (halved - plain)[frames.sweep.weights > 0].abs()
    assert 0 < float(apart.median()) < 0.3


def test_patience_ends_a_training(tmp_path: Path) -> None:
    settings = replace(QUICK, steps=50, validate_every=1, patience=2, learning_rate=1e-9, transform=None)
    result = quick(tmp_path, settings)
    assert result.stopped
    assert result.steps == 2
    again = quick(tmp_path, settings, resume=True)
    assert (again.steps, again.stopped) == (2, True)


def test_damaged_checkpoint_is_refused_by_name_and_the_one_before_offered(tmp_path: Path) -> None:
    quick(tmp_path)
    before, last = checkpoints_in(tmp_path / "checkpoints")
    content = bytearray(last.read_bytes())
    content[-5] ^= 1
    last.write_bytes(content)
    with pytest.raises(ValueError, match=f"{last.name} cannot be used .*damaged.*before it: .*{before.name}"):
        quick(tmp_path, resume=True)
    last.write_bytes(content[:100])
    with pytest.raises(ValueError, match=f"{last.name} cannot be used .*before it: .*{before.name}"):
        quick(tmp_path, resume=True)
    assert quick(tmp_path, resume=before).steps == 6
    before.write_bytes(b"")
    with pytest.raises(ValueError, match="there is none before it: start anew"):
        Checkpoint.load(before)


def test_panel_is_drawn(tmp_path: Path) -> None:
    quick(tmp_path, replace(QUICK, steps=2, panel_every=2))
    (panel,) = (tmp_path / "panels").glob("*.png")
    assert panel.name == "step-0000002.png"
    assert panel.stat().st_size > 20_000


def test_broken_cases_are_put_aside_and_said(tmp_path: Path) -> None:
    nan = torch.zeros(30, 30, 30)
    broken = Pair("two", Volume(nan, mri().world_from_voxel), {"t1": mri()})
    other = Pair("three", pair().ultrasound, {"flair": mri()})
    settings = replace(QUICK, steps=1, validate_every=1)
    result = train([broken, pair(), other], tmp_path, settings, geometries=GEOMETRIES)
    assert set(result.refused) == {"two", "three"}
    assert "constant" in result.refused["two"]
    assert "has flair, the model reads t1" in result.refused["three"]
    assert load_card(result.card).training["refused"] == dict(result.refused)
    with pytest.raises(ValueError, match=r"holds a training: resume it \(--resume\)"):
        train([pair()], tmp_path, settings, geometries=GEOMETRIES)
    with pytest.raises(ValueError, match=r"of other settings \(learning_rate differ\)"):
        train([pair()], tmp_path, replace(settings, learning_rate=0.1), geometries=GEOMETRIES, resume=True)
    more = train(
        [broken, pair(), other], tmp_path, replace(settings, steps=2), geometries=GEOMETRIES, resume=True
    )
    assert more.steps == 2
    with pytest.raises(ValueError, match=r"no case can be trained on \(two: .*constant"):
        train([broken], tmp_path / "other", settings, geometries=GEOMETRIES)


def test_cases_are_held_out_whole_where_there_are_several() -> None:
    cases = [replace(prepared(), name=name) for name in "abcde"]
    trained, held_out = split(cases, replace(QUICK, validation_share=0.4))
    names = {case.name for case in trained}, {held.case.name for held in held_out}
    assert names[0] | names[1] == set("abcde")
    assert len(names[1]) == 2
    alone, part = split(cases[:1], QUICK)
    assert float(alone[0].frames.place.max()) < 0.8 <= float(part[0].case.frames.place.min())


def test_settings_from_json() -> None:
    content = json.loads(json.dumps(QUICK.to_dict()))
    assert TrainingSettings.from_dict(content) == QUICK
    few = TrainingSettings.from_dict(
        {"steps": 3, "sampling": {"n_frames": 5}, "transform": {"sigma_mm": 2.0}}
    )
    assert (few.steps, few.sampling.n_frames, few.transform) == (3, 5, TransformPrior(sigma_mm=2.0))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"step": 3}, "unknown training setting 'step': expected one of 'model'"),
        ({"sampling": {"frames": 3}}, "unknown sampling setting 'frames'"),
        ({"sampling": 3}, "expected an object of sampling settings, got 3"),
        ({"steps": 0}, "steps must lie in"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"steps": "many"}, "steps must be a number"),
        ({"loss": "mse"}, "unknown loss 'mse'"),
        ({"model": "unet"}, "unknown kind of tissue model"),
        ({"contrasts": ["pd"]}, "unknown contrast 'pd'"),
        ({"precision": "16"}, "unknown precision"),
        ({"transform": {"sigma_mm": 0}}, "sigma_mm must be a finite number above 0"),
    ],
)
def test_refuses_settings(content: dict, message: str) -> None:
    with as_users_run(), pytest.raises(ValueError, match=message):
        TrainingSettings.from_dict(content)


def test_log_survives_a_cut_line(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")
    log.write(step=1, loss=0.5)
    log.write(step=2, loss=0.4)
    with log.path.open("a") as file:
        file.write('{"step": 3')
    assert [line["step"] for line in read_log(log.path)] == [1, 2]
    TrainingLog(log.path, from_step=1)
    assert read_log(log.path) == [{"step": 1, "loss": 0.5}]
    assert read_log(tmp_path / "none") == []
