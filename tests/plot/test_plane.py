"""Planes: sampled at the right places, drawn the right way round, without a copy of the volume."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import torch
from tests.plot.scenes import FLAT, SLOPE, from_the_left, linear_volume
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from diffus import Medium, Volume, plot, pose
from diffus.plot.levels import grey_levels
from diffus.plot.plane import world_bounds_mm

ORIENTATIONS = ("axial", "coronal", "sagittal")


def world_of(plane: plot.Plane) -> Tensor:
    """World position of every pixel, computed the long way."""
    u, v = plane.centres_mm()
    points = torch.tensor([[float(a), float(b), 0.0] for b in v for a in u], dtype=torch.float64)
    return pose.transform_points(plane.world_from_plane, points).reshape(*plane.shape, 3)


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_oblique_volumes_are_sampled_where_the_pixels_lie(orientation: str, convention: str) -> None:
    volume = linear_volume()
    plane = plot.Plane.anatomical(orientation, volume.centre_mm, volume, convention, spacing_mm=1.7)
    values, world = plane.sample(volume), world_of(plane)
    inside = volume.contains(world)
    assert 0.2 < float(inside.double().mean()) < 0.95
    assert torch.equal(values.isfinite(), inside)
    assert (values - world @ SLOPE)[inside].abs().max() < 1e-9


def test_axes_of_anatomical_planes_are_those_of_the_world() -> None:
    volume = linear_volume()
    for orientation, (across, up), normal in zip(
        ORIENTATIONS, ((0, 1), (0, 2), (1, 2)), (2, 1, 0), strict=True
    ):
        plane = plot.Plane.anatomical(orientation, volume.centre_mm, volume, "neurological")
        place = plane.coordinates(torch.tensor([[3.0, 5.0, 7.0]], dtype=torch.float64))[0]
        assert place[:2].tolist() == pytest.approx([(3.0, 5.0, 7.0)[across], (3.0, 5.0, 7.0)[up]])
        assert abs(float(place[2])) == pytest.approx(
            abs((3.0, 5.0, 7.0)[normal] - float(volume.centre_mm[normal]))
        )
        assert plane.labels == (f"world {'RAS'[across]} (mm)", f"world {'RAS'[up]} (mm)")


@pytest.mark.parametrize(
    ("convention", "letters"),
    [
        ("radiological", {"axial": "RLPA", "coronal": "RLIS", "sagittal": "APIS"}),
        ("neurological", {"axial": "LRPA", "coronal": "LRIS", "sagittal": "PAIS"}),
    ],
)
def test_letters_follow_the_convention(convention: str, letters: dict[str, str]) -> None:
    volume = linear_volume()
    for orientation, expected in letters.items():
        plane = plot.Plane.anatomical(orientation, volume.centre_mm, volume, convention)
        assert "".join(plane.edge_letters().values()) == expected  # left, right, bottom, top


def test_the_plane_of_the_fan_is_that_of_the_probe() -> None:
    probe, at = from_the_left()
    plane = plot.Plane.of_fan(probe, at, margin_mm=3.0)
    points = torch.tensor([[-4.0, 0.0, 11.0], [2.0, 5.0, 30.0]], dtype=torch.float64)
    found = plane.coordinates(pose.transform_points(at, points))
    assert torch.allclose(found, torch.tensor([[-4.0, 11.0, 0.0], [2.0, 30.0, -5.0]]).double(), atol=1e-9)
    assert plane.extent_mm == pytest.approx((-11.0, 11.0, 43.0, -3.0))


def test_labels_are_those_of_the_nearest_voxel() -> None:
    reference = linear_volume()
    values = torch.randint(1, 99, reference.shape, dtype=torch.int16)
    labels = Volume(values, reference.world_from_voxel)
    plane = plot.Plane.anatomical("coronal", labels.centre_mm, labels, spacing_mm=2.3)
    index = pose.transform_points(labels.voxel_from_world, world_of(plane).reshape(-1, 3))
    expected = []
    for place in index.round().long().tolist():
        inside = all(0 <= n < size for n, size in zip(place, labels.shape, strict=True))
        expected.append(int(values[tuple(place)]) if inside else 0)
    assert plane.sample_nearest(labels).flatten().tolist() == expected


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that was made and is no view of what was given."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given, self.size = given.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for made in out if isinstance(out, tuple | list) else (out,):
            if isinstance(made, Tensor) and made.untyped_storage().data_ptr() != self.given:
                self.size = max(self.size, made.nbytes)
        return out


def of_type(dtype: torch.dtype) -> Volume:
    return Volume(torch.zeros(256, 256, 256, dtype=dtype), linear_volume().world_from_voxel)


def turned() -> Volume:
    """Voxels in the order of NIfTI files, first index fastest."""
    affine = linear_volume().world_from_voxel
    return Volume(torch.zeros(256, 256, 256, dtype=torch.int16).permute(2, 1, 0), affine)


def channel() -> Volume:
    affine = linear_volume().world_from_voxel
    return Medium.from_channels(torch.ones(160, 160, 160, 3), affine).volume("attenuation")


@pytest.mark.parametrize(
    "volume", [lambda: of_type(torch.float32), lambda: of_type(torch.uint8), turned, channel]
)
def test_a_large_volume_is_not_copied(volume: Any) -> None:
    large = volume()
    tracemalloc.start()
    with Largest(large.data) as largest:
        plane = plot.Plane.anatomical("axial", large.centre_mm, large, spacing_mm=2.0)
        plane.sample(large)
        plane.sample_nearest(large)
        grey_levels(large)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert largest.size + peak < large.data.numel() // 4  # under a quarter of a byte a voxel


def test_bounds_are_those_of_the_outer_faces() -> None:
    low, high = world_bounds_mm(
        Volume(torch.zeros(3, 4, 5), torch.diag(torch.tensor([2.0, 1, 1, 1])).double())
    )
    assert (low, high) == ([-1.0, -0.5, -0.5], [5.0, 3.5, 4.5])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda v: plot.Plane.anatomical("oblique", v.centre_mm, v), "expected one of 'axial', 'coronal'"),
        (
            lambda v: plot.Plane.anatomical("axial", v.centre_mm, v, "surgical"),
            "'radiological', 'neurological'",
        ),
        (
            lambda v: plot.Plane.anatomical("axial", (900.0, 0.0, 0.0), v),
            r"\(900.0, 0.0, 0.0\) mm lies outside",
        ),
        (lambda v: plot.Plane.anatomical("axial", (float("nan"), 0.0, 0.0), v), "lies outside the volume"),
        (lambda v: plot.Plane.anatomical("axial", (1.0, 2.0), v), r"expected shape \(3,\)"),
        (lambda v: plot.Plane.anatomical("axial", v.centre_mm, v, spacing_mm=0.0), "spacing_mm must be"),
        (lambda v: plot.Plane.of_fan(FLAT, 2 * torch.eye(4).double()), "last row must be 0 0 0 1"),
        (lambda v: plot.Plane.of_fan(FLAT, torch.eye(4).double(), spacing_mm=-1.0), "spacing_mm must be"),
    ],
)
def test_refusals(made: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(linear_volume())
