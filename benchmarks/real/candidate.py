"""A candidate: how the frames of one column are rendered, as changes of our defaults."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from diffus import ConvexProbe, RenderSettings
from diffus.checks import require_one_of
from diffus.tissues import SULCUS_BACKSCATTER, tissue

from .cases import GROUPS

SULCUS = "sulcus_backscatter"
SETTINGS = {entry.name for entry in fields(RenderSettings)}
PROBE = {entry.name for entry in fields(ConvexProbe)}


@dataclass(frozen=True)
class Candidate:
    """Changes of the defaults.

    Args:
        settings: fields of `RenderSettings`.
        probe: fields of the probe, but for its geometry, which is that of the real fan.
        backscatter: of tissues, by name.
        sulcus_backscatter: of a voxel half CSF, half grey matter.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    probe: dict[str, Any] = field(default_factory=dict)
    backscatter: dict[str, float] = field(default_factory=dict)
    sulcus_backscatter: float = SULCUS_BACKSCATTER

    def render_settings(self) -> RenderSettings:
        """Our defaults with the changes, speckle as a scanner shows it."""
        return RenderSettings(speckle="sampled").with_options(**self.settings)


DEFAULT = Candidate()
"""Our defaults as they are."""


def candidate_of(assignments: Iterable[str], base: Candidate = DEFAULT, group: str = "") -> Candidate:
    """Read ``name=value`` texts.

    Names: a field of the settings (``noise_db``) or of the probe (``aperture_mm``), a tissue
    (``tissue.csf``), or ``sulcus_backscatter``; behind the name of a group (``ReMIND.gain_db``) it counts
    for that group alone.
    Values as Python writes them: -110, None, (0, 0.3, 1).

    Args:
        assignments: the texts.
        base: what they are added to.
        group: of the real frames that this candidate is compared with.

    Raises:
        ValueError: for a text without ``=``, an unknown name, or a value that cannot be read.
    """
    settings, probe, backscatter = dict(base.settings), dict(base.probe), dict(base.backscatter)
    sulcus = base.sulcus_backscatter
    for text in assignments:
        name, value = _assignment(text)
        owner, _, rest = name.partition(".")
        if owner in GROUPS:
            if owner != group:
                continue
            name = rest
        if name == SULCUS:
            sulcus = float(value)
        elif name.startswith("tissue."):
            backscatter[tissue(name.removeprefix("tissue.")).name] = float(value)
        elif name in SETTINGS:
            settings[name] = value
        else:
            require_one_of("candidate's field", name, sorted(SETTINGS | PROBE | {SULCUS}))
            probe[name] = value
    return Candidate(settings, probe, backscatter, sulcus)


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set takes name=value, got {text!r}")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        return name.strip(), value.strip()


FOUND = (
    # SonoWand Invite (RESECT): most of the grey scale lies above what the tissue reaches.
    "RESECT.frequency_mhz=5",
    "RESECT.fractional_bandwidth=0.35",
    "RESECT.aperture_mm=6",
    "RESECT.focus_mm=20",
    "RESECT.gain_db=0",
    "RESECT.boundary_voxels=0.5",
    "RESECT.dynamic_range_db=80",
    "RESECT.grey_map=(0, 0.05, 0.11, 0.17, 0.24, 0.32, 0.5, 1)",
    # BK 5000 (ReMIND): our defaults, with a longer pulse.
    "ReMIND.fractional_bandwidth=0.35",
    "ReMIND.gain_db=-2",
)

CALIBRATED = {group: candidate_of(FOUND, group=group) for group in GROUPS}
"""What the study found near the real frames of each scanner: tissues in common, beam and display its own."""
