"""The fan planes of swept volumes: synthetic sweeps of known pose, and RESECT."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.imaging.sector_sweeps import Sweep, angle_deg, swept_volume
from tests.support import placed

from diffus import Volume, pose
from diffus.imaging.sector_fit import SectorShape
from diffus.imaging.sector_sweep import SweptSector, rotation_matrix
from diffus.imaging.sector_volume import _VolumeScene, find_sector_in_volume


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [Sweep(), Sweep(rock_deg=18.0)], ids=["straight", "rocked"])
def test_a_sweep_of_known_geometry(sweep: Sweep) -> None:
    volume, middle = swept_volume(sweep)
    found = find_sector_in_volume(volume)
    at = pose.from_matrix(found.world_from_probe)
    assert found.sector.opening_deg == pytest.approx(sweep.opening_deg, abs=1.5)
    assert found.sector.inner_radius_mm == pytest.approx(sweep.radius_mm, abs=1.5)
    assert found.sector.depth_mm == pytest.approx(sweep.depth_mm, abs=2)
    assert angle_deg(at[:3, 2], middle[:3, 2]) < 1.5, "beam"
    assert min(angle_deg(at[:3, 1], side * middle[:3, 1]) for side in (1, -1)) < 2, "plane"
    apart = pose.transform_points(pose.inverse(middle), at[None, :3, 3])[0]
    assert apart[[0, 2]].norm() < 1.5, "face, within the plane"
    assert apart[1].abs() < 2, "face, along the sweep"
    assert min(angle_deg(found.sweep_direction, side * middle[:3, 1]) for side in (1, -1)) < 5


def test_middle_plane_of_a_roughly_known_sweep() -> None:
    """What follows the search: from a sweep that is a little off to sector, pose and direction."""
    truth = Sweep()
    volume, middle = swept_volume(truth)
    scene = _VolumeScene(volume)
    grid_from_world = torch.linalg.inv(volume.world_from_voxel)  # 1 mm voxels: indices are mm
    off = grid_from_world @ middle @ pose.exp(torch.tensor([1.0, 3.0, 0.5, 1.5, 0.0, -2.0]))
    apex = (off[:3, 3] - truth.radius_mm * off[:3, 2]).numpy()
    shape = SectorShape((0.0, 0.0), 0.0, math.radians(23), 24.0, 60.0)
    sweep = SweptSector.through(shape, apex, (off[:3, 2].numpy(), off[:3, 0].numpy()), (-15.0, 17.0))
    found = scene.middle_plane(sweep)
    at = found.world_from_probe
    assert found.sector.opening_deg == pytest.approx(truth.opening_deg, abs=1.5)
    assert found.sector.inner_radius_mm == pytest.approx(truth.radius_mm, abs=1.5)
    assert found.sector.depth_mm == pytest.approx(truth.depth_mm, abs=2)
    assert angle_deg(at[:3, 2], middle[:3, 2]) < 1.5
    assert pose.transform_points(pose.inverse(middle), at[None, :3, 3])[0].abs().max() < 1.5
    assert angle_deg(found.sweep_direction, middle[:3, 1]) < 4


def test_planes_of_a_sweep_drift_and_turn_as_its_distances_say() -> None:
    """A point of the outline of a plane, placed by `plane`, has the distances 0 that the fit sees."""
    values = (
        torch.tensor([3.0, -5, 8, 0.4, -0.3, 0.8, 0.45, 20, 60, 18, 0.1, -0.2, 0.002, 0.004, -0.003])
        .double()
        .numpy()
    )
    sweep = SweptSector(values)
    for share in (-0.2, 0.1):
        middle, (z, x) = sweep.plane(share)
        apex = middle - 40 * z
        for turn, radius in ((0.45, 20.0), (-0.45, 60.0), (0.0, 60.0)):
            point = apex + radius * (math.cos(turn) * z + math.sin(turn) * x)
            distances = sweep.distances(point[None])[:, 0]
            edges = [0 if radius == 20 else 1] + ([] if turn == 0 else [3 if turn > 0 else 2])
            assert abs(distances[edges]).max() < 0.15
            assert distances[4] == pytest.approx(18 + 36 * share, abs=0.15)


def test_rotation_matrix_is_romas() -> None:
    import roma

    vector = torch.tensor([0.3, -1.2, 0.7], dtype=torch.float64)
    assert torch.allclose(torch.from_numpy(rotation_matrix(vector.numpy())), roma.rotvec_to_rotmat(vector))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.full((30, 30, 30), 2.0), "constant"),
        (torch.rand(30, 30, 8), "at least 24 voxels"),
        (torch.rand(30, 30, 30), "swept 3D ultrasound|rectangle|no sector"),
    ],
)
def test_refusals(data: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_sector_in_volume(Volume(data, placed((1.0, 1.0, 1.0))))


RESECT = {"Case1": (52, 26, 51), "Case4": (50.5, 23, 51), "Case24": (48, 21, 40)}
"""Opening, inner radius and depth; Case24's drawn by hand, the others' seen in their overlays."""


@pytest.mark.slow
@pytest.mark.parametrize("case", RESECT)
def test_resect(shared_data: Path, case: str) -> None:
    opening, radius, depth = RESECT[case]
    volume = Volume.load(shared_data / "resect" / f"{case}-US-before-0.5mm.nii.gz")
    found = find_sector_in_volume(volume)
    assert found.sector.opening_deg == pytest.approx(opening, abs=4)
    assert found.sector.inner_radius_mm == pytest.approx(radius, abs=3)
    assert found.sector.depth_mm == pytest.approx(depth, abs=3)
    assert found.sector.edges.first > 0.95 and found.sector.edges.second > 0.95
    if case == "Case24":  # by hand in plane j = 70: apex (i, k) = (100.4, 123.9), axis 237.5 degrees
        z = found.world_from_probe[:3, 2]
        apex = found.world_from_probe[:3, 3] - found.sector.inner_radius_mm * z
        index = volume.voxel_from_world @ torch.cat([apex, torch.ones(1, dtype=torch.float64)])
        assert math.dist((index[0], index[2]), (100.4, 123.9)) < 8
        along = volume.voxel_from_world[:3, :3] @ z
        assert math.degrees(math.atan2(along[2], along[0])) % 360 == pytest.approx(237.5, abs=4)


@pytest.mark.slow
def test_resect_of_a_linear_probe_is_refused(shared_data: Path) -> None:
    volume = Volume.load(shared_data / "resect" / "Case6-US-before-0.5mm.nii.gz")
    with pytest.raises(ValueError):
        find_sector_in_volume(volume)
