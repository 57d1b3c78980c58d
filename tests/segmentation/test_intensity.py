"""Bias field and scale, against fields that were put on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.segmentation.phantoms import phantom
from tests.support import placed

from diffus import Volume
from diffus.segmentation.intensity import fit_normalisation, spread_over


def field_over(volume: Volume, amplitude: float) -> torch.Tensor:
    """A smooth logarithmic field, tilted and bowed."""
    x, y, z = (torch.linspace(-1, 1, n) for n in volume.shape)
    return amplitude * (x[:, None, None] - 0.6 * y[None, :, None] + z[None, None, :] ** 2)


def residual(volume: Volume, mask: torch.Tensor, field: torch.Tensor) -> float:
    """Share of the field's spread that correction leaves, next to the correction of the plain volume."""
    shape = volume.shape
    fits = [
        fit_normalisation(Volume(v, volume.world_from_voxel), Volume(mask, volume.world_from_voxel)).planes(
            Volume(v, volume.world_from_voxel), 0, shape[0]
        )
        for v in (volume.data, volume.data * field.exp())
    ]
    signal = mask & (volume.data > 0.2 * volume.data[mask].median())
    left = (fits[1] / fits[0]).clamp_min(1e-6).log()[signal]
    return float(left.std() / field[signal].std())


def test_a_field_on_a_phantom_is_found() -> None:
    brain = phantom(head=False)
    mask = brain.brain > 0.5
    volume = brain.mri("t1", noise=0.02)
    assert residual(volume, mask, field_over(volume, 0.25)) < 0.3


def test_a_field_on_a_real_head_is_found(shared_data: Path) -> None:
    from diffus.segmentation.brain import brain_mask
    from diffus.segmentation.grid import average_down

    volume = Volume.load(shared_data / "mri" / "ch2_colin27_T1_1mm.nii.gz")
    mask = average_down(brain_mask(volume), (2, 2, 2)).data > 0.5
    volume = average_down(volume, (2, 2, 2))
    assert residual(volume, mask, field_over(volume, 0.25)) < 0.3


def test_the_brightest_tissue_becomes_one_and_zero_stays() -> None:
    brain = phantom(head=False)
    volume = brain.mri("t1")
    mask = Volume(brain.brain > 0.99, volume.world_from_voxel)
    scaled = fit_normalisation(volume, mask).planes(volume, 0, volume.shape[0])
    assert scaled[brain.fractions["white_matter"] == 1].median().item() == pytest.approx(1, abs=0.05)
    assert scaled[brain.brain == 0].abs().max().item() == 0


def test_small_pieces_keep_their_intensities() -> None:
    volume = Volume(torch.rand(40, 40, 40) + 1, placed((1.0, 1.0, 1.0)))
    fit = fit_normalisation(volume, Volume(torch.ones(40, 40, 40, dtype=torch.bool), volume.world_from_voxel))
    assert bool((fit.log_bias == 0).all())


def test_chosen_voxels_agree_with_planes() -> None:
    brain = phantom(head=False)
    volume = brain.mri("t1", bias=0.2)
    mask = Volume(brain.brain > 0.5, volume.world_from_voxel)
    fit = fit_normalisation(volume, mask)
    chosen = spread_over(mask.data, 500)
    planes = fit.planes(volume, 0, volume.shape[0])
    assert 250 < len(chosen) <= 500
    assert bool(mask.data[chosen.unbind(1)].all())
    assert torch.allclose(fit.at(volume, chosen), planes[chosen.unbind(1)], atol=1e-5)


@pytest.mark.parametrize(
    ("fill", "message"),
    [(5.0, "constant"), (None, "no positive signal")],
)
def test_volumes_without_contrast_are_refused(fill: float | None, message: str) -> None:
    data = -torch.rand(20, 20, 20) if fill is None else torch.full((20, 20, 20), fill)
    mask = Volume(torch.ones(20, 20, 20, dtype=torch.bool), placed())
    with pytest.raises(ValueError, match=message):
        fit_normalisation(Volume(data, placed()), mask)


def test_an_empty_mask_is_refused() -> None:
    volume = Volume(torch.rand(20, 20, 20), placed())
    with pytest.raises(ValueError, match="mask is empty"):
        fit_normalisation(volume, Volume(torch.zeros(20, 20, 20, dtype=torch.bool), placed()))
