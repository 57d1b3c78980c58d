"""Where the parts of a scene lie, in millimetres."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.scenes import PROBES, STEERED, TILTED
from tests.support import placed

from diffus import Frame, Probe, Volume, pose
from diffus.scene import Mesh, Picture, Scene
from diffus.scene.planes import frame_picture
from diffus.scene.probe_body import face, housing, marker
from diffus.scene.shapes import Shape, arrow, ball, tube
from diffus.scene.surfaces import surface_of, volume_mm3
from diffus.settings import RenderSettings


def frame_of(probe: Probe, scanlines: torch.Tensor | None = None) -> Frame:
    """A frame without a rendering, at a pose in general position."""
    shown = torch.rand(1, probe.n_scanlines, probe.n_samples) if scanlines is None else scanlines
    return Frame(shown, shown, probe, TILTED[None], RenderSettings())


def distances(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Distance of each point from a broken line, segment by segment."""
    nearest = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        share = ((points - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - (a + share[:, None] * (b - a)), axis=1))
    return nearest


@pytest.mark.parametrize("name", [*PROBES, *STEERED])
def test_the_picture_lies_where_the_pose_puts_the_scanlines(name: str) -> None:
    probe = (PROBES | STEERED)[name]
    picture = frame_picture(frame_of(probe))
    lines = probe.scanlines()
    ends = lines.origins_mm + 48.0 * lines.directions
    expected = pose.transform_points(TILTED, torch.cat([lines.origins_mm, ends])).numpy()
    gaps = np.linalg.norm(picture.points[:, None] - expected[None], axis=-1)
    assert gaps.min(axis=0).max() < 1e-6 and gaps.min(axis=1).max() < 1e-6


@pytest.mark.parametrize("name", list(PROBES))
def test_every_corner_shows_the_pixel_that_lies_there(name: str) -> None:
    frame = frame_of(PROBES[name])
    picture = frame_picture(frame, spacing_mm=0.4)
    grid = frame.grid(0.4)
    rows, columns = grid.shape
    assert picture.image.shape == (rows, columns)
    # The centre of pixel (r, c) is at ((c + 1/2) / columns, (r + 1/2) / rows) of the image.
    pixel = picture.places * [columns, rows] - 0.5
    voxel = np.concatenate([pixel, np.zeros((len(pixel), 1)), np.ones((len(pixel), 1))], axis=1)
    world = voxel @ frame.world_from_pixel(grid)[0].numpy().T
    assert np.abs(world[:, :3] - picture.points).max() < 1e-6


def test_the_face_of_a_convex_probe_is_an_arc_of_its_radius() -> None:
    probe = PROBES["convex"]
    points = face(probe).points
    assert np.hypot(points[:, 0], points[:, 2] + 20.0) == pytest.approx(np.full(len(points), 20.0), abs=1e-9)
    assert np.abs(points[:, 1]).max() == pytest.approx(3.5)
    angles = np.degrees(np.arctan2(points[:, 0], points[:, 2] + 20.0))
    assert (angles.min(), angles.max()) == pytest.approx((-20.0, 20.0))


def test_the_face_of_a_radial_probe_is_a_cylinder() -> None:
    points = face(PROBES["radial"]).points
    assert np.hypot(points[:, 0], points[:, 2]) == pytest.approx(np.full(len(points), 6.0), abs=1e-9)


@pytest.mark.parametrize("name", list(PROBES))
def test_the_housing_keeps_out_of_the_field_of_view(name: str) -> None:
    probe = PROBES[name]
    shell = housing(probe)
    x, z = (torch.from_numpy(shell.points[:, axis]) for axis in (0, 2))
    middle = torch.from_numpy(np.abs(shell.points[:, 1]) < 1e-6)
    deep = probe.scanline_coordinates(x, z)[1] > 0.05
    assert not bool((probe.field_of_view_mask(x, z) & deep & middle).any())
    assert volume_mm3(shell) > 0


@pytest.mark.parametrize("name", ["linear", "convex", "phased"])
def test_the_marker_stands_on_the_side_of_the_first_scanline(name: str) -> None:
    probe = PROBES[name]
    knob = marker(probe).points.mean(axis=0)
    assert knob[0] < 0 and knob[2] < 0
    assert float(probe.sample_points_mm()[0, -1, 0]) < 0
    shell = housing(probe).points
    assert np.linalg.norm(shell - knob, axis=1).min() < 3.1


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.7, 0.8, 1.9)])
@pytest.mark.parametrize("left_handed", [False, True])
def test_the_surface_of_a_ball_lies_within_half_a_voxel(
    spacing_mm: tuple[float, float, float], left_handed: bool
) -> None:
    radius = 20.0
    affine = placed(spacing_mm, left_handed=left_handed)
    shape = [math.ceil(2 * (radius + 4) / side) for side in spacing_mm]
    index = torch.cartesian_prod(*(torch.arange(n) for n in shape)).double()
    world = index @ affine[:3, :3].T + affine[:3, 3]
    centre = world.mean(dim=0)
    inside = ((world - centre).norm(dim=1) <= radius).reshape(shape)
    found = surface_of(Volume(inside, affine), detail_mm=1.0, n_triangles=4000)
    away = np.linalg.norm(found.points - centre.numpy(), axis=1)
    assert np.abs(away - radius).max() < 0.5 * max(spacing_mm)
    assert len(found.triangles) <= 4000
    assert volume_mm3(found) == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.03)  # and faces outwards


def test_a_surface_is_where_it_is_when_averaged_down_unevenly() -> None:
    # 31 and 33 are no multiples of the factor 2, and the box touches the border of the grid.
    mask = torch.zeros(31, 33, 31, dtype=torch.bool)
    mask[4:, 6:26, 5:25] = True
    found = surface_of(Volume(mask, torch.eye(4, dtype=torch.float64)), detail_mm=2.0, n_triangles=5000)
    # Away from edges and corners, which smoothing rounds.
    core = np.abs(found.points - [17.0, 15.5, 14.5]).max(axis=1) < 13.6
    low, high = found.points[core].min(axis=0), found.points[core].max(axis=0)
    assert low == pytest.approx([3.5, 5.5, 4.5], abs=0.6)
    assert high == pytest.approx([30.5, 25.5, 24.5], abs=0.6)


def test_a_body_that_the_image_cuts_off_is_left_open() -> None:
    mask = torch.zeros(30, 30, 20, dtype=torch.bool)
    mask[5:25, 5:25] = True
    column = Volume(mask, torch.eye(4, dtype=torch.float64))
    for closed, ends in ((True, True), (False, False)):
        found = surface_of(column, 1.0, 10_000, closed=closed)
        middle = found.points[found.triangles].mean(axis=1)[:, :2] - 14.5
        assert bool((np.abs(middle).max(axis=1) < 5.0).any()) == ends
        normals = Mesh("column", *found, (0.0, 0.0, 0.0)).normals()
        walls = np.abs(found.points[:, 2] - 9.5) < 5
        assert ((normals * (found.points - 14.5))[walls, :2].sum(axis=1) > 0).all()


def test_the_path_passes_through_every_pose() -> None:
    torch.manual_seed(3)
    poses = pose.perturb(TILTED, torch.cumsum(torch.randn(12, 6, dtype=torch.float64) * 4, dim=0))
    scene = Scene().add_poses(poses, radius_mm=0.5)
    path = next(part for part in scene.parts if isinstance(part, Mesh) and part.name == "path")
    origins = poses[:, :3, 3].numpy()
    # The tube's own ends, and rings of its radius about each pose.
    for origin in origins[1:-1]:
        ring = np.sort(np.linalg.norm(path.points - origin, axis=1))[:10]
        assert ring == pytest.approx(np.full(10, 0.5), abs=1e-9)
    assert distances(path.points, origins).max() < 0.5 + 1e-9
    arrows = [part for part in scene.parts if isinstance(part, Mesh) and part.name == "pose 5"]
    tips = poses[5, :3, 3] + 9.0 * poses[5, :3, 2]
    assert np.linalg.norm(arrows[0].points - tips.numpy(), axis=1).min() < 1e-2
    shades = [part.colour for part in scene.parts if isinstance(part, Mesh) and part.name.startswith("pose")]
    assert len(set(shades)) == 12


def test_a_path_of_one_place_has_no_tube() -> None:
    scene = Scene().add_poses(TILTED.expand(4, 4, 4))
    assert not [part for part in scene.parts if isinstance(part, Mesh) and part.name == "path"]


def closed(shape: Shape) -> bool:
    """Whether every edge between different places is shared by triangles of both directions alike."""
    _, place = np.unique(shape.points.round(6), axis=0, return_inverse=True)
    corners = place.ravel()[shape.triangles]
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    edges = edges[edges[:, 0] != edges[:, 1]]
    there, back = (sorted(map(tuple, way.tolist())) for way in (edges, edges[:, ::-1]))
    return there == back


def test_plain_shapes_are_closed_and_face_outwards() -> None:
    line = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [10.0, 8.0, 3.0]])
    for shape in (tube(line, 1.0), arrow(line[0], line[2], 0.5, 2.0), ball(line[1], 3.0)):
        assert closed(shape) and volume_mm3(shape) > 0
    assert volume_mm3(ball(line[1], 3.0, 24)) == pytest.approx(4 / 3 * math.pi * 27, rel=0.02)


def test_slices_lie_in_their_planes_and_leave_the_air_out() -> None:
    # A bright block in a dark surrounding, on an oblique grid.
    data = torch.zeros(60, 50, 40)
    data[15:45, 12:38, 10:30] = 100.0
    affine = placed((1.0, 1.1, 1.2))
    volume = Volume(data, affine)
    scene = Scene().add_slices(volume)
    middle = volume.centre_mm.numpy()
    assert [part.name for part in scene.parts] == ["axial", "coronal", "sagittal"]
    for part, axis in zip(scene.parts, (2, 1, 0), strict=True):
        assert isinstance(part, Picture) and np.abs(part.points[:, axis] - middle[axis]).max() < 1e-9
        inside = volume.sample(torch.from_numpy(part.points).float()).numpy()
        centre = part.points[part.triangles].mean(axis=1)
        assert np.linalg.norm(centre - middle, axis=1).max() < 30.0  # half a diagonal of the block is 26 mm
        assert inside.max() > 99.0
        # What the texture shows at a corner is what the volume holds there.
        rows, columns = part.image.shape
        column, row = (part.places * [columns, rows] - 0.5).T.round().astype(int)
        within = (column >= 0) & (row >= 0) & (column < columns) & (row < rows)
        shown = part.image[row[within], column[within]] / 255 * 100
        flat = (inside[within] < 1) | (inside[within] > 99)
        assert np.abs(shown - inside[within])[flat].mean() < 3.0
