"""The picture follows the pose and the controls, the newest request first, and nothing stops the server."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.registration.scene import IDENTITY, PROBE, TRUTH, medium
from tests.viewer.served import AWAY, Page, answer, ask, scene, served
from websockets.exceptions import ConnectionClosed

import diffus
from diffus import Frame, RenderSettings, pose
from diffus.imaging.formation import samples_needed
from diffus.imaging.scan_conversion import PixelGrid
from diffus.viewer import ViewerScene
from diffus.viewer.controls import controls, turned
from diffus.viewer.live import MOST_CLIENTS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served(scene(), tmp_path_factory.mktemp("out")) as page:
        yield page


def levels(frame: Frame, header: dict[str, Any]) -> torch.Tensor:
    """Grey levels of a frame on the pixels that a header describes, straight from the scan conversion."""
    grid = PixelGrid(
        header["left_mm"], header["top_mm"], header["spacing_mm"], (header["height"], header["width"])
    )
    expected = frame.cartesian(grid.spacing_mm)
    assert frame.grid(grid.spacing_mm) == grid
    return (255 * expected[0]).round()


def test_the_picture_is_that_of_render_to_the_grey_level(page: Page) -> None:
    for number, at in enumerate((AWAY, TRUTH)):
        with page.live() as live:
            ask(live, number, at)
            found = answer(live, "frame")
        expected = levels(diffus.render(medium(), PROBE, at), found)
        assert torch.equal(found["pixels"].float(), expected)
        assert found["id"] == number
        assert torch.equal(torch.tensor(found["pose"], dtype=torch.float64).reshape(4, 4), at)
        assert found["outline_mm"][0] == found["outline_mm"][-1]


@pytest.mark.parametrize(
    ("of", "name", "value"),
    [
        ("probe", "frequency_mhz", 8.0),
        ("probe", "focus_mm", 15.0),
        ("probe", "depth_mm", 60.0),
        ("settings", "gain_db", 12.0),
        ("settings", "tgc_db_per_cm", 2.0),
        ("settings", "dynamic_range_db", 40.0),
        ("settings", "propagation", "published"),
        ("settings", "speckle", "sampled"),
    ],
)
def test_each_control_changes_the_picture_as_the_library_does(
    page: Page, of: str, name: str, value: Any
) -> None:
    with page.live() as live:
        ask(live, 1)
        before = answer(live, "frame")
        changes: dict[str, Any] = {of: {name: value}}
        ask(live, 2, **changes)
        found = answer(live, "frame")
    probe = PROBE.with_options(n_samples=found["n_samples"])
    probe = probe.with_options(**{name: value}) if of == "probe" else probe
    settings = RenderSettings(**{name: value}) if of == "settings" else RenderSettings()
    expected = levels(diffus.render(medium(), probe, AWAY, settings), found)
    assert torch.equal(found["pixels"].float(), expected)
    assert not torch.equal(found["pixels"], before["pixels"])


def test_deeper_and_higher_takes_more_samples_so_that_the_pulse_stays_resolved() -> None:
    more = {"probe": {"depth_mm": 80.0, "frequency_mhz": 10.0}}
    probe, _ = turned(PROBE, RenderSettings(), more)
    assert samples_needed(probe) <= probe.n_samples <= samples_needed(probe) + 1
    coarse, _ = turned(PROBE.with_options(n_samples=64), RenderSettings(), more)
    assert coarse.n_samples / samples_needed(coarse) == pytest.approx(64 / samples_needed(PROBE), rel=0.02)
    same, _ = turned(PROBE, RenderSettings(), {"probe": {"depth_mm": 30.0}})
    assert same.n_samples == PROBE.n_samples


def test_every_preset_can_be_turned_to_the_ends_of_its_ranges() -> None:
    for kind in ("craniotomy", "abdominal", "linear", "phased", "radial"):
        start = diffus.preset(kind)
        for name, control in controls(start, RenderSettings()).items():
            if not control.choices:
                assert control.low <= float(control.value) <= control.high, (kind, name)
                turned(start, RenderSettings(), {control.of: {name: control.low}})
                turned(start, RenderSettings(), {control.of: {name: control.high}})


NAN = [*AWAY.flatten().tolist()[:-1], float("nan")]
SCALED = (AWAY @ torch.diag(torch.tensor([2.0, 2, 2, 1], dtype=torch.float64))).flatten().tolist()
MIRRORED = (AWAY @ torch.diag(torch.tensor([-1.0, 1, 1, 1], dtype=torch.float64))).flatten().tolist()
FAR = pose.look_at((0.0, 0.0, 900.0), (0.0, 0.0, 950.0)).flatten().tolist()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pose": NAN}, "finite numbers, got nan"),
        ({"pose": SCALED}, "not rigid"),
        ({"pose": MIRRORED}, "reflection"),
        ({"pose": [1, 2, 3]}, "sixteen numbers.*got 3"),
        ({"pose": FAR}, "misses the volume by"),
        ({"pose": None}, "sixteen numbers"),
        ({"probe": {"frequency_mhz": 1e9}}, r"frequency_mhz must lie in \[2, 12.5\]"),
        ({"probe": {"frequency_mhz": True}}, "must be a number, got True"),
        ({"probe": {"n_scanlines": 10**6}}, "unknown control of the probe 'n_scanlines'"),
        ({"settings": {"speckle": "loud"}}, "'expected', 'sampled', 'none'"),
        ({"settings": {"gain_db": "NaN"}}, "must be a number"),
        ({"settings": [1]}, "object of names"),
        ({"probe": 0}, "object of names"),
        ({"mri_from_ultrasound": [0] * 16}, "last row"),
        ({"type": "shout"}, "unknown type of message 'shout'"),
        ({"path": "/etc/passwd"}, "unknown field of render 'path'"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_a_line_and_the_next_is_shown(
    page: Page, change: dict[str, Any], said: str
) -> None:
    with page.live() as live:
        live.send(json.dumps({"type": "render", "id": 5, "pose": AWAY.flatten().tolist()} | change))
        refused = answer(live)
        assert refused["type"] == "refused"
        assert refused["id"] == 5
        assert "\n" not in refused["message"]
        assert re.search(said, refused["message"])
        ask(live, 6)
        assert answer(live, "frame")["id"] == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 5000, "not JSON"),
        ("[]", "JSON object, got list"),
        ('{"type":"render"}', "id must be a whole number, got None"),
        ('{"type":"render","id":1.5}', "id must be a whole number, got 1.5"),
        (b"\x00\x01", "text in JSON, got bytes"),
    ],
)
def test_what_is_no_message_is_refused_without_a_number(page: Page, text: str | bytes, said: str) -> None:
    with page.live() as live:
        live.send(text)
        refused = answer(live)
        assert (refused["type"], refused["id"]) == ("refused", None)
        assert said in refused["message"]
        ask(live, 1)
        assert answer(live, "frame")["id"] == 1


class SlowScene(ViewerScene):
    """Takes its time, and counts."""

    rendered = 0

    def frame_at(self, world_from_probe: Any, probe: Any = None, settings: Any = None) -> Frame:
        type(self).rendered += 1
        time.sleep(0.05)
        return super().frame_at(world_from_probe, probe, settings)


def test_the_newest_request_wins_and_clients_take_turns(tmp_path: Path) -> None:
    with served(scene(kind=SlowScene), tmp_path) as page, page.live() as one, page.live() as two:
        SlowScene.rendered = 0
        for number in range(50):
            ask(one, number)
            time.sleep(0.002)
            ask(two, number)
        met = {}
        for name, live in (("one", one), ("two", two)):
            found = [answer(live, "frame")]
            while found[-1]["id"] != 49:
                found.append(answer(live, "frame"))
            met[name] = found
        for found in met.values():
            numbers = [header["id"] for header in found]
            assert numbers == sorted(numbers)
            assert len(numbers) + sum(header["dropped"] for header in found) == 50
            assert len(numbers) < 15
        assert SlowScene.rendered == len(met["one"]) + len(met["two"])
        assert abs(len(met["one"]) - len(met["two"])) <= 2


class BrokenScene(ViewerScene):
    """Fails in a way that nobody thought of, after the start."""

    broken = False

    def frame_at(self, world_from_probe: Any, probe: Any = None, settings: Any = None) -> Frame:
        if self.broken:
            raise KeyError("a bug")
        return super().frame_at(world_from_probe, probe, settings)


def test_a_bug_in_rendering_is_said_and_the_server_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(scene(kind=BrokenScene), tmp_path) as page, page.live() as live:
        BrokenScene.broken = True
        ask(live, 1)
        assert "a bug" in answer(live)["message"]
        BrokenScene.broken = False
        ask(live, 2)
        assert answer(live, "frame")["id"] == 2
    assert "rendering failed" in caplog.text


def test_a_page_that_does_not_read_holds_nobody_up(page: Page) -> None:
    with page.live() as idle, page.live() as live:
        for number in range(300):
            ask(idle, number)
        ask(live, 1)
        assert answer(live, "frame")["id"] == 1


def test_one_page_too_many_is_told_so(page: Page) -> None:
    with ExitStack() as pages:
        for _ in range(MOST_CLIENTS):
            live = pages.enter_context(page.live())
            ask(live, 1)
            answer(live, "frame")
        more = pages.enter_context(page.live())
        assert "close one of them" in answer(more)["message"]
        with pytest.raises(ConnectionClosed, match="1013"):
            answer(more)


def test_scene_json_tells_what_the_page_needs(page: Page) -> None:
    told = page.http.get("/scene.json").json()
    assert told["volume"]["bounds_mm"] == [[-40.0] * 3, [40.0] * 3]
    assert told["pose"] == AWAY.flatten().tolist()
    assert told["probe"]["kind"] == "convex"
    assert told["can_register"]
    assert list(told["settings"]) == list(controls(PROBE, RenderSettings()))
    assert told["settings"]["tgc_db_per_cm"]["value"] == pytest.approx(9.0)
    assert told["ultrasound"] == {"kind": "frame", "name": "taken", "pose": None}
    assert torch.tensor(told["outline_mm"])[:, 1].max() == pytest.approx(40.0, abs=0.05)


def test_servers_end_with_pages_still_open(tmp_path: Path) -> None:
    before = threading.active_count()
    with ExitStack() as pages:
        with served(scene(), tmp_path) as page:
            live = pages.enter_context(page.live())
            ask(live, 1)
            answer(live, "frame")
        with pytest.raises(ConnectionClosed):
            answer(live, "none of these")
    assert threading.active_count() <= before


def test_a_scene_whose_fan_misses_is_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="misses the volume"):
        ViewerScene(scene().image, medium(), PROBE, pose.look_at((0.0, 0.0, 900.0), (0.0, 0.0, 950.0)))
    with pytest.raises(ValueError, match="not rigid"):
        ViewerScene(scene().image, medium(), PROBE, 2 * IDENTITY + torch.diag(torch.tensor([0, 0, 0, -1.0])))
