"""Stages of a registration, from coarse to fine: how both images are looked at, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import torch

from diffus.checks import require_in_range
from diffus.imaging.formation import resampled
from diffus.probe import AnyProbe
from diffus.scalars import number


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How images are compared in one stage of the descent.

    Args:
        blur_mm: sigma of the Gaussian that both images are blurred with, which also averages speckle away.
        spacing_mm: depth of a cell of the coarsened sector. Scanlines lie 1.5 times as far apart in the
            middle of the depth.
        trend_mm: sigma along a scanline of the slow trend that is taken away, which removes gain, TGC,
            attenuation and shadows.
        window_mm: sigma of the window in which contrast is made alike.
        tolerance: residual energy, in units of its mean, at which a place counts half; what departs further,
            as the edge of a shadow, counts ever less.
        n_iterations: Gauss-Newton steps at most.
        n_kept: poses that go on to the next stage.
    """

    blur_mm: float
    spacing_mm: float
    trend_mm: float
    window_mm: float
    tolerance: float = 4.0
    n_iterations: int = 6
    n_kept: int = 1

    RANGES: ClassVar[dict[str, tuple[float, float]]] = {
        "blur_mm": (0.1, 50.0),
        "spacing_mm": (0.05, 50.0),
        "trend_mm": (0.5, 500.0),
        "window_mm": (0.5, 500.0),
        "tolerance": (0.1, 1e6),
        "n_iterations": (1, 1000),
        "n_kept": (1, 10_000),
    }

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = self.RANGES[field.name]
            require_in_range("Stage", low, high, **{field.name: getattr(self, field.name)})

    @property
    def step(self) -> float:
        """Finite difference in degrees and mm: a third of the blur, over which images change smoothly."""
        return max(0.2, self.blur_mm / 3)

    def coarsened(self, probe: AnyProbe) -> AnyProbe:
        """The probe with this stage's sector, and a pulse that its cells resolve; never finer than it is."""
        middle = torch.tensor([0.5 * number(probe.depth_mm)], dtype=torch.float64)
        width = float(probe.lateral_spacing_mm(middle)) * (probe.n_scanlines - 1)
        lines = max(8, round(width / (1.5 * self.spacing_mm)) + 1)
        samples = max(8, round(number(probe.depth_mm) / self.spacing_mm))
        return resampled(probe, min(probe.n_scanlines, lines), min(probe.n_samples, samples))


SURVEY = Stage(blur_mm=1.2, spacing_mm=1.3, trend_mm=2.5, window_mm=5.0)
"""How the poses around the initial one are looked at, before any descent.

Trends are short: what varies over 2 to 3 mm along the beam is boundaries, which a wrong table of tissues or
the other contrast leaves in place; what varies slower is the brightness of tissues, which they do not
(docs/concepts/registration.md has what it is worth).
"""

COARSE_TO_FINE = (
    Stage(blur_mm=1.2, spacing_mm=1.1, trend_mm=2.5, window_mm=5.0, n_iterations=6, n_kept=16),
    Stage(blur_mm=0.9, spacing_mm=0.7, trend_mm=2.5, window_mm=5.0, n_iterations=6, n_kept=4),
    Stage(blur_mm=0.6, spacing_mm=0.35, trend_mm=2.5, window_mm=4.0, tolerance=3.0, n_iterations=30),
)
"""The stages of a descent: few cells first, for all starts, then more for those that are left."""

WHOLE_TISSUE = Stage(
    blur_mm=0.7, spacing_mm=0.35, trend_mm=6.0, window_mm=5.0, tolerance=3.0, n_iterations=30
)
"""How a descent ends where the medium explains the image, so that the brightness of whole tissues counts too;
it may halve the error."""
