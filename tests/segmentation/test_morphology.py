"""Morphology in millimetres, on balls and slabs of known size."""

from __future__ import annotations

import pytest
import torch

from diffus.segmentation import morphology

SPACING = (1.0, 1.0, 2.0)
SHAPE = (41, 41, 21)


def ball(radius_mm: float, centre_mm: tuple[float, float, float] = (20.0, 20.0, 20.0)) -> torch.Tensor:
    axes = [torch.arange(n) * s - c for n, s, c in zip(SHAPE, SPACING, centre_mm, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0) <= radius_mm


def test_distances_are_in_millimetres_along_every_axis() -> None:
    point = torch.zeros(SHAPE, dtype=torch.bool)
    point[20, 20, 10] = True
    distance = morphology.distance_to(point, SPACING)
    assert distance[20, 20, 10] == 0
    assert distance[25, 20, 10] == pytest.approx(5)
    assert distance[20, 20, 13] == pytest.approx(6)
    assert torch.isinf(morphology.distance_to(~torch.ones_like(point), SPACING)).all()


def test_dilating_and_eroding_change_the_radius() -> None:
    assert torch.equal(morphology.dilate(ball(0), SPACING, 7.0), ball(7))
    shrunk = morphology.erode(ball(12), SPACING, 5.0)
    assert bool((shrunk & ~ball(8)).sum() == 0) and bool((ball(6) & ~shrunk).sum() == 0)


def test_the_unknown_beyond_the_grid_is_not_eroded_from() -> None:
    everything = torch.ones(SHAPE, dtype=torch.bool)
    assert torch.equal(morphology.erode(everything, SPACING, 5.0), everything)
    assert torch.equal(morphology.open_largest(everything, SPACING, 5.0), everything)


def test_closing_bridges_a_narrow_furrow_and_not_a_wide_one() -> None:
    narrow, wide = torch.ones(SHAPE, dtype=torch.bool), torch.ones(SHAPE, dtype=torch.bool)
    narrow[19:22, :, 10:], wide[10:31, :, 6:] = False, False
    assert morphology.close(narrow, SPACING, 3.0)[20, 20, 12]
    assert not morphology.close(wide, SPACING, 3.0)[20, 20, 14]


def test_opening_drops_thin_bridges_and_small_pieces() -> None:
    body, satellite = ball(10, (14.0, 20.0, 20.0)), ball(5, (34.0, 20.0, 20.0))
    bridge = torch.zeros(SHAPE, dtype=torch.bool)
    bridge[14:34, 19:22, 10] = True
    opened = morphology.open_largest(body | satellite | bridge, SPACING, 3.0)
    assert not opened[34, 20, 10] and not opened[27, 20, 10]
    assert float((opened & body).sum() / body.sum()) > 0.9


def test_holes_are_filled_and_bays_are_not() -> None:
    shell = ball(14) & ~ball(6)
    assert torch.equal(morphology.fill_holes(shell), ball(14))
    shell[20, 20, :] = False
    assert not morphology.fill_holes(shell)[20, 20, 10]


def test_a_watershed_parts_on_the_crest() -> None:
    relief = torch.zeros(SHAPE)
    relief[25] = 1.0
    inside, outside = torch.zeros(SHAPE, dtype=torch.bool), torch.zeros(SHAPE, dtype=torch.bool)
    inside[2, 20, 10], outside[39, 20, 10] = True, True
    basin = morphology.watershed(relief, inside, outside)
    assert bool(basin[:25].all()) and not bool(basin[26:].any())


def test_smoothing_keeps_a_constant_and_works_on_thin_grids() -> None:
    for shape in ((3, 20, 20), (20, 20, 20)):
        assert torch.allclose(morphology.smooth(torch.full(shape, 3.0), (1, 1, 1), 2.0), torch.tensor(3.0))
