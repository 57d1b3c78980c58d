"""Averaging down and sampling up: exact on what is linear, and seamless by slabs."""

from __future__ import annotations

import torch
from tests.support import placed

from diffus import Volume
from diffus.segmentation.grid import average_down, coarsening_factors, sample_up, sample_up_mask


def ramp(volume_shape: tuple[int, int, int], affine: torch.Tensor) -> Volume:
    """World coordinates summed, which is linear in the index."""
    axes = [torch.arange(n, dtype=torch.float64) for n in volume_shape]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return Volume((index @ affine[:3, :3].T + affine[:3, 3]).sum(dim=-1), affine)


def test_factors_go_to_the_nearest_spacing_and_fit_the_volume() -> None:
    volume = Volume(torch.zeros(40, 40, 2), placed((0.7, 1.5, 0.5)))
    assert coarsening_factors(volume, 2.0) == (3, 1, 2)


def test_averages_lie_where_their_affine_says() -> None:
    volume = ramp((13, 9, 8), placed(left_handed=True))
    coarse = average_down(volume, (3, 2, 4))
    assert coarse.shape == (4, 4, 2)
    expected = ramp(coarse.shape, coarse.world_from_voxel).data
    assert torch.allclose(coarse.data.double(), expected, atol=1e-4)


def test_sampling_up_gives_a_linear_image_back_between_the_coarse_centres() -> None:
    volume = ramp((12, 9, 8), placed())
    factors = (3, 3, 2)
    up = sample_up(average_down(volume, factors).data, factors, volume.shape, 0, 12)
    inner = (slice(1, 11), slice(1, 8), slice(1, 7))
    assert torch.allclose(up[inner].double(), volume.data[inner], atol=1e-4)


def test_slabs_join_without_a_seam() -> None:
    coarse, shape, factors = torch.rand(5, 4, 6), (17, 8, 13), (3, 2, 2)
    whole = sample_up(coarse, factors, shape, 0, 17)
    slabs = torch.cat([sample_up(coarse, factors, shape, a, min(a + 4, 17)) for a in range(0, 17, 4)])
    assert torch.equal(whole, slabs)
    assert torch.equal(sample_up_mask(coarse, factors, shape, 0.4), whole > 0.4)


def test_a_reader_takes_the_place_of_the_data() -> None:
    volume = Volume(torch.arange(64).reshape(4, 4, 4), placed())
    doubled = average_down(volume, (2, 2, 2), lambda start, stop: 2 * volume.data[start:stop])
    assert torch.equal(doubled.data, 2 * average_down(volume, (2, 2, 2)).data)
