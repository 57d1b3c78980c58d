"""How objects show themselves: right numbers, whole HTML, real PNG, never an error, never the tensor."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import tracemalloc
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
from tests.registration.scene import PROBE as SEEN_BY
from tests.scenes import IDENTITY, PROBES, STEERED, TILTED, moved, textured
from tests.support import as_users_run, placed
from torch.utils._python_dispatch import TorchDispatchMode

from diffus import Frame, LinearProbe, Medium, RenderSettings, Volume, render
from diffus.registration import RegistrationResult, SettingsResult
from diffus.registration.acquisition.verdict import Estimate
from diffus.reprs.facts import usual_range, value_range

SIGNATURE = b"\x89PNG\r\n\x1a\n"
VOID = {"img"}


class Reader(HTMLParser):
    """Texts and pictures of a page; refuses tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.pictures: list[bytes] = []
        self.feed(page)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        head, data = str(dict(attrs)["src"]).split(",", 1)
        assert (tag, head) == ("img", "data:image/png;base64")
        self.pictures.append(base64.b64decode(data, validate=True))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def frame() -> Frame:
    return render(moved(textured(torch.float32), TILTED), PROBES["convex"], TILTED)


def result(**changes: Any) -> RegistrationResult:
    covariance = torch.diag(torch.tensor([0.04, 0.01, 0.01, 0.09, 6.25, 0.01], dtype=torch.float64))
    away = IDENTITY.clone()
    away[0, 3] = 3.0
    whole = {
        "world_from_sweep": IDENTITY,
        "world_from_probe": IDENTITY[None],
        "initial": away,
        "covariance": covariance,
        "pivot": IDENTITY,
        "points": SEEN_BY.sample_points_mm()[::9, ::32].flatten(0, 1),
        "starts": torch.stack([away, IDENTITY]),
        "ends": torch.stack([IDENTITY, away]),
        "scores": torch.tensor([0.8, 0.3], dtype=torch.float64),
        "trajectory": torch.stack([away, IDENTITY]),
        "trajectory_scores": torch.tensor([torch.nan, 0.8], dtype=torch.float64),
        "verdict": "ambiguous",
        "reason": "one <direction> & more is open",
        "score": 0.8,
        "attainable": 0.9,
        "rendered": 12,
        "cells": 10,
        "seed": 0,
    }
    return RegistrationResult(**(whole | changes))


def settings_result() -> SettingsResult:
    gain = Estimate("gain_db", 3.21, 0.0, 0.5, 1.0, True)
    focus = Estimate("focus_mm", 30.0, 40.0, 9.0, 1.0, False)
    return SettingsResult(
        probe=PROBES["linear"],
        settings=RenderSettings(),
        attenuation_slope=1.0,
        world_from_probe=IDENTITY[None],
        estimates=(gain, focus),
        covariance=torch.eye(2, dtype=torch.float64),
        misfit_of_levels=1.5,
        misfit_of_grain=1.1,
        brightness_error_db=0.7,
        converged=True,
    )


OBLIQUE = Volume(torch.linspace(0, 99, 6 * 7 * 5).reshape(6, 7, 5), placed())
SHOWN = {
    "frame": (frame, ["1 image of 9 scanlines x 96 samples", "6 MHz", "depth 48 mm", "full propagation"]),
    "volume": (lambda: OBLIQUE, ["6 x 7 x 5 voxels of 0.7 x 0.8 x 1.9 mm", "4.2 x 5.6 x 9.5 mm", "float32"]),
    "medium": (textured, ["25 x 21 x 47 voxels of 2 x 2 x 2 mm", "50 x 42 x 94 mm", "RAS", "float64"]),
    "convex": (lambda: PROBES["convex"], ["9 scanlines x 96 samples", "radius 20 mm, opening 40 deg"]),
    "radial": (lambda: PROBES["radial"], ["radius 6 mm", "108 x 108 mm", "0.5 mm a sample"]),
    "steered": (lambda: STEERED["steered phased"], ["opening 40 deg, steered by 20 deg", "6 MHz"]),
    "registration": (result, ["ambiguous", "0.800 of 0.900", "3.00 mm", "0.3, 2.5, 0.1 mm", "0.2, 0.1"]),
    "settings": (settings_result, ["1 of 2 settings", "gain_db 3.21 +- 0.5;", "30 +- 9 (undetermined)"]),
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_paragraph_holds_the_numbers_and_no_tensor(name: str) -> None:
    make, expected = SHOWN[name]
    words = repr(make())
    for part in expected:
        assert part in words
    assert "tensor" not in words and "\n" not in words and len(words) < 700


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_is_whole_and_holds_a_picture(name: str) -> None:
    thing = SHOWN[name][0]()
    page = thing._repr_html_()
    read = Reader(page)
    text = " ".join(read.text)
    assert type(thing).__name__ in text
    assert "cannot be described" not in text and "unknown" not in text
    assert not re.search(r"(src|href)=\"(?!data:)", page), "nothing is fetched from elsewhere"
    if name == "settings":
        assert "gain_db" in text and not read.pictures
        return
    (picture,) = read.pictures
    assert picture.startswith(SIGNATURE) and picture.endswith(b"IEND\xaeB`\x82")
    if name == "convex":
        assert thing._repr_png_() == picture


def test_a_page_says_what_its_paragraph_leaves_out() -> None:
    text = " ".join(Reader(result()._repr_html_()).text)
    assert "one <direction> & more is open" in text, "escaped in the page, itself when read"
    assert "6.2" in text and "0.09" in text, "the covariance"
    assert "sliding out of the image plane, towards anterior, 2.5 mm" in text
    medium = " ".join(Reader(textured()._repr_html_()).text)
    low, high = (float(v) for v in torch.quantile(textured().impedance, torch.tensor([0.01, 0.99]).double()))
    assert f"{low:.3g} to {high:.3g} MRayl" in medium
    assert "98 % of the voxels: 0.99 to 98 " in " ".join(Reader(OBLIQUE._repr_html_()).text)


def test_ranges_say_what_is_no_number() -> None:
    values = torch.tensor([0.25, float("nan"), 1.5, float("inf")])
    assert value_range(values) == "0.25 to 1.5, 2 of 4 NaN or infinite"
    assert value_range(values[1:2]) == "1 of 1 NaN or infinite"
    assert value_range(values[:0]) == "none"
    assert usual_range(torch.arange(1000.0).reshape(10, 10, 10), "mm") == "9.99 to 989 mm"


def _forced(thing: Any, **values: Any) -> Any:
    """The thing with fields that its constructor would have refused."""
    for name, value in values.items():
        object.__setattr__(thing, name, value)
    return thing


def _medium(size: int) -> Medium:
    values = torch.full((size,) * 3, 1.5)
    return Medium(values, values, values, IDENTITY)


LOST = torch.full((1, 4, 4), torch.nan, dtype=torch.float64)
NO_WAY = {
    "trajectory": LOST[:0],
    "starts": LOST[:0],
    "ends": LOST[:0],
    "scores": LOST[:0, 0, 0],
}
ODD = {
    "a frame of NaN": lambda: _forced(frame(), scanlines=torch.full((1, 9, 96), torch.nan)),
    "a frame from nowhere": lambda: _forced(frame(), world_from_probe=LOST),
    "a frame of no image": lambda: frame()[:0],
    "a frame with a gradient": lambda: _forced(frame(), scanlines=torch.zeros(1, 9, 96, requires_grad=True)),
    "a volume of one value": lambda: Volume(torch.ones(3, 3, 3), IDENTITY),
    "labels": lambda: Volume(torch.ones(3, 3, 3, dtype=torch.uint8), IDENTITY),
    "a mask": lambda: Volume(torch.ones(3, 3, 3, dtype=torch.bool), IDENTITY),
    "a volume of nothing": lambda: _forced(Volume(torch.ones(2, 2, 2), IDENTITY), data=torch.zeros(0, 2, 2)),
    "a volume of NaN": lambda: _forced(Volume(torch.ones(2, 2, 2), IDENTITY), data=LOST[0, :3, :3, None]),
    "a medium of one voxel": lambda: _medium(1),
    "a broken medium": lambda: _forced(_medium(2), impedance=None),
    "a probe of one scanline": lambda: LinearProbe(n_scanlines=1, n_samples=1),
    "a probe with a gradient": lambda: LinearProbe(focus_mm=torch.tensor(20.0, requires_grad=True)),
    "a result of NaN": lambda: result(covariance=torch.full((6, 6), torch.nan, dtype=torch.float64)),
    "a result without a way": lambda: result(**NO_WAY, trajectory_scores=LOST[:0, 0, 0]),
}
"""Objects whose content is at the edge of what constructors let through, or beyond."""


@pytest.mark.parametrize("name", ODD)
def test_odd_content_is_shown_all_the_same(name: str) -> None:
    with as_users_run():
        thing = ODD[name]()
        assert type(thing).__name__ in repr(thing)
        read = Reader(thing._repr_html_())
    assert type(thing).__name__ in " ".join(read.text)
    assert all(picture.startswith(SIGNATURE) for picture in read.pictures)


class _Largest(TorchDispatchMode):
    """Bytes of the largest tensor that is made, views of a given one aside."""

    def __init__(self, given: torch.Tensor) -> None:
        super().__init__()
        self.given, self.bytes = given.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() != self.given:
            self.bytes = max(self.bytes, made.untyped_storage().nbytes())
        return made


def test_a_large_volume_is_not_copied() -> None:
    volume = Volume(torch.zeros(256, 256, 256, dtype=torch.uint8), placed())
    volume.data[100:150, 100:150, 100:150] = 200
    with _Largest(volume.data) as largest:
        tracemalloc.start()
        assert len(Reader(volume._repr_html_()).pictures) == 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < volume.data.numel() and 0 < largest.bytes < volume.data.numel() / 4


def test_matplotlib_stays_out_of_the_import_and_of_words() -> None:
    code = (
        "import sys, diffus; repr(diffus.preset('linear')); "
        "assert not [name for name in sys.modules if name.startswith('matplotlib')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
