"""A browser that looks at a served scene, and what its page holds."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from torch import Tensor

WAIT_S = 60.0
_HARMLESS = "GPU stall due to ReadPixels"
"""What Chromium says where it has no graphics card."""


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window; a test is skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium found on the PATH: install it (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


class Tab:
    """The viewer in a tab: what it holds, and all that it complained of or asked the network for.

    Args:
        browser: that opens the tab.
        width: of the window.
        height: of the window.
        options: of the browser's context.
    """

    def __init__(self, browser: Browser, width: int = 1200, height: int = 640, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)

    def open(self, url: str) -> None:
        """Load the viewer, and wait until it shows MRI and image."""
        self.page.goto(url)
        self.until("!!window.diffus && document.getElementById('loading').hidden")
        self.settle()

    def until(self, condition: str, wait_s: float = WAIT_S) -> None:
        """Wait until a JavaScript expression is true (the page's policy forbids Playwright's own waiting)."""
        end = time.monotonic() + wait_s
        while not self.page.evaluate(condition):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {condition}; complaints: {self.complaints}")
            time.sleep(0.02)

    def settle(self) -> None:
        """Wait until image and MRI show the pose and the settings as they are."""
        self.until("diffus.live.isSettled && diffus.live.latest !== null && diffus.view.isSettled")

    def request(self) -> dict[str, Any]:
        """What the page asks the server for: pose, probe and settings."""
        return self.page.evaluate("diffus.state.request()")

    def pose(self) -> Tensor:
        """The pose that the page holds, (4, 4)."""
        return torch.tensor(self.request()["pose"], dtype=torch.float64).reshape(4, 4)

    def image(self) -> np.ndarray:
        """Grey values of the last frame, rows by columns."""
        script = """() => {
            const { width, height, pixels } = diffus.live.latest;
            let text = '';
            for (let i = 0; i < pixels.length; i += 8192) {
                text += String.fromCharCode(...pixels.subarray(i, i + 8192));
            }
            return [height, width, btoa(text)];
        }"""
        height, width, text = self.page.evaluate(script)
        return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width)

    def canvas(self, name: str, points: list[list[float]]) -> np.ndarray:
        """RGBA values of a canvas at points, (P, 4); the MRI is drawn again first, as WebGL forgets."""
        script = """([name, points]) => {
            const canvas = document.getElementById(name);
            if (name === 'mri-canvas') diffus.view.nv.drawScene();
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const context = copy.getContext('2d');
            context.drawImage(canvas, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            return points.map(([x, y]) => {
                const at = 4 * (Math.round(y - 0.5) * canvas.width + Math.round(x - 0.5));
                return [...data.subarray(at, at + 4)];
            });
        }"""
        return np.array(self.page.evaluate(script, [name, points]))

    def reset(self) -> None:
        """Back to the start."""
        self.page.evaluate(
            "document.activeElement?.blur(); diffus.state.restore(diffus.state.start); "
            "diffus.history.commit()"
        )
        self.settle()

    def close(self) -> None:
        """Close the tab and its context."""
        self.context.close()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _HARMLESS not in message.text:
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        self.asked.append(request.url)
