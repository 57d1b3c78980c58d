"""Volume: what it refuses, where its voxels are, and how it is sampled, resampled and cropped."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.support import as_users_run, placed

from diffus.volume import Volume

AFFINES = [placed(), placed(left_handed=True), torch.eye(4, dtype=torch.float64)]


def _linear(points):
    """A field that trilinear interpolation reproduces exactly."""
    return points @ torch.tensor([0.3, -0.7, 0.11], dtype=torch.float64) + 5


def _centres(shape, affine):
    index = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float64) for n in shape))
    return index @ affine[:3, :3].T + affine[:3, 3]


def _linear_volume(affine, shape=(6, 7, 5)):
    return Volume(_linear(_centres(shape, affine)).reshape(shape), affine)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(3, 3), r"Volume data: expected shape \(I, J, K\), got \(3, 3\)"),
        (torch.zeros(2, 3, 3, 3), r"got \(2, 3, 3, 3\)"),
        (torch.zeros(0, 3, 3), "empty"),
        (torch.zeros(2, 2, 2).index_fill_(0, torch.tensor(0), float("nan")), "4 NaN or infinite voxels of 8"),
        (torch.full((2, 2, 2), -float("inf")), "8 NaN or infinite voxels of 8"),
        (torch.tensor([[[float("inf"), 0.0]]]), "1 NaN or infinite voxels of 2"),
    ],
)
def test_refuses_what_is_no_image(data, words):
    with pytest.raises(ValueError, match=words):
        Volume(data, torch.eye(4, dtype=torch.float64))


def test_refuses_a_singular_affine():
    with pytest.raises(ValueError, match="singular"):
        Volume(
            torch.zeros(2, 2, 2),
            torch.zeros(4, 4, dtype=torch.float64) + torch.diag(torch.tensor([0.0, 0, 0, 1])),
        )


def test_takes_arrays():
    with as_users_run():
        volume = Volume(np.ones((2, 3, 4), dtype=np.int16), np.eye(4))
    assert volume.data.dtype == torch.int16
    assert volume.world_from_voxel.dtype == torch.float64


@pytest.mark.parametrize("affine", AFFINES)
def test_geometry(affine):
    volume = _linear_volume(affine)
    spacing = affine[:3, :3].norm(dim=0).tolist()
    assert volume.shape == (6, 7, 5)
    assert volume.spacing_mm == pytest.approx(spacing)
    assert volume.extent_mm == pytest.approx([n * s for n, s in zip((6, 7, 5), spacing, strict=True)])
    assert torch.allclose(volume.centre_mm, _centres((6, 7, 5), affine).mean(dim=0))
    assert torch.allclose(
        volume.voxel_from_world @ volume.world_from_voxel, torch.eye(4, dtype=torch.float64)
    )


@pytest.mark.parametrize("affine", AFFINES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-4)])
def test_sampling_in_world_space_is_exact_for_a_linear_field(affine, dtype, tolerance):
    volume = _linear_volume(affine)
    index = torch.rand(50, 3, dtype=torch.float64) * (torch.tensor(volume.shape) - 1)
    points = index @ affine[:3, :3].T + affine[:3, 3]
    found = volume.sample(points.to(dtype))
    assert found.dtype == dtype
    assert torch.allclose(found.double(), _linear(points), rtol=0, atol=tolerance)
    assert volume.contains(points).all()


def test_outside_is_zero_and_not_contained():
    volume = Volume(torch.ones(4, 4, 4), torch.eye(4, dtype=torch.float64))
    points = torch.tensor([[-0.5, 1, 1], [1, 3.5, 1], [1, 1, 3.0]])
    assert volume.sample(points).tolist() == [0, 0, 1]
    assert volume.contains(points).tolist() == [False, False, True]


def test_samples_labels_without_a_float_copy():
    volume = Volume(
        torch.tensor([0, 4], dtype=torch.uint8).reshape(2, 1, 1), torch.eye(4, dtype=torch.float64)
    )
    assert volume.sample(torch.tensor([[0.5, 0.0, 0.0]])).tolist() == [2.0]


def test_the_gradient_reaches_the_points():
    volume = _linear_volume(placed())
    points = (volume.centre_mm + 0.1).requires_grad_()
    volume.sample(points[None]).sum().backward()
    assert torch.allclose(points.grad, torch.tensor([0.3, -0.7, 0.11], dtype=torch.float64))


@pytest.mark.parametrize("affine", AFFINES)
def test_resampling_keeps_the_world(affine):
    volume = _linear_volume(affine)
    finer = affine.clone()
    finer[:3, :3] /= 2
    finer[:3, 3] += affine[:3, :3] @ torch.tensor([0.5, 1.0, 0.25], dtype=torch.float64)
    resampled = volume.resample((8, 9, 6), finer, chunk=50)
    expected = _linear(_centres((8, 9, 6), finer)).reshape(8, 9, 6)
    assert torch.allclose(resampled.data, expected, rtol=0, atol=1e-10)
    assert torch.equal(resampled.world_from_voxel, finer)


def test_resampling_is_zero_outside():
    volume = Volume(torch.ones(3, 3, 3, dtype=torch.int16), torch.eye(4, dtype=torch.float64))
    shifted = torch.eye(4, dtype=torch.float64)
    shifted[0, 3] = 1
    resampled = volume.resample((3, 3, 3), shifted)
    assert resampled.data.dtype == torch.float32
    assert resampled.data[:, 0, 0].tolist() == [1, 1, 0]


@pytest.mark.parametrize("affine", AFFINES)
def test_cropping_keeps_the_world(affine):
    volume = _linear_volume(affine)
    cropped = volume.crop((1, 2, 0), (5, 7, 3))
    assert cropped.shape == (4, 5, 3)
    assert torch.allclose(cropped.data.reshape(-1), _linear(_centres((4, 5, 3), cropped.world_from_voxel)))


@pytest.mark.parametrize(
    ("start", "stop"), [((0, 0, 0), (0, 7, 5)), ((-1, 0, 0), (6, 7, 5)), ((0, 0, 0), (6, 7, 6))]
)
def test_refuses_a_crop_that_does_not_fit(start, stop):
    with pytest.raises(ValueError, match=r"does not fit in a volume of shape \(6, 7, 5\)"):
        _linear_volume(AFFINES[0]).crop(start, stop)


def test_the_same_grid_is_judged_at_its_far_corner():
    volume = Volume(torch.zeros(100, 3, 3), torch.eye(4, dtype=torch.float64))
    stretched = torch.eye(4, dtype=torch.float64)
    stretched[0, 0] = 1 + 2e-4  # 0.02 mm at the far corner
    assert volume.same_grid(Volume(torch.ones(100, 3, 3), torch.eye(4, dtype=torch.float64)))
    assert not volume.same_grid(Volume(torch.zeros(100, 3, 3), stretched))
    assert not volume.same_grid(Volume(torch.zeros(99, 3, 3), torch.eye(4, dtype=torch.float64)))


def test_says_what_it_is():
    assert repr(_linear_volume(AFFINES[2])) == (
        "Volume(6 x 7 x 5 voxels of 1 x 1 x 1 mm; 6 x 7 x 5 mm in all; RAS; float64 on cpu)"
    )
