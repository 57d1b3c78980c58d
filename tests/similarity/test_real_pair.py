"""A real brain: RESECT Case 24, MRI and ultrasound as they stand, 1.1 mm apart by expert landmarks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from diffus import Volume
from diffus.similarity import LC2, MIND, NCC, MultiScale, Similarity

MARGIN = 20
"""Voxels of 0.5 mm left free around the compared block."""


def volume(folder: Path, name: str) -> Tensor:
    return Volume.load(folder / f"Case24-{name}-0.5mm.nii.gz").data.float()


def scores_by_shift(
    folder: Path, contrast: str, measure: Similarity, steps: int
) -> tuple[float, list[float]]:
    """Where the volumes stand, and moved by so many voxels along each axis, either way."""
    anatomy, ultrasound = volume(folder, f"{contrast}-inUS"), volume(folder, "US-before")
    inner = [slice(MARGIN, size - MARGIN) for size in ultrasound.shape]
    fixed = ultrasound[tuple(inner)][None]
    shifts = [
        (0, 0, 0),
        *(tuple(sign * steps * (k == axis) for k in range(3)) for axis in range(3) for sign in (-1, 1)),
    ]
    blocks = [tuple(slice(s.start + d, s.stop + d) for s, d in zip(inner, by, strict=True)) for by in shifts]
    scores = [float(measure(anatomy[block][None], fixed, fixed > 0)) for block in blocks]
    return scores[0], scores[1:]


@pytest.mark.parametrize("contrast", ["T1", "FLAIR"])
@pytest.mark.parametrize(
    "measure",
    [LC2(), LC2(window=15), MultiScale(LC2(), levels=(0, 1))],
    ids=["LC2", "wide LC2", "two levels"],
)
def test_lc2_falls_off_in_every_direction(shared_data: Path, contrast: str, measure: Similarity) -> None:
    aligned, moved = scores_by_shift(shared_data / "resect", contrast, measure, steps=10)
    assert aligned > 1.2 * max(moved)


@pytest.mark.parametrize("contrast", ["T1", "FLAIR"])
def test_mind_prefers_the_true_place(shared_data: Path, contrast: str) -> None:
    aligned, moved = scores_by_shift(shared_data / "resect", contrast, MIND(), steps=10)
    assert aligned > max(moved)


@pytest.mark.parametrize("contrast", ["T1", "FLAIR"])
def test_plain_correlation_prefers_a_wrong_place(shared_data: Path, contrast: str) -> None:
    """Why the others are there."""
    aligned, moved = scores_by_shift(shared_data / "resect", contrast, NCC(), steps=10)
    assert aligned < max(moved)


def test_gradient_on_real_data_is_finite(shared_data: Path) -> None:
    """Ultrasound is exactly zero outside its fan: windows and patches without any contrast."""
    moving, fixed = (
        volume(shared_data / "resect", name)[None, 30:60] for name in ("FLAIR-inUS", "US-before")
    )
    moving.requires_grad_()
    for measure in (LC2(), MIND()):
        (gradient,) = torch.autograd.grad(measure(moving, fixed).sum(), moving)
        assert torch.isfinite(gradient).all() and gradient.any()
