"""Pictures as the page takes them: a header in JSON, then the grey values of the pixels, one byte each."""

from __future__ import annotations

import json
import struct
import time
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from diffus.imaging.scan_conversion import PixelGrid
from diffus.keeping import kept
from diffus.probe import Probe
from diffus.scalars import number
from diffus.viewer.requests import View
from diffus.viewer.scene import ViewerScene

MOST_ROWS, MOST_COLUMNS = 512, 768
"""Pixels of a picture at most: finer than the pulse, and small enough to follow a hand."""

Picture = tuple[dict[str, Any], bytes]
"""Header and pixels."""


def rendered_picture(scene: ViewerScene, view: View) -> Picture:
    """The rendered picture of a view.

    Raises:
        ValueError: as `render`.
    """
    began = time.perf_counter()
    grid = pixel_grid(view.probe)
    frame = view.frame(scene)
    with torch.no_grad():
        pixels = grey(frame.cartesian(grid.spacing_mm)[0])
    milliseconds = round((time.perf_counter() - began) * 1e3, 2)
    header = _header("frame", grid, view) | {
        "milliseconds": milliseconds,
        "n_samples": view.probe.n_samples,
        "outline_mm": outline(view.probe),
    }
    return header, pixels.numpy().tobytes()


def real_picture(scene: ViewerScene, view: View) -> Picture:
    """The real picture on the pixels of the rendered one."""
    assert scene.ultrasound is not None
    grid = pixel_grid(view.probe)
    with torch.no_grad():
        pixels = grey(scene.ultrasound.pixels(view.probe, view.ultrasound_from_probe, grid))
    return _header("ultrasound", grid, view), pixels.numpy().tobytes()


def pixel_grid(probe: Probe) -> PixelGrid:
    """The pixels of a probe's pictures: as fine as its samples, but no more than `MOST_ROWS`."""
    left, right, top, bottom = probe.plane_bounds_mm()
    spacing = number(probe.depth_mm) / probe.n_samples
    spacing = max(spacing, (bottom - top) / MOST_ROWS, (right - left) / MOST_COLUMNS)
    return PixelGrid.around(probe, spacing)


def grey(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Display values in [0, 1] as grey levels from 0 to 255."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def outline(probe: Probe) -> list[list[float]]:
    """Closed outline of the field of view, (x, z) in mm in the probe frame."""
    return _outline(probe)


@kept
def _outline(probe: Probe) -> list[list[float]]:
    return [[round(x, 3), round(z, 3)] for x, z in probe.outline_mm().tolist()]


def packed(header: dict[str, Any], pixels: bytes) -> bytes:
    """Length of the header (little endian, four bytes), the header as JSON, and the pixels."""
    words = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<I", len(words)) + words + pixels


def unpacked(message: bytes) -> tuple[dict[str, Any], bytes]:
    """The inverse of `packed`."""
    (length,) = struct.unpack_from("<I", message)
    return json.loads(message[4 : 4 + length]), message[4 + length :]


def _header(kind: str, grid: PixelGrid, view: View) -> dict[str, Any]:
    rows, columns = grid.shape
    return {
        "type": kind,
        "width": columns,
        "height": rows,
        "left_mm": grid.x_mm,
        "top_mm": grid.z_mm,
        "spacing_mm": grid.spacing_mm,
        "pose": view.world_from_probe.flatten().tolist(),
    }
