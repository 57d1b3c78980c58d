"""Real ultrasound on the pixels of the rendered picture, and volumes as the page gets them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium
from tests.support import placed
from tests.viewer.served import AWAY, answer, ask, scene, served

from diffus import Volume, pose
from diffus.imaging.scan_conversion import to_cartesian
from diffus.viewer import RealFrame, RealVolume
from diffus.viewer import shown_volume as module
from diffus.viewer.pictures import pixel_grid
from diffus.viewer.shown_volume import ShownVolume


def loaded(shown: ShownVolume) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine of the file that the page gets, as nibabel reads it."""
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(shown.file))
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_xyzt_units()[0] == "mm"
    return np.asanyarray(image.dataobj), np.asarray(image.affine)


def brightest_mm(shown: ShownVolume) -> np.ndarray:
    """Centre of mass of what the file shows, in the world."""
    voxels, affine = loaded(shown)
    index = np.argwhere(voxels > 0)
    weights = voxels[voxels > 0].astype(float)
    middle = (index * weights[:, None]).sum(axis=0) / weights.sum()
    return affine[:3, :3] @ middle + affine[:3, 3]


def spot(affine: torch.Tensor, shape: tuple[int, int, int] = (40, 44, 30)) -> tuple[Volume, np.ndarray]:
    """A ball in the dark, and its middle in the world."""
    index = torch.tensor([25.0, 12.0, 14.0], dtype=torch.float64)
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    offsets = (torch.stack(axes, dim=-1) - index) @ affine[:3, :3].T
    data = torch.exp(-0.5 * (offsets.norm(dim=-1) / 3) ** 2).float() * 700
    data[data < 1] = 0
    return Volume(data, affine), (affine[:3, :3] @ index + affine[:3, 3]).numpy()


def test_an_oblique_volume_comes_on_the_world_s_axes_in_its_place() -> None:
    volume, middle = spot(placed())
    shown = ShownVolume.of(volume)
    _, affine = loaded(shown)
    assert np.allclose(affine[:3, :3], np.diag(np.diag(affine[:3, :3])))
    assert np.linalg.norm(brightest_mm(shown) - middle) < 0.1


def test_a_straight_volume_keeps_its_voxels() -> None:
    straight = torch.diag(torch.tensor([-0.7, 0.8, 1.9, 1.0], dtype=torch.float64))
    volume, middle = spot(straight)
    shown = ShownVolume.of(volume)
    voxels, affine = loaded(shown)
    assert shown.shape == volume.shape
    assert np.allclose(affine, straight)
    assert np.linalg.norm(brightest_mm(shown) - middle) < 0.1
    assert voxels.max() == 255
    assert voxels.min() == 0


def test_a_huge_volume_comes_coarser_and_the_medium_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_VOXELS", 4000)
    for affine in (placed(), torch.diag(torch.tensor([0.5, 0.5, 2.0, 1.0], dtype=torch.float64))):
        volume, middle = spot(affine)
        shown = ShownVolume.of(volume)
        assert np.prod(shown.shape) <= 4000 * 1.3  # the oblique one ends on whole voxels
        assert np.linalg.norm(brightest_mm(shown) - middle) < 0.5
        assert volume.shape == (40, 44, 30)


def test_a_constant_volume_does_not_break_the_page() -> None:
    voxels, _ = loaded(ShownVolume.of(Volume(torch.full((4, 5, 6), 3.0), IDENTITY)))
    assert not voxels.any()


def test_a_swept_volume_is_cut_in_the_plane_of_the_probe() -> None:
    volume = Volume(medium().backscatter, medium().world_from_voxel)
    grid = pixel_grid(PROBE)
    shown = RealVolume(volume).pixels(PROBE, AWAY, grid)
    x, z = grid.centres_mm()
    points = pose.transform_points(AWAY, torch.stack([x, 0 * x, z], dim=-1).flatten(0, 1))
    to_voxel = volume.voxel_from_world
    index = (points @ to_voxel[:3, :3].T + to_voxel[:3, 3]).T.numpy()
    expected = map_coordinates(volume.data.numpy(), index, order=1).reshape(shown.shape)
    low, high = float(volume.data.min()), float(volume.data.max())
    inside = PROBE.field_of_view_mask(x, z).numpy()
    difference = np.abs(shown.numpy() - (expected - low) / (high - low))[inside]
    assert difference.mean() < 0.004
    assert not shown.numpy()[~inside].any()


def test_a_swept_volume_follows_the_pose_and_what_was_registered(tmp_path: Path) -> None:
    real = RealVolume(Volume(medium().backscatter, medium().world_from_voxel), "swept")
    moved = pose.exp(torch.tensor([0.0, 0.0, 0.0, 3.0, 0.0, 0.0]))
    with served(scene(real), tmp_path) as page, page.live() as live:
        shown = {}
        back: dict[str, Any] = {"mri_from_ultrasound": moved.flatten().tolist()}
        for name, at, change in (("here", TRUTH, {}), ("there", AWAY, {}), ("moved", moved @ TRUTH, back)):
            ask(live, len(shown), at, **change)
            frame, found = answer(live, "frame"), answer(live, "ultrasound")
            assert frame["id"] == found["id"] == len(shown)
            assert all(frame[key] == found[key] for key in ("width", "left_mm", "top_mm", "spacing_mm"))
            shown[name] = found["pixels"]
        told = page.http.get("/scene.json").json()
        assert told["ultrasound"]["kind"] == "volume"
        assert page.http.get("/volume/ultrasound.nii.gz").status_code == 200
    assert torch.equal(shown["moved"], shown["here"])
    assert not torch.equal(shown["there"], shown["here"])


def test_a_frame_is_sent_once_and_again_for_another_depth(tmp_path: Path) -> None:
    taken = scene().ultrasound
    assert isinstance(taken, RealFrame)
    with served(scene(), tmp_path) as page, page.live() as live:
        ask(live, 1)
        assert answer(live, "ultrasound")["id"] == 1
        ask(live, 2, TRUTH)
        assert answer(live)["id"] == 2
        ask(live, 3, probe={"depth_mm": 60.0})
        assert answer(live)["type"] == "frame"
        deeper = answer(live)
        assert page.http.get("/volume/ultrasound.nii.gz").status_code == 404
    assert deeper["type"] == "ultrasound"
    grid = pixel_grid(PROBE.with_options(depth_mm=60.0, n_samples=312))
    expected = (255 * to_cartesian(taken.frame.scanlines, PROBE, grid)[0]).round()
    assert torch.equal(deeper["pixels"].float(), expected)
    assert not deeper["pixels"][-20:].any()
