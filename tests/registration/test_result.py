"""A result: written and read back, said in words, drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium, sampled

from diffus.registration import RegistrationResult, SearchOptions, register
from diffus.registration.animation import save_animation
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.registration.pictures import way_down
from diffus.registration.result import _TENSORS, _WORDS
from diffus.registration.uncertainty import in_mm, worst_direction
from diffus.registration.verdict import chance_correlation, tissue_share, verdict_of


@pytest.fixture(scope="module")
def result() -> RegistrationResult:
    start = moved(TRUTH, torch.tensor([1.0, 1, 1, 1, 1, 1]), pivot_of(sector_points(PROBE)))
    return register(sampled(), medium(), initial=start, options=SearchOptions(n_survey=1, n_starts=1))


def test_is_read_back_as_it_was_written(result: RegistrationResult, tmp_path: Path) -> None:
    back = RegistrationResult.load(result.save(tmp_path / "found.npz"))
    for name in _TENSORS:
        assert torch.equal(torch.nan_to_num(getattr(back, name)), torch.nan_to_num(getattr(result, name))), (
            name
        )
    assert all(getattr(back, name) == getattr(result, name) for name in _WORDS)
    assert back.summary() == result.summary()


def test_refuses_what_is_no_registration(result: RegistrationResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        result.save(tmp_path / "found.json")
    with pytest.raises(FileNotFoundError, match="not found"):
        RegistrationResult.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", header=np.array("{}"))
    with pytest.raises(ValueError, match="not a registration file"):
        RegistrationResult.load(tmp_path / "other.npz")
    path = result.save(tmp_path / "cut.npz")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="not a registration file"):
        RegistrationResult.load(path)


def test_pictures_can_be_drawn(result: RegistrationResult, tmp_path: Path) -> None:
    assert isinstance(result.figure(sampled(), medium()), Figure)
    assert len(way_down(result).axes) == 2
    path = save_animation(result, sampled(), medium(), tmp_path / "way.gif")
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) > 2
    with pytest.raises(ValueError, match=r"saved as \.gif"):
        save_animation(result, sampled(), medium(), tmp_path / "way.png")


def test_the_worst_direction_in_words() -> None:
    covariance = torch.diag(torch.tensor([0.01, 0.01, 0.01, 0.04, 4.41, 0.04], dtype=torch.float64))
    assert worst_direction(covariance, 20.0, IDENTITY) == (
        "sliding out of the image plane, towards anterior, 2.1 mm"
    )
    covariance[1, 1] = 100.0
    assert worst_direction(covariance, 20.0, IDENTITY) == "turning in the image plane, 10 deg"


def test_degrees_become_the_millimetres_of_an_arm() -> None:
    scaled = in_mm(torch.eye(6, dtype=torch.float64), 180 / math.pi)
    assert torch.allclose(scaled, torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.9, 0.9, 100.0, [], 0.2, 0.9), "converged"),
        ((0.9, 0.9, 100.0, [40.0], 0.2, 0.9), "converged"),
        ((0.9, 0.9, 100.0, [40.0, 3.0], 0.2, 0.9), "ambiguous"),
        ((0.2, 0.3, 100.0, [], 0.2, 0.9), "ambiguous"),  # chance
        ((0.2, 0.3, 10_000.0, [], 0.2, 0.9), "converged"),
        ((0.2, 0.8, 10_000.0, [], 0.2, 0.9), "ambiguous"),  # hardly alike
        ((0.9, 0.9, 100.0, [], 3.0, 0.9), "ambiguous"),
        ((0.9, 0.9, 100.0, [], 0.2, 0.01), "out_of_view"),
    ],
)
def test_verdicts(arguments, expected) -> None:
    verdict, reason = verdict_of(*arguments)
    assert verdict == expected
    assert reason


def test_chance_reaches_less_where_there_is_more_to_see() -> None:
    assert chance_correlation(20) > chance_correlation(100) > chance_correlation(1000) > 0


def test_tissue_share_counts_the_sector_inside() -> None:
    away = TRUTH.clone()
    away[:3, 3] += 300
    whole = tissue_share(medium(), PROBE, TRUTH[None])
    assert whole > 0.6
    assert tissue_share(medium(), PROBE, away[None]) == 0
    assert tissue_share(medium(), PROBE, torch.stack([TRUTH, away])) == pytest.approx(whole / 2)
