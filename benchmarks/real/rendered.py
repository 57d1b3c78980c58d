"""The rendered frames: Case 24 where its real frames lie, and the embedded brain through the same probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float64
from torch import Tensor

import diffus
from diffus import Medium, Probe, RenderSettings, Volume

from .candidate import Candidate
from .cases import Sector, sectors
from .media import MRI, brain_maps, brain_medium, case24_medium
from .observation import observed, sweep_poses
from .sampling import eroded_support
from .scanline_image import ScanlineImage

FREQUENCY_MHZ = {"RESECT": 7.0, "ReMIND": 7.0}
"""Not in the files: the middle of what these probes offer through a craniotomy (4 to 8 and 5 to 13 MHz)."""
SAMPLES_PER_MM = 10
PRESSED_MM = 3.0
"""How deep a convex face is pressed into the brain, so that its sides touch it too."""
BRAIN_VIEWS = (
    ("left", (0.0, -15.0, 15.0)),
    ("right", (10.0, 20.0, 10.0)),
    ("superior", (25.0, -20.0, 20.0)),
    ("left", (0.0, -45.0, 20.0)),
    ("anterior", (15.0, 0.0, 15.0)),
)
"""Side of the embedded brain and point that is looked at, RAS mm."""


@dataclass(frozen=True, eq=False)
class View:
    """One plane to render.

    Args:
        medium: what is looked at.
        probe: with the real fan's geometry.
        world_from_probe: (4, 4).
        support: where the real volume has an image, if there is one at this place.
    """

    medium: Medium
    probe: Probe
    world_from_probe: Float64[Tensor, "4 4"]
    support: Volume | None = None


Renderer = Callable[[View], ScanlineImage]


def views(group: str, data: Path, candidate: Candidate, count: int) -> dict[str, list[View]]:
    """The sets of planes to render against the real ones of a group.

    Args:
        group: RESECT or ReMIND.
        data: folder of shared data.
        candidate: its tissues make the media, its probe fields the probes.
        count: planes in a set.
    """
    cases = list(sectors(group).values())
    sets = {"embedded brain": _brain_views(group, cases, candidate, count)}
    if group == "RESECT":
        case24 = sectors(group)["Case24"]
        real = Volume.load(data / case24.file)
        support, probe = eroded_support(real), with_geometry(group, case24.probe, candidate)
        poses = case24.poses()[:: max(1, len(case24.offsets_mm) // count)]
        for contrast in MRI:
            medium = case24_medium(data, contrast, candidate)
            sets[f"Case 24, {contrast}"] = [View(medium, probe, pose, support) for pose in poses]
    return sets


def with_geometry(group: str, geometry: Probe, candidate: Candidate) -> Probe:
    """A probe of the real fan's geometry and, for the rest, the craniotomy preset with its changes."""
    depth = diffus.scalars.number(geometry.depth_mm)
    samples = round(SAMPLES_PER_MM * depth)
    usual = diffus.preset("craniotomy")
    probe = geometry.with_options(
        frequency_mhz=FREQUENCY_MHZ[group],
        n_samples=samples,
        focus_mm=0.6 * depth,
        aperture_mm=usual.aperture_mm,
        apodization=usual.apodization,
        fractional_bandwidth=usual.fractional_bandwidth,
    )
    return probe.with_options(**candidate.probe)


def render_view(view: View, settings: RenderSettings) -> ScanlineImage:
    """Our renderer: a sweep, seen as the real frames were."""
    sweep = diffus.render(view.medium, view.probe, sweep_poses(view.world_from_probe), settings)
    return observed(sweep, view.support)


def _brain_views(group: str, cases: list[Sector], candidate: Candidate, count: int) -> list[View]:
    medium, mask = brain_medium(candidate), brain_maps().mask
    found = []
    for number, (side, target) in enumerate(BRAIN_VIEWS[:count]):
        geometry = cases[number % len(cases)].probe
        pose = diffus.on_surface(mask, target, side, standoff_mm=-PRESSED_MM)
        found.append(View(medium, with_geometry(group, geometry, candidate), pose))
    return found
