"""Golden images: figures kept as small PNGs, and the comparison of a figure with its own.

A figure is drawn by Agg, small, and compared with ``golden/NAME.png``. Both are averaged over 3 x 3 pixels,
so that a shade at the edge of a letter does not count; then at most `SHARE` of the pixels may differ by more
than `STEP` of 255. A picture upside down or the wrong way round, an outline that is missing, or another map
of colours changes several times as many (`test_golden.py` proves it).

To refresh the goldens on purpose, and then look at every one that git says has changed:
``DIFFUS_WRITE_GOLDEN=1 python -m pytest tests/plot/test_golden.py``.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

FOLDER = Path(__file__).parent / "golden"
MOST_DPI, WIDTH_PX = 80, 480
STEP = 24
SHARE = 0.001
_SHADES = 16
"""Step between the shades that are kept, which makes the files small."""


def pixels(drawn: Figure | Axes) -> np.ndarray:
    """What Agg draws, (H, W, 3)."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    assert isinstance(figure, Figure)
    file = io.BytesIO()
    dpi = min(MOST_DPI, WIDTH_PX / figure.get_figwidth())
    FigureCanvasAgg(figure).print_figure(file, dpi=dpi, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def share_that_differs(name: str, shown: np.ndarray) -> float:
    """Share of the pixels that differ from the golden image; all of them where the size does.

    Where DIFFUS_WRITE_GOLDEN is set, the golden image is written instead, and nothing differs.
    """
    path = FOLDER / f"{name}.png"
    if os.environ.get("DIFFUS_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        coarse = np.minimum(np.round(shown / _SHADES) * _SHADES, 255).astype(np.uint8)
        Image.fromarray(coarse).save(path, optimize=True)
        return 0.0
    kept = np.asarray(Image.open(path).convert("RGB"))
    if kept.shape != shown.shape:
        return 1.0
    apart = np.abs(_smooth(kept) - _smooth(shown)).max(axis=2)
    return float((apart > STEP).mean())


def _smooth(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows, columns = image.shape[:2]
    return np.mean([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=0)
