"""The sector of an image: synthetic fans of known geometry, spoilt on purpose, and real images."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.support import as_users_run, placed

from diffus import ConvexProbe, PhasedProbe, pose
from diffus.imaging.sector import Sector, find_sector
from diffus.imaging.sector_fit import SectorShape

TRUTH = SectorShape((-12.0, 97.0), math.radians(8.0), math.radians(34.0), 48.0, 175.0)


def fan(
    shape: tuple[int, int] = (180, 200), truth: SectorShape = TRUTH, spacing: tuple[float, float] = (1.0, 1.0)
) -> np.ndarray:
    """Speckle in a sector, finer along the scanlines than across, on black; drawn pixel by pixel from polar
    coordinates, not by the signed distances that the fit uses."""
    generator = np.random.default_rng(4)
    rows, columns = np.meshgrid(
        np.arange(shape[0]) * spacing[0], np.arange(shape[1]) * spacing[1], indexing="ij"
    )
    down, right = rows - truth.apex[0], columns - truth.apex[1]
    radius, angle = np.hypot(down, right), np.arctan2(right, down) - truth.axis
    angle = (angle + math.pi) % (2 * math.pi) - math.pi
    scatter = generator.rayleigh(60.0, size=(400, 60))
    speckle = scatter[
        (radius * 1.5).astype(int) % 400, ((angle + math.pi) / (2 * math.pi) * 360).astype(int) % 60
    ]
    inside = (radius >= truth.inner) & (radius <= truth.outer) & (np.abs(angle) <= truth.half_opening)
    return np.where(inside, np.clip(speckle + 5, 5, 255), 0.0)


def assert_close(
    sector: Sector, truth: SectorShape = TRUTH, position: float = 1.5, degrees: float = 1.0
) -> None:
    assert math.dist(sector.apex_mm, truth.apex) < position
    assert abs(math.remainder(sector.axis_deg - math.degrees(truth.axis), 360)) < degrees
    assert sector.opening_deg == pytest.approx(2 * math.degrees(truth.half_opening), abs=degrees)
    assert sector.inner_radius_mm == pytest.approx(truth.inner, abs=position)
    assert sector.outer_radius_mm == pytest.approx(truth.outer, abs=position)


def test_a_clean_fan_is_found_to_a_fraction_of_a_pixel() -> None:
    sector = find_sector(fan())
    assert_close(sector, position=0.5, degrees=0.3)
    assert sector.overlap > 0.98
    assert all(math.isnan(share) or share > 0.95 for share in sector.edges)


@pytest.mark.parametrize("axis_deg", [0.0, 90.0, 143.0, 237.5])
def test_any_direction(axis_deg: float) -> None:
    angle = math.radians(axis_deg)
    apex = (150 - 110 * math.cos(angle), 150 - 110 * math.sin(angle))
    truth = SectorShape(apex, angle, math.radians(24), 42.0, 150.0)
    assert_close(find_sector(fan((300, 300), truth)), truth, position=1.0, degrees=0.6)


def test_shadows_text_markers_and_cut_corners_do_no_harm() -> None:
    image = fan((190, 220))
    angles = np.arctan2(np.arange(220)[None] - 97.0, np.arange(190)[:, None] + 12.0) - TRUTH.axis
    radius = np.hypot(np.arange(220)[None] - 97.0, np.arange(190)[:, None] + 12.0)
    image[(angles > 0.1) & (angles < 0.22) & (radius > 110)] = 0  # a shadow through the outer arc
    image[(angles < -0.45) & (radius > 90) & (radius < 130)] = 0  # poor contact at a side
    image[145:] = 0  # the scanner's screen ends here
    image[3:12, 150:215:3] = 250  # text
    image[100:104, 212:216] = 250  # a marker
    assert_close(find_sector(image), position=3.0, degrees=1.5)


def test_lossy_background_is_not_taken_for_echoes() -> None:
    image = fan() + np.random.default_rng(0).uniform(0, 3, (180, 200))
    assert_close(find_sector(image))


def test_an_image_smaller_than_the_sector() -> None:
    sector = find_sector(fan()[:, 30:170])
    moved = SectorShape((TRUTH.apex[0], TRUTH.apex[1] - 30), *TRUTH[1:])
    assert_close(sector, moved, position=2.0)


def test_an_outer_arc_beyond_the_image_is_not_claimed() -> None:
    sector = find_sector(fan()[:110])
    assert math.isnan(sector.edges.outer)
    assert sector.edges.inner > 0.95
    assert sector.opening_deg == pytest.approx(68.0, abs=1.0)
    assert sector.outer_radius_mm >= 121  # at least what is seen


def test_millimetres_and_oblong_pixels() -> None:
    spacing = (0.3, 0.45)
    truth = SectorShape((-5.0, 38.0), 0.1, math.radians(31), 18.0, 61.0)
    sector = find_sector(torch.from_numpy(fan((210, 180), truth, spacing)), spacing)
    assert_close(sector, truth, position=0.5, degrees=0.5)
    assert sector.apex_index == pytest.approx((sector.apex_mm[0] / 0.3, sector.apex_mm[1] / 0.45))


def test_mask_and_outline_are_the_sector() -> None:
    sector = Sector((-12.0, 97.0), 8.0, 68.0, 48.0, 175.0, None, 1.0, find_sector(fan()).edges)
    mask = sector.mask((180, 200)).numpy()
    assert (mask == (fan() > 0)).mean() > 0.9999
    radii = (sector.outline_mm() - torch.tensor(sector.apex_mm)).norm(dim=-1)
    assert set(radii.round(decimals=6).tolist()) == {48.0, 175.0}


def test_the_probe_has_the_same_field_of_view() -> None:
    truth = SectorShape((-15.0, 30.0), 0.0, math.radians(30), 20.0, 62.0)
    sector = find_sector(fan((160, 200), truth, (0.3, 0.3)), 0.3)
    probe = sector.probe(frequency_mhz=5.0, n_scanlines=96)
    assert isinstance(probe, ConvexProbe)
    assert (probe.frequency_mhz, probe.n_scanlines) == (5.0, 96)
    assert probe.radius_mm == pytest.approx(20, abs=0.3)
    assert probe.depth_mm == pytest.approx(42, abs=0.4)
    assert probe.field_of_view_deg == pytest.approx(60, abs=0.6)


def test_a_fan_from_one_point_is_a_phased_probe() -> None:
    truth = SectorShape((2.0, 40.0), 0.0, math.radians(40), 0.0, 50.0)
    probe = find_sector(fan((200, 270), truth, (0.3, 0.3)), 0.3).probe()
    assert isinstance(probe, PhasedProbe)
    assert probe.depth_mm == pytest.approx(50, abs=0.5)


@pytest.mark.parametrize("left_handed", [False, True])
def test_pose_puts_the_probes_outline_on_the_sectors(left_handed: bool) -> None:
    spacing = (0.4, 0.5)
    sector = find_sector(fan((160, 170), SectorShape((-9.0, 40.0), 0.2, 0.5, 18.0, 62.0), spacing), spacing)
    affine = placed((*spacing, 1.0), left_handed=left_handed)
    at = pose.from_matrix(sector.world_from_probe(affine))
    corners = sector.outline_mm(2)[:4]  # inner first and second side, outer second and first side
    index = torch.cat([corners / torch.tensor(spacing), torch.zeros(4, 1)], dim=1)
    expected = pose.transform_points(affine, index)
    border = sector.probe().outline_mm(2)[:4]
    in_plane = torch.stack([border[:, 0], torch.zeros(4), border[:, 1]], dim=1)
    assert torch.allclose(pose.transform_points(at, in_plane), expected, atol=1e-6)


def test_without_a_spacing_there_is_no_probe() -> None:
    with pytest.raises(ValueError, match="give spacing_mm"):
        find_sector(fan()).probe()


def test_pose_refuses_another_spacing() -> None:
    with pytest.raises(ValueError, match="spacing of the affine"):
        find_sector(fan()[:, 5:], 0.3).world_from_probe(placed((0.5, 0.5, 1.0)))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((80, 80), 3.0), "constant"),
        (np.where(np.arange(6400).reshape(80, 80) == 99, np.nan, 1.0), "1 NaN"),
        (fan()[:20], "too small"),
        (
            np.eye(64) * 0 + (np.arange(64) == 5) * (np.arange(64)[:, None] == 5),
            "brighter than its background",
        ),
        (np.random.default_rng(1).uniform(5, 9, (90, 90)), "rectangle"),
        (np.pad(np.random.default_rng(1).uniform(5, 9, (90, 70)), 30), "rectangle"),
    ],
)
def test_refusals(image: np.ndarray, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_sector(image)


def test_a_turned_rectangle_is_a_linear_probes() -> None:
    rows, columns = np.meshgrid(np.arange(160.0) - 80, np.arange(160.0) - 80, indexing="ij")
    along, across = 0.8 * rows + 0.6 * columns, 0.8 * columns - 0.6 * rows
    noise = np.random.default_rng(2).uniform(20, 90, (160, 160))
    with pytest.raises(ValueError, match="LinearProbe"):
        find_sector(np.where((abs(along) < 55) & (abs(across) < 35), noise, 0))


def test_a_round_image_is_a_radial_probes() -> None:
    rows, columns = np.meshgrid(np.arange(160.0) - 80, np.arange(160.0) - 80, indexing="ij")
    noise = np.random.default_rng(2).uniform(20, 90, (160, 160))
    with pytest.raises(ValueError, match="RadialProbe"):
        find_sector(np.where(np.hypot(rows, columns) < 70, noise, 0))


def test_a_shape_that_is_nothing_is_refused() -> None:
    rows, columns = np.meshgrid(np.arange(160.0) - 80, np.arange(160.0) - 80, indexing="ij")
    star = np.hypot(rows, columns) < 50 + 25 * np.cos(5 * np.arctan2(rows, columns))
    with pytest.raises(ValueError, match="no sector explains"):
        find_sector(np.where(star, np.random.default_rng(2).uniform(20, 90, (160, 160)), 0))


@pytest.mark.parametrize("spacing", [0.005, 12.0])
def test_an_implausible_size_is_refused(spacing: float) -> None:
    with pytest.raises(ValueError, match="check spacing_mm"):
        find_sector(fan(), spacing)


def test_wrong_shapes_and_spacings_are_refused() -> None:
    with as_users_run():
        with pytest.raises(ValueError, match=r"expected shape \(rows, columns\), got \(80, 80, 3\)"):
            find_sector(np.zeros((80, 80, 3)))
        with pytest.raises(ValueError, match="above 0"):
            find_sector(fan(), -1.0)
        with pytest.raises(ValueError, match="between rows, between columns"):
            find_sector(fan(), (1.0, 1.0, 1.0))


HAND_DRAWN = ("Case002a_k070", "Case002b_k050", "Case046_k110", "Case103_k070")


@pytest.mark.parametrize("name", HAND_DRAWN)
def test_hand_drawn_sectors_of_real_images(shared_data: Path, name: str) -> None:
    hand = json.loads((shared_data / "remind_slices" / "geometry.json").read_text())[name]
    sector = find_sector(np.load(shared_data / "remind_slices" / f"{name}.npz")["us"])
    column, row = hand["apex_xy"]
    opening = math.degrees(math.atan(hand["right_line"][0]) - math.atan(hand["left_line"][0]))
    assert math.dist(sector.apex_mm, (row, column)) < 6
    assert sector.opening_deg == pytest.approx(opening, abs=4)
    assert sector.inner_radius_mm == pytest.approx(hand["d1"], abs=5)
    # The outer arc drawn in Case103 lies 11 pixels inside the image; there only the image is the measure.
    assert sector.outer_radius_mm == pytest.approx(hand["d2"], abs=9 if name.startswith("Case103") else 5)
    assert min(sector.edges) > 0.95 and sector.overlap > 0.98


def test_a_wide_real_fan_cut_on_both_sides(shared_data: Path) -> None:
    import SimpleITK as sitk

    file = shared_data / "ultrasound" / "BkCurvilinearScanConvertedData.igs.mha"
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(file))).squeeze()
    sector = find_sector(image)
    assert sector.overlap > 0.99 and min(sector.edges) > 0.95
    assert sector.axis_deg == pytest.approx(0, abs=0.2) and sector.opening_deg == pytest.approx(140, abs=1)


def test_two_real_fans_side_by_side(shared_data: Path) -> None:
    """One probe made both halves, so both must give the same sector; the whole is refused."""
    import SimpleITK as sitk

    file = shared_data / "ultrasound" / "gdcm-US-ALOKA-16.dcm"
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))[0].astype(float).mean(axis=-1)
    left, right = find_sector(image[22:414, 32:330]), find_sector(image[22:414, 337:])
    assert left.apex_mm[0] == pytest.approx(right.apex_mm[0], abs=2)
    assert left.opening_deg == pytest.approx(right.opening_deg, abs=1)
    assert left.inner_radius_mm == pytest.approx(right.inner_radius_mm, abs=2)
    assert math.isnan(left.edges.outer) and math.isnan(right.edges.outer)
    with pytest.raises(ValueError, match="crop it"):
        find_sector(image)


def test_a_real_phased_cine(shared_data: Path) -> None:
    import SimpleITK as sitk

    file = shared_data / "ultrasound" / "examples_ybr_color.dcm"
    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    sector = find_sector(frames.max(axis=(0, -1)))
    assert abs(math.remainder(sector.axis_deg, 360)) < 3
    assert 78 < sector.opening_deg < 92
    assert 190 < sector.outer_radius_mm < 200  # the arc near the bottom, row 198


def test_a_real_linear_frame_is_refused(shared_data: Path) -> None:
    import SimpleITK as sitk

    frames = sitk.GetArrayFromImage(
        sitk.ReadImage(str(shared_data / "ultrasound" / "BoneUltrasound_L14.igs.mha"))
    )
    with pytest.raises(ValueError, match="linear probe"):
        find_sector(frames[0])
