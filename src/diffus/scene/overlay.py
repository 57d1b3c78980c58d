"""What is written over a drawn scene: labels, the axes R, A and S, a scale bar and the legend."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from diffus.scene.camera import Camera, direction_letters
from diffus.scene.parts import Colour, Label, Mesh, Part

AXIS_COLOURS: dict[str, Colour] = {"R": (0.80, 0.20, 0.18), "A": (0.16, 0.56, 0.24), "S": (0.20, 0.36, 0.82)}
MOST_LISTED = 14
"""Rows of the legend; of more names the first so many."""

_STEPS_MM = (1, 2, 5, 10, 20, 50, 100, 200, 500)


def write_over(
    image: UInt8[np.ndarray, "H W 3"], parts: Sequence[Part], camera: Camera, background: Colour
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw labels, axes, scale bar and legend on what `offscreen.draw` made."""
    canvas = Image.fromarray(image)
    page = ImageDraw.Draw(canvas)
    text_px = max(11, round(canvas.height / 46))
    ink: Colour = (0.1, 0.1, 0.12) if sum(background) > 1.5 else (0.93, 0.93, 0.95)
    _draw_axes(page, canvas.size, camera, text_px)
    _draw_scale(page, canvas.size, camera, text_px, ink)
    _draw_legend(page, parts, text_px, ink, background)
    _draw_labels(
        page, canvas.size, [part for part in parts if isinstance(part, Label)], camera, text_px, background
    )
    return np.asarray(canvas)


def legend(parts: Sequence[Part]) -> list[tuple[str, Colour]]:
    """Names and colours of the parts that are listed, each once."""
    rows = {part.name: part.colour for part in parts if isinstance(part, Mesh) and part.listed}
    return list(rows.items())


def scale_bar_mm(width_mm: float) -> int:
    """A round length of a fifth of the picture's width or a little less."""
    return max((step for step in _STEPS_MM if step <= width_mm / 5), default=_STEPS_MM[0])


@lru_cache(maxsize=8)
def _font(size_px: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path(), "fonts", "ttf", name)), size_px)


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(255 * value) for value in colour)
    return red, green, blue


def _draw_axes(page: ImageDraw.ImageDraw, size: tuple[int, int], camera: Camera, text_px: int) -> None:
    length = 2.6 * text_px
    origin = np.array([4.4 * text_px, size[1] - 4.4 * text_px])
    # Those that point away are drawn first, so that the nearer ones cover them.
    for letter, (across, upwards), _ in sorted(direction_letters(camera), key=lambda axis: axis[2]):
        direction = np.array([across, -upwards])
        tip = origin + length * direction
        colour = _rgb(AXIS_COLOURS[letter])
        page.line([*origin, *tip], fill=colour, width=max(2, text_px // 6))
        length_shown = float(np.linalg.norm(direction))
        # An axis along the line of sight has no end to write at: its letter stands beside the origin.
        beside = direction / length_shown if length_shown > 0.12 else np.array([-0.9, 0.9])
        place = tip + 0.8 * text_px * beside
        page.text(tuple(place), letter, fill=colour, font=_font(text_px, bold=True), anchor="mm")


def _draw_scale(
    page: ImageDraw.ImageDraw, size: tuple[int, int], camera: Camera, text_px: int, ink: Colour
) -> None:
    scale = camera.pixels_per_mm(size)
    bar = scale_bar_mm(size[0] / scale)
    right, bottom = size[0] - 1.6 * text_px, size[1] - 1.4 * text_px
    left, tick, width = right - bar * scale, 0.4 * text_px, max(2, text_px // 7)
    page.line([left, bottom, right, bottom], fill=_rgb(ink), width=width)
    for end in (left, right):
        page.line([end, bottom - tick, end, bottom + tick], fill=_rgb(ink), width=width)
    middle = ((left + right) / 2, bottom - 0.5 * text_px)
    page.text(middle, f"{bar} mm", fill=_rgb(ink), font=_font(text_px), anchor="ms")


def _draw_legend(
    page: ImageDraw.ImageDraw, parts: Sequence[Part], text_px: int, ink: Colour, background: Colour
) -> None:
    rows = legend(parts)
    left, halo = 1.2 * text_px, max(2, text_px // 6)
    font = _font(round(0.92 * text_px))
    for row, (name, colour) in enumerate(rows[:MOST_LISTED]):
        top = text_px * (1.2 + 1.45 * row)
        corners = [left, top, left + text_px, top + text_px]
        page.rounded_rectangle(corners, radius=text_px // 5, fill=_rgb(colour), outline=_rgb(background))
        place = (left + 1.5 * text_px, top + text_px / 2)
        page.text(place, name, _rgb(ink), font, anchor="lm", stroke_width=halo, stroke_fill=_rgb(background))
    if len(rows) > MOST_LISTED:
        place = (left, text_px * (1.7 + 1.45 * MOST_LISTED))
        more = f"and {len(rows) - MOST_LISTED} more"
        page.text(place, more, _rgb(ink), font, anchor="lm", stroke_width=halo, stroke_fill=_rgb(background))


def _draw_labels(
    page: ImageDraw.ImageDraw,
    size: tuple[int, int],
    labels: Sequence[Label],
    camera: Camera,
    text_px: int,
    background: Colour,
) -> None:
    """Words beside their places, pushed down where they would cover others, with a line to their place."""
    if not labels:
        return
    places = camera.project(np.stack([label.at_mm for label in labels]), size)
    font = _font(round(0.95 * text_px), bold=True)
    taken: list[tuple[float, float, float, float]] = []
    for label, (x, y) in sorted(zip(labels, places, strict=True), key=lambda pair: pair[1][1]):
        wide = page.textlength(label.name, font=font)
        left = x + 0.7 * text_px if x + 0.9 * text_px + wide < size[0] else x - 0.7 * text_px - wide
        top = y - 1.3 * text_px
        while any(
            left < b[2] and left + wide > b[0] and top < b[3] and top + 1.15 * text_px > b[1] for b in taken
        ):
            top += 0.3 * text_px
        taken.append((left, top, left + wide, top + 1.15 * text_px))
        end = left if left > x else left + wide
        page.line([x, y, end, top + 0.6 * text_px], fill=_rgb(label.colour), width=1)
        page.text(
            (left, top),
            label.name,
            fill=_rgb(label.colour),
            font=font,
            stroke_width=max(2, text_px // 7),
            stroke_fill=_rgb(background),
        )
