"""Probes by name, and probes from JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffus.checks import require_one_of
from diffus.files import read_json
from diffus.probe import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe

PROBE_KINDS: dict[str, type[Probe]] = {
    kind.kind: kind for kind in (ConvexProbe, LinearProbe, PhasedProbe, RadialProbe)
}
"""Probe classes by the name used in files."""

PRESETS: dict[str, Callable[[], Probe]] = {
    # Small-footprint convex arrays used through a craniotomy: 5-8 MHz, about 20 mm radius, 60-70 degrees.
    # Aperture, window and bandwidth by the size of the grain in real frames (docs/concepts/against-real.md).
    "craniotomy": lambda: ConvexProbe(
        radius_mm=20.0,
        field_of_view_deg=65.0,
        depth_mm=70.0,
        frequency_mhz=6.0,
        fractional_bandwidth=0.5,
        focus_mm=40.0,
        aperture_mm=10.0,
        apodization="hann",
    ),
    # General abdominal curved array (as C5-2 and C5-1 types): 60 mm radius, 2-5 MHz, 15 cm and more.
    "abdominal": lambda: ConvexProbe(
        radius_mm=60.0,
        field_of_view_deg=60.0,
        depth_mm=150.0,
        n_samples=576,
        frequency_mhz=3.5,
        focus_mm=80.0,
        aperture_mm=25.0,
        elevation_focus_mm=80.0,
        elevation_aperture_mm=13.0,
    ),
    # Hockey-stick and small-parts linear arrays.
    "linear": lambda: LinearProbe(
        width_mm=38.0,
        depth_mm=50.0,
        frequency_mhz=9.0,
        focus_mm=25.0,
        aperture_mm=10.0,
        elevation_focus_mm=20.0,
        elevation_aperture_mm=4.0,
    ),
    # Sector probe through a small window, as in transcranial and cardiac imaging.
    "phased": lambda: PhasedProbe(
        field_of_view_deg=90.0, depth_mm=120.0, frequency_mhz=2.5, focus_mm=70.0, aperture_mm=20.0
    ),
    # Rotating or ring endocavity probe.
    "radial": lambda: RadialProbe(
        radius_mm=8.0,
        depth_mm=50.0,
        frequency_mhz=7.0,
        focus_mm=25.0,
        aperture_mm=8.0,
        n_scanlines=360,
    ),
}
"""Ready probes by name; each call builds a new one. Change one with ``probe.with_options(depth_mm=...)``."""


def preset(name: str) -> Probe:
    """A ready probe: craniotomy, abdominal, linear, phased or radial.

    Raises:
        ValueError: for an unknown name, listing the known.
    """
    require_one_of("probe preset", name, PRESETS)
    return PRESETS[name]()


def probe_from_dict(content: Mapping[str, Any]) -> Probe:
    """The probe that ``Probe.to_dict`` described.

    Raises:
        ValueError: for an unknown kind or field, or a value the probe refuses.
    """
    values = dict(content)
    kind = values.pop("kind", None)
    require_one_of("probe kind", kind, PROBE_KINDS)
    cls = PROBE_KINDS[str(kind)]
    known = [field.name for field in fields(cls)]
    for name, value in values.items():
        require_one_of(f"{cls.__name__} field", name, known)
        if not isinstance(value, int | float) and name not in cls.CHOICES:
            raise ValueError(f"{cls.__name__}: {name} must be a number, got {value!r}")
    return cls(**values)


def load_probe(name_or_path: str | os.PathLike[str]) -> Probe:
    """A preset by name, or a probe from a JSON file.

    Raises:
        FileNotFoundError: when it is neither a preset nor a file.
        ValueError: when the file does not describe a probe.
    """
    name = str(name_or_path)
    if name in PRESETS:
        return preset(name)
    if Path(name).suffix != ".json":
        require_one_of("probe (or give a .json file)", name, PRESETS)
    content = read_json(name, "probe")
    if not isinstance(content, dict):
        raise ValueError(f"{name}: a probe file holds one JSON object, got {type(content).__name__}")
    return probe_from_dict(content)
