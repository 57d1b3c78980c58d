"""Photographs the live viewer with the embedded brain: ``python docs/viewer.py`` (needs Chromium)."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import torch
from PIL import Image

import diffus

LOG = logging.getLogger("viewer")
PICTURE = Path(__file__).parent / "pictures" / "viewer.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def photograph(address: str, browser: str, path: Path) -> None:
    """The page as a browser shows it once the first image is there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1280, "height": 720})
        page.goto(address)
        page.wait_for_timeout(10_000)
        for _ in range(3):  # the first image waits for kernels; its time is not to be shown
            page.keyboard.press("q")
            page.wait_for_timeout(1_500)
        page.screenshot(path=str(path))
        opened.close()


def main() -> None:
    """Serve the embedded brain beside a frame of it, and photograph the page."""
    from diffus.viewer import RealFrame, ViewerScene, ViewerServer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        LOG.warning("no Chromium is at hand: %s is left as it is", PICTURE)
        return
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    medium, probe = diffus.Medium.from_tissue_maps(brain), diffus.preset("craniotomy")
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    off = diffus.pose.perturb(at, torch.tensor([3.0, 2.0, -4.0, 3.0, 2.0, 1.0]))
    real = diffus.render(medium, probe, off, diffus.RenderSettings(speckle="sampled"))
    shown = ViewerScene(brain.image, medium, probe, at, name="MNI152, the embedded brain")
    shown = shown.with_ultrasound(RealFrame(real, has_pose=False, name="a frame from nearby"))
    with tempfile.TemporaryDirectory() as folder:
        with ViewerServer(shown, folder, port=0) as server:
            photograph(server.url, browser, Path(folder) / "whole.png")
        # 256 colours are enough for grey images and a few accents, at a third of the size.
        Image.open(Path(folder) / "whole.png").convert("RGB").quantize(256).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
