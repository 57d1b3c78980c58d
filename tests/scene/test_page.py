"""The web page of a scene: nothing from outside, the same numbers, and in a browser the same picture."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.scene.test_pictures import LINE, SAMPLE, ball_mesh, bright_sample, bright_spot, pixel_of
from tests.scenes import TILTED

from diffus import pose
from diffus.scene import Mesh, Picture, Scene

SIZE = (640, 480)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def scene_of_a_sample() -> Scene:
    scene = Scene("dark").add_frame(bright_sample("convex"), body=False, colour=(0.5, 0.0, 0.0))
    scene.add(ball_mesh(tuple((TILTED[:3, 3] + 30 * TILTED[:3, 1]).tolist()), 4.0, 0.5))
    return scene.add_landmarks(TILTED[None, :3, 3], ["</script><b>entry</b>"], colour=(0.0, 0.4, 0.0))


def content(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="scene">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = scene_of_a_sample().html("<title>")
    loads = [
        r"https?:",
        r"//[a-z]+\.",
        r"\b(src|href)\s*=\s*[\"']",
        "@import",
        r"url\(",
        r"fetch\(",
        "XMLHttp",
    ]
    assert not re.search("|".join(loads), page)
    assert "&lt;title&gt;" in page and "{{" not in page


def test_the_page_holds_the_parts_in_millimetres() -> None:
    scene = scene_of_a_sample()
    camera = scene.camera()
    parts = content(scene.html())["parts"]
    assert len(parts) == len(scene.parts)
    for part, held in zip(scene.parts, parts, strict=True):
        if not isinstance(part, Mesh | Picture):
            assert held["name"] == "</script><b>entry</b>"
            continue
        points = np.frombuffer(base64.b64decode(held["points"]), "<f4").reshape(-1, 3) + camera.centre_mm
        assert np.abs(points - part.points).max() < 1e-4
        triangles = np.frombuffer(base64.b64decode(held["triangles"]), "<u4").reshape(-1, 3)
        assert np.array_equal(triangles, part.triangles)
        if isinstance(part, Picture):
            png = base64.b64decode(held["image"].removeprefix("data:image/png;base64,"))
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), part.image)


def test_a_notebook_shows_the_page_in_a_frame() -> None:
    shown = scene_of_a_sample()._repr_html_()
    assert shown.startswith("<iframe srcdoc=") and "<script" not in shown


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium with WebGL in software."""
    place = next(filter(None, map(shutil.which, BROWSERS)), None)
    if place is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("no Chromium or no playwright: apt-get install chromium, pip install playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=place, args=FLAGS)
        yield opened
        opened.close()


def seen(tab: Any) -> np.ndarray:
    """The page without its controls, as pixels."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shot = tab.locator("#view").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def test_in_a_browser_the_page_shows_what_the_picture_shows(browser: Any, tmp_path: Path) -> None:
    scene = scene_of_a_sample()
    path = scene.save_html(tmp_path / "scene.html")
    tab = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
    told: list[str] = []
    tab.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda request: told.append(request.url) if "http" in request.url[:5] else None)
    tab.goto(path.as_uri())
    tab.wait_for_function("() => parts.every((part) => part.kind !== 'picture' || part.ready)")
    tab.get_by_role("button", name="image").click()
    tab.add_style_tag(content="#legend, #views, #axes, #scale, #labels { visibility: hidden }")

    # The bright sample, at the pixel where the camera of that view puts it.
    world = pose.transform_points(
        TILTED, bright_sample("convex").probe.sample_points_mm()[LINE, SAMPLE][None]
    )
    first = seen(tab)
    expected = pixel_of(scene.camera("image", (1200, 900)), world[0], SIZE)
    assert bright_spot(first) == pytest.approx(expected, abs=2.0)
    outline = (first[..., 0] > first[..., 1] + 30).sum()
    assert outline > 300
    assert tab.locator(".label").text_content() == "</script><b>entry</b>"

    # Keys and mouse turn it, 0 brings it back, the legend hides a part.
    tab.locator("#view").focus()
    tab.keyboard.press("ArrowLeft")
    assert np.abs(seen(tab) - first).max() > 50
    tab.keyboard.press("0")
    start = seen(tab)
    tab.mouse.move(300, 250)
    tab.mouse.down()
    tab.mouse.move(360, 250, steps=3)
    tab.mouse.up()
    assert np.abs(seen(tab) - start).max() > 50
    tab.evaluate("() => show('image')")
    tab.add_style_tag(content="#legend { visibility: visible !important; opacity: 0 }")
    tab.get_by_label("B-mode").uncheck()
    assert (seen(tab).min(axis=2) > 130).sum() == 0
    assert told == []
    tab.close()
