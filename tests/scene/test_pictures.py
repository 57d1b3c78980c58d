"""What is seen in the pictures of a scene, pixel by pixel where that can be known."""

from __future__ import annotations

import importlib.util
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.scene.test_geometry import frame_of
from tests.scenes import PROBES, TILTED
from tests.support import as_users_run

from diffus import Frame, Volume, pose
from diffus.registration.result import RegistrationResult
from diffus.scene import Camera, Mesh, Scene, of_frame, of_registration
from diffus.scene.glass import FACING, rim_opacity
from diffus.scene.overlay import scale_bar_mm
from diffus.scene.shapes import ball

SIZE = (400, 300)
LINE, SAMPLE = 2, 70


def bright_sample(name: str) -> Frame:
    """One bright cell off the middle, on black."""
    probe = PROBES[name]
    scanlines = torch.zeros(1, probe.n_scanlines, probe.n_samples)
    scanlines[0, LINE, SAMPLE - 1 : SAMPLE + 2] = 1.0
    return frame_of(probe, scanlines)


def pixel_of(camera: Camera, world: torch.Tensor, size: tuple[int, int]) -> tuple[float, float]:
    """Where a world point is seen: written out for a parallel projection, apart from the code's own."""
    away = world.numpy() - camera.centre_mm
    right = np.cross(camera.up, camera.towards_eye)
    scale = size[1] / 2 / camera.half_height_mm
    return size[0] / 2 + scale * float(away @ right), size[1] / 2 - scale * float(away @ camera.up)


def bright_spot(image: np.ndarray) -> tuple[float, float]:
    """Middle of what is white, in pixels."""
    rows, columns = np.nonzero(image.min(axis=2) > 130)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def ball_mesh(centre: tuple[float, float, float], radius: float, opacity: float = 1.0) -> Mesh:
    return Mesh("ball", *ball(np.array(centre), radius, 40), (0.8, 0.3, 0.2), opacity)


@pytest.mark.parametrize(
    ("name", "view"), [("convex", "image"), ("convex", "oblique"), ("linear", "probe"), ("radial", "oblique")]
)
def test_a_bright_sample_is_seen_where_it_lies_in_the_world(name: str, view: str) -> None:
    frame = bright_sample(name)
    scene = Scene("dark").add_frame(frame, body=False, colour=(0.5, 0.0, 0.0))
    camera = scene.camera(view, SIZE)
    place = frame.probe.sample_points_mm()[LINE, SAMPLE][None]
    world = pose.transform_points(TILTED, place)[0]
    seen = scene.image(SIZE, camera)[30:240, 60:]  # without axes, scale and legend
    column, row = bright_spot(seen)
    assert (column + 60, row + 30) == pytest.approx(pixel_of(camera, world, SIZE), abs=1.5)


def test_the_image_view_is_that_of_a_scanner() -> None:
    # The first scanline on the left, depth downwards.
    frame = bright_sample("convex")
    scene = Scene("dark").add_frame(frame, body=False, colour=(0.5, 0.0, 0.0))
    camera = scene.camera("image", SIZE)
    x, z = frame.probe.sample_points_mm()[LINE, SAMPLE, [0, 2]].tolist()
    column, row = bright_spot(scene.image(SIZE, camera)[30:240, 60:])
    middle = pixel_of(camera, TILTED[:3, 3], SIZE)
    scale = camera.pixels_per_mm(SIZE)
    assert x < 0
    assert (column + 60 - middle[0], row + 30 - middle[1]) == pytest.approx((scale * x, scale * z), abs=1.5)


def test_grey_values_come_through_and_nothing_is_drawn_outside_the_sector() -> None:
    probe = PROBES["convex"]
    level = torch.full((1, probe.n_scanlines, probe.n_samples), 0.5)
    scene = Scene("white").add_frame(frame_of(probe, level), body=False)
    camera = scene.camera("image", SIZE)
    image = scene.image(SIZE, camera)

    def at(x: float, z: float) -> list[int]:
        world = pose.transform_points(TILTED, torch.tensor([[x, 0.0, z]], dtype=torch.float64))[0]
        column, row = pixel_of(camera, world, SIZE)
        return image[int(row), int(column)].tolist()

    for x, z in ((6.0, 30.0), (-8.0, 40.0), (3.0, 10.0)):
        assert at(x, z) == pytest.approx([128, 128, 128], abs=3)
    for x, z in ((18.0, 4.0), (-18.0, 4.0)):  # in the image's box, outside the fan
        assert at(x, z) == [255, 255, 255]


def test_a_ball_is_as_large_as_the_scale_says_and_lit_from_above() -> None:
    scene = Scene("white").add(ball_mesh((3.0, -4.0, 5.0), 20.0))
    camera = scene.camera("anterior", SIZE)
    image = scene.image(SIZE, camera).astype(int)
    red = image[..., 0] - image[..., 2] > 25
    red[220:, :90] = red[:60, :120] = False  # axes and legend
    area = math.pi * (20.0 * camera.pixels_per_mm(SIZE)) ** 2
    assert red.sum() == pytest.approx(area, rel=0.02)
    rows, columns = np.nonzero(red)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((200.0, 150.0), abs=1.0)
    assert image[100, 240].sum() > image[200, 160].sum() + 60


def test_what_lies_in_glass_is_seen_and_what_lies_behind_stone_is_not() -> None:
    # A ball of radius 20 with a small bright one inside.
    core = Mesh("core", *ball(np.zeros(3), 6.0), (0.1, 0.9, 0.1))
    clear = Scene("dark").add(core, ball_mesh((0.0, 0.0, 0.0), 20.0, 0.3)).image(SIZE, "left").astype(int)
    stone = Scene("dark").add(core, ball_mesh((0.0, 0.0, 0.0), 20.0)).image(SIZE, "left").astype(int)
    middle = (150, 200)
    assert clear[middle][1] > 110 and clear[middle][1] > clear[middle][0] + 40
    assert stone[middle][0] > stone[middle][1] + 40


def test_glass_is_denser_at_its_rim_and_blends_as_it_says() -> None:
    eye = np.array([0.0, 0.0, 1.0])
    normals = np.array([[0.0, 0.0, 1.0], [0.0, 0.6, -0.8], [1.0, 0.0, 0.0]])
    facing, turned, rim = rim_opacity(normals, eye, 0.4)
    assert (facing, rim) == pytest.approx((0.4 * FACING, 0.4)) and facing < turned < rim
    # Two sheets one behind the other that face the eye: the background comes through both.
    corners = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
    sheet = np.array([[0, 1, 2], [0, 2, 3]])
    black = [
        Mesh("sheet", corners + np.array([0.0, 0.0, z]), sheet, (0.0, 0.0, 0.0), 0.4) for z in (-5.0, 5.0)
    ]
    through = Scene("white").add(*black).image(SIZE, "superior")[150, 200]
    one = 1 - 0.4 * FACING
    assert through.astype(float) == pytest.approx(np.full(3, 255 * one * one), abs=20)  # and some shine


def test_the_nearer_of_two_sheets_of_glass_counts_more() -> None:
    corners = np.array([[-20.0, -20, 0], [20, -20, 0], [20, 20, 0], [-20, 20, 0]])
    sheet = np.array([[0, 1, 2], [0, 2, 3]])
    up, down = corners + np.array([0.0, 0.0, 5.0]), corners - np.array([0.0, 0.0, 5.0])
    scene = Scene("dark").add(Mesh("red", up, sheet, (1.0, 0.0, 0.0), 0.95))
    scene.add(Mesh("blue", down, sheet, (0.0, 0.0, 1.0), 0.95))
    above, below = (scene.image(SIZE, view)[150, 200].astype(int) for view in ("superior", "inferior"))
    assert above[0] > above[2] + 25 and below[2] > below[0] + 25


def test_everything_is_in_the_picture_from_every_side() -> None:
    probe = PROBES["convex"]
    scene = Scene().add_probe(probe, TILTED).add(ball_mesh((0.0, 0.0, 0.0), 30.0))
    points = np.concatenate([part.points for part in scene.parts if isinstance(part, Mesh)])
    for view in ("left", "anterior", "superior", "probe", "image", "oblique", (1.0, -2.0, 0.5)):
        seen = scene.camera(view, SIZE).project(points, SIZE)
        assert (seen > 0).all() and (seen < SIZE).all()
        reach = np.ptp(seen, axis=0) / SIZE
        assert reach.max() == pytest.approx(0.84, abs=1e-6)


def test_anatomical_sides() -> None:
    # From the left, anterior is on the left; from the front, the patient's right is on the left.
    scene = Scene().add(ball_mesh((0.0, 0.0, 0.0), 30.0))
    left, front, top = (scene.camera(view, SIZE) for view in ("left", "anterior", "superior"))
    assert left.right == pytest.approx([0, -1, 0]) and left.up == pytest.approx([0, 0, 1])
    assert front.right == pytest.approx([-1, 0, 0]) and front.up == pytest.approx([0, 0, 1])
    assert top.right == pytest.approx([1, 0, 0]) and top.up == pytest.approx([0, 1, 0])


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    scene = Scene("white").add(ball_mesh((0.0, 0.0, 0.0), 30.0))
    size = (800, 600)
    camera = scene.camera("left", size)
    corner = scene.image(size, camera)[570:595, 500:]
    dark = (corner.max(axis=2) < 60).sum(axis=1)
    bar = scale_bar_mm(size[0] / camera.pixels_per_mm(size))
    assert dark.max() == pytest.approx(bar * camera.pixels_per_mm(size), abs=3)


def test_labels_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageDraw

    boxes = []
    plain = ImageDraw.ImageDraw.text

    def spy(page: Any, xy: Any, text: str, *rest: Any, **more: Any) -> None:
        if text.startswith("point"):
            boxes.append(page.textbbox(xy, text, font=more["font"]))
        plain(page, xy, text, *rest, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    points = [[0.0, 0.1 * n, 0.0] for n in range(6)]
    scene = Scene().add(ball_mesh((0.0, 0.0, 0.0), 30.0))
    scene.add_landmarks(points, [f"point {n}" for n in range(6)]).image(SIZE, "left")
    assert len(boxes) == 6
    for one, other in pairwise(boxes):
        assert other[1] >= one[3] - 1 or other[0] >= one[2] or other[2] <= one[0]


def test_screenshot_writes_the_image(tmp_path: Path) -> None:
    scene = Scene().add(ball_mesh((0.0, 0.0, 0.0), 30.0))
    path = scene.screenshot(tmp_path / "new" / "ball.png", SIZE, "left")
    assert np.array_equal(np.asarray(Image.open(path)), scene.image(SIZE, "left"))


def test_labels_become_named_surfaces() -> None:
    data = torch.zeros(40, 30, 30)
    data[4:18, 6:24, 6:24] = 5.0
    data[22:36, 6:24, 6:24] = 52.0
    labels = Volume(data, torch.eye(4, dtype=torch.float64))
    scene = Scene().add_labels(labels, "totalsegmentator")
    liver, aorta = scene.parts
    assert [liver.name, aorta.name] == ["liver", "aorta"]
    assert isinstance(liver, Mesh) and isinstance(aorta, Mesh)
    assert liver.points[:, 0].max() < 18.5 and aorta.points[:, 0].min() > 20.5
    assert [part.name for part in Scene().add_labels(labels, only=[52]).parts] == ["label 52"]
    with pytest.raises(ValueError, match=r"'spleen' is not in the label map.*5 \(liver\)"):
        Scene().add_labels(labels, "totalsegmentator", only=["spleen"])
    with pytest.raises(ValueError, match="not whole numbers"):
        Scene().add_labels(Volume(data + 0.5, labels.world_from_voxel))


def result_between(initial: torch.Tensor, found: torch.Tensor) -> RegistrationResult:
    eye, way = torch.eye(4, dtype=torch.float64), torch.stack([initial, (initial + found) / 2, found])
    return RegistrationResult(
        world_from_sweep=found,
        world_from_probe=found[None],
        initial=initial,
        covariance=torch.eye(6, dtype=torch.float64),
        pivot=eye,
        points=torch.rand(5, 3).double(),
        starts=initial[None],
        ends=found[None],
        scores=torch.ones(1).double(),
        trajectory=way,
        trajectory_scores=torch.ones(3).double(),
        verdict="converged",
        reason="",
        score=1.0,
        attainable=1.0,
        rendered=1,
        cells=1,
        seed=0,
    )


def test_a_registration_shows_where_it_began_went_and_ended() -> None:
    frame = bright_sample("convex")
    initial = pose.perturb(TILTED, torch.tensor([0.0, 0, 0, 9, 5, 4]).double())
    scene = of_registration(result_between(initial, TILTED), frame, truth=TILTED)
    outlines = {part.name: part for part in scene.parts if isinstance(part, Mesh) and part.listed}
    assert list(outlines) == ["found", "initial", "truth"]
    assert np.abs(outlines["found"].points - outlines["truth"].points).max() < 1e-9
    moved = pose.transform_points(initial @ pose.inverse(TILTED), torch.from_numpy(outlines["found"].points))
    gaps = np.linalg.norm(outlines["initial"].points.mean(axis=0) - moved.numpy().mean(axis=0))
    assert gaps < 0.1
    path = next(part for part in scene.parts if isinstance(part, Mesh) and part.name == "path")
    for end in (initial, TILTED):
        assert np.linalg.norm(path.points - end[:3, 3].numpy(), axis=1).min() < 1e-9


def test_a_frame_in_one_call() -> None:
    frame = bright_sample("convex")
    mask = Volume(torch.ones(20, 20, 20, dtype=torch.bool), torch.eye(4, dtype=torch.float64))
    scene = of_frame(frame, mask)
    assert [part.name for part in scene.parts][:3] == ["surface", "B-mode", "probe"]
    assert repr(scene).startswith("Scene(surface, B-mode, probe, face")
    two = Frame(
        frame.scanlines.expand(2, -1, -1),
        frame.envelope.expand(2, -1, -1),
        frame.probe,
        torch.stack([TILTED, pose.perturb(TILTED, torch.tensor([0.0, 0, 0, 0, 9, 0]).double())]),
        frame.settings,
    )
    assert "path" in repr(of_frame(two))


def test_refusals(tmp_path: Path) -> None:
    scene = Scene().add(ball_mesh((0.0, 0.0, 0.0), 5.0))
    empty = Volume(torch.zeros(8, 8, 8, dtype=torch.bool), torch.eye(4, dtype=torch.float64))
    image = Volume(torch.rand(8, 8, 8), torch.eye(4, dtype=torch.float64))
    refused = {
        r"unknown view 'top': expected one of left": lambda: scene.image(SIZE, "top"),
        r"view 'image' needs a probe": lambda: scene.image(SIZE, "image"),
        r"view must be one of .* or a direction": lambda: scene.image(SIZE, (0.0, 0.0, 0.0)),
        r"the scene is empty": lambda: Scene().image(SIZE),
        r"size must be a width and a height": lambda: scene.image((400, 99999)),
        r"cannot write .*ball.jpg: expected a file that ends in .png": lambda: scene.screenshot("ball.jpg"),
        r"expected a file that ends in .html": lambda: scene.save_html(tmp_path / "ball.htm"),
        r"unknown background 'pink'": lambda: Scene("pink"),
        r"unknown kind of surface 'liver'": lambda: scene.add_surface(image, "liver"),
        r"the mask is empty": lambda: scene.add_surface(empty),
        r"unknown plane 'oblique'": lambda: scene.add_slices(image, planes=("oblique",)),
        r"no slice through .* meets anything": lambda: scene.add_slices(image, (50.0, 50.0, 50.0)),
        r"holds nothing in the image plane": lambda: scene.add_fan_slice(
            image, PROBES["linear"], pose.from_euler((0, 0, 0), (500.0, 0.0, 0.0))
        ),
        r"got 1 points and 2 names": lambda: scene.add_landmarks([[0.0, 0.0, 0.0]], ["a", "b"]),
        r"the last row must be 0 0 0 1": lambda: scene.add_probe(PROBES["linear"], torch.ones(4, 4)),
        r"zoom must be a finite number above 0": lambda: scene.camera("left", SIZE, 0.0),
    }
    with as_users_run():
        for message, call in refused.items():
            with pytest.raises(ValueError, match=message):
                call()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyvista" else found(name))
    with pytest.raises(ValueError, match=r"pyvista is needed for a 3D scene.*pip install 'diffus\[scene\]'"):
        Scene()
