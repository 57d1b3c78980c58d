"""Media from every source, against the tissue table."""

from __future__ import annotations

import pytest
import torch
from tests.scenes import IDENTITY
from tests.support import as_users_run

import diffus
from diffus import TISSUES, Medium, TissueMaps, Volume
from diffus.mixing import CHANNELS
from diffus.tissues import SULCUS_BACKSCATTER

SHAPE = (3, 4, 5)


def constant(value: float, shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume(torch.full(shape, value), IDENTITY)


def test_a_pure_tissue_has_its_row_of_the_table() -> None:
    for name in ("white_matter", "csf", "cortical_bone"):
        medium = Medium.from_tissue_maps(TissueMaps({name: constant(1.0)}))
        expected = torch.tensor(TISSUES[name].acoustic)
        assert torch.allclose(medium.channels, expected.expand(*SHAPE, 3), rtol=1e-5)


def test_surroundings_fill_what_the_fractions_leave() -> None:
    medium = Medium.from_tissue_maps(TissueMaps({"white_matter": constant(0.25)}, surroundings="air"))
    white, air = TISSUES["white_matter"], TISSUES["air"]
    expected = 0.25 * white.impedance_mrayl + 0.75 * air.impedance_mrayl
    assert medium.impedance.flatten()[0].item() == pytest.approx(expected, rel=1e-5)
    assert medium.backscatter.flatten()[0].item() == pytest.approx(0.5 * white.backscatter, rel=1e-5)


def test_a_voxel_half_csf_half_grey_is_a_bright_sulcus() -> None:
    maps = TissueMaps({"csf": constant(0.5), "grey_matter": constant(0.5)})
    expected = (
        SULCUS_BACKSCATTER**2
        + (TISSUES["csf"].backscatter ** 2 + TISSUES["grey_matter"].backscatter ** 2) / 2
    ) ** 0.5
    assert Medium.from_tissue_maps(maps).backscatter.max().item() == pytest.approx(expected, rel=1e-4)
    dull = Medium.from_tissue_maps(maps, sulcus_backscatter=0.0)
    assert dull.backscatter.max().item() < TISSUES["grey_matter"].backscatter


def ball(radius_mm: float, shape: tuple[int, int, int], edge_mm: float = 1.0) -> torch.Tensor:
    """A ball in the middle of a 1 mm grid, with an edge that falls over ``edge_mm``."""
    axes = (torch.arange(n) - (n - 1) / 2 for n in shape)
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij")).norm(dim=0)
    return ((radius_mm - distance) / edge_mm + 0.5).clamp(0, 1)


def test_the_wall_of_a_ventricle_is_no_sulcus_and_a_sulcus_stays_one() -> None:
    shape = (61, 61, 61)
    brain, ventricle = ball(29.0, shape), ball(7.0, shape, edge_mm=3.0)
    slit = torch.zeros(shape)
    slit[28:33, 3:14, 30] = 0.5
    csf = torch.maximum(ventricle, slit) * brain
    maps = TissueMaps({"csf": Volume(csf, IDENTITY), "grey_matter": Volume(brain - csf, IDENTITY)})
    backscatter = Medium.from_tissue_maps(maps).backscatter
    grey = TISSUES["grey_matter"].backscatter
    wall = (ball(12.0, shape) > 0.5) & (brain == 1)
    assert backscatter[30, 30, 30].item() == pytest.approx(TISSUES["csf"].backscatter, rel=1e-3)
    assert backscatter[wall].max().item() < 1.6 * grey
    assert backscatter[30, 8, 30].item() > 5 * grey


def test_ct_numbers_become_tissue() -> None:
    values = torch.tensor([-1000.0, 0.0, 50.0, 1200.0]).reshape(4, 1, 1)
    medium = Medium.from_ct(Volume(values, IDENTITY))
    air, water, soft, bone = medium.impedance.flatten().tolist()
    assert air < 0.01
    assert 1.45 < water < 1.56 < soft < 1.75
    assert bone > 3
    assert medium.attenuation.flatten().argmin().item() == 1


def test_labels_with_ct_behind_them() -> None:
    labels = torch.tensor([0, 1, 0]).reshape(3, 1, 1)
    ct = Volume(torch.tensor([1200.0, 40.0, -1000.0]).reshape(3, 1, 1), IDENTITY)
    from diffus.labels import LabelTable, label_table

    table = label_table("fast")
    assert isinstance(table, LabelTable)
    medium = Medium.from_labels(Volume(labels, IDENTITY), table, ct=ct)
    assert medium.impedance[0].item() > 3
    assert medium.impedance[1].item() == pytest.approx(TISSUES["csf"].impedance_mrayl, rel=1e-5)


def test_from_channels_shares_memory_and_to_changes_type() -> None:
    channels = torch.rand(*SHAPE, 3) + 0.1
    medium = Medium.from_channels(channels, IDENTITY)
    assert medium.channels is channels
    assert medium.impedance.data_ptr() == channels.data_ptr()
    assert medium.to(torch.float64).impedance.dtype == torch.float64
    assert medium.volume("attenuation").shape == SHAPE


def test_gradient_reaches_separate_maps_more_than_once() -> None:
    maps = [(torch.rand(SHAPE) + 0.1).requires_grad_() for _ in CHANNELS]
    medium = Medium(*maps, IDENTITY)
    for _ in range(2):
        medium.channels.sum().backward()
    assert maps[2].grad is not None and torch.equal(maps[2].grad, torch.full(SHAPE, 2.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"impedance": torch.zeros(SHAPE)}, "impedance must be above 0"),
        ({"impedance": torch.full(SHAPE, float("nan"))}, "impedance must be finite and not negative"),
        ({"attenuation": torch.full(SHAPE, -0.1)}, "attenuation must be finite and not negative"),
        ({"backscatter": torch.full(SHAPE, float("inf"))}, "backscatter must be finite"),
        ({"backscatter": torch.ones(2, 2, 2)}, r"share shape.*3 x 4 x 5.*2 x 2 x 2"),
        ({"attenuation": torch.ones(SHAPE, dtype=torch.float64)}, "share shape, type and device"),
        ({"impedance": torch.ones(SHAPE, dtype=torch.long)}, r"floating point, got torch.int64: call .float"),
        ({"impedance": torch.ones(3, 4)}, r"expected shape \(I, J, K\), got \(3, 4\)"),
        ({"world_from_voxel": torch.zeros(4, 4)}, "last row|singular"),
    ],
)
def test_refuses_bad_maps(change: dict, message: str) -> None:
    good = {name: torch.ones(SHAPE) for name in CHANNELS} | {"world_from_voxel": IDENTITY}
    with as_users_run(), pytest.raises(ValueError, match=message):
        Medium(**(good | change))


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({}, "at least one map"),
        ({"gray": constant(0.5)}, "unknown tissue 'gray'"),
        ({"csf": constant(0.5), "grey_matter": constant(0.5, (3, 4, 6))}, "different grids"),
        ({"csf": constant(55.0)}, r"must lie in \[0, 1\].*divide by 100 or 255"),
        ({"csf": constant(0.8), "grey_matter": constant(0.8)}, "add up to 1.6"),
    ],
)
def test_refuses_bad_tissue_maps(maps: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TissueMaps(maps)


def test_refuses_an_mri_as_ct_and_grids_that_differ() -> None:
    with pytest.raises(ValueError, match=r"does not hold CT numbers: values from 0 to 0.*from_mri"):
        Medium.from_ct(constant(0.0))
    with pytest.raises(ValueError, match="labels and CT lie on different grids"):
        Medium.from_labels(
            Volume(torch.zeros(SHAPE, dtype=torch.long), IDENTITY), "fast", constant(0.0, (3, 4, 6))
        )


def test_public_names_are_there() -> None:
    for name in diffus.__all__:
        assert getattr(diffus, name) is not None
