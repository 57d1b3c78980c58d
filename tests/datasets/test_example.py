"""The embedded brain."""

from __future__ import annotations

import socket
import sys

import pytest
import torch

import diffus

pytest.importorskip("nilearn", reason="the example brain needs the extra [demo]")


@pytest.fixture(scope="module")
def brain() -> diffus.TissueMaps:
    return diffus.datasets.example_brain()


def test_it_is_the_mni_template(brain: diffus.TissueMaps) -> None:
    assert brain.image is not None
    assert brain.image.shape == (197, 233, 189)
    assert brain.image.spacing_mm == pytest.approx((1.0, 1.0, 1.0))
    assert brain.image.orientation == "RAS"
    litres = float(brain.mask.data.sum()) * 1e-6
    assert 1.7 < litres < 2.0  # the template is larger than most brains


def test_the_maps_fill_the_brain_and_nothing_else(brain: diffus.TissueMaps) -> None:
    total = torch.stack([volume.data for volume in brain.fractions.values()]).sum(dim=0)
    inside = brain.image.data > 0  # pyright: ignore[reportOptionalMemberAccess]
    assert torch.allclose(total[inside], torch.ones(()), atol=1e-5)
    assert float(total.max()) <= 1 + 1e-5


def test_places_known_from_the_atlas(brain: diffus.TissueMaps) -> None:
    places = {
        "csf": [(-8.0, 5.0, 15.0), (8.0, 5.0, 15.0)],  # frontal horns of the lateral ventricles
        "white_matter": [(-12.0, 30.0, 8.0), (-28.0, -25.0, 30.0)],  # forceps minor, corona radiata
        "grey_matter": [(12.0, 12.0, 10.0), (-40.0, 5.0, 0.0)],  # caudate, insula
    }
    for tissue, points in places.items():
        values = brain.fractions[tissue].sample(torch.tensor(points))
        assert bool((values > 0.6).all()), (tissue, values)


def test_ventricles_are_black_and_sulci_bright_in_the_picture(brain: diffus.TissueMaps) -> None:
    medium = diffus.Medium.from_tissue_maps(brain)
    backscatter = medium.volume("backscatter")
    ventricle = backscatter.sample(torch.tensor([(-8.0, 5.0, 15.0)]))
    white = backscatter.sample(torch.tensor([(-28.0, -25.0, 30.0)]))
    # Before gain and TGC black lies at -60 dB by default: fluid is black, brain is not.
    black = 10 ** (-float(diffus.RenderSettings().dynamic_range_db) / 20)
    assert float(ventricle) < 0.6 * black
    assert float(white) > 2.5 * black
    mixed = (brain.fractions["csf"].data - 0.5).abs() + (
        brain.fractions["grey_matter"].data - 0.5
    ).abs() < 0.1
    assert float(backscatter.data[mixed].median()) > 4 * float(white)


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    diffus.datasets.example_brain()


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(
        ValueError, match=r"nilearn is needed for the example brain.*pip install 'diffus\[demo\]'"
    ):
        diffus.datasets.example_brain()
