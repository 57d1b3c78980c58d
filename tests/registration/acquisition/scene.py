"""The example brain through a craniotomy, with speckle that the recovery has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

import diffus
from diffus import Frame, Medium, Probe, RenderSettings
from diffus.registration import SettingsResult, recover_settings
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.tissue_maps import TissueMaps

PROBE = diffus.preset("craniotomy").with_options(n_scanlines=80, n_samples=384)
SETTINGS = RenderSettings(tgc_db_per_cm=10.0, gain_db=3.0)
PIVOT = pivot_of(sector_points(PROBE))
OFFSET = torch.tensor([0.7, -0.7, 0.5, 0.6, -0.6, 0.5], dtype=torch.float64)
"""Degrees and mm: 1 mm of shift."""


@cache
def brain() -> TissueMaps:
    return diffus.datasets.example_brain()


@cache
def medium() -> Medium:
    return Medium.from_tissue_maps(brain())


@cache
def pose() -> Tensor:
    return diffus.on_surface(brain().mask, side="left")


def sampled(
    seed: int = 5, probe: Probe = PROBE, settings: RenderSettings = SETTINGS, of: Medium | None = None
) -> Frame:
    """What a scanner shows."""
    shown = settings.with_options(speckle="sampled", seed=seed)
    return diffus.render(of or medium(), probe, pose(), shown)


@cache
def frame() -> Frame:
    return sampled()


def start(**values: Any) -> dict[str, Any]:
    """Arguments of `recover_settings` with some settings off."""
    of_probe = {name: value for name, value in values.items() if hasattr(PROBE, name)}
    of_settings = {name: value for name, value in values.items() if hasattr(SETTINGS, name)}
    others = {k: v for k, v in values.items() if k not in of_probe and k not in of_settings}
    return {
        "probe": PROBE.with_options(**of_probe),
        "settings": SETTINGS.with_options(**of_settings),
        "free": tuple(values),
        **others,
    }


def recover(
    shown: Frame, values: Mapping[str, Any], *, off: bool = False, of: Medium | None = None
) -> SettingsResult:
    """Seek the settings named, from the values given; with ``off`` also the pose, from 1 mm off."""
    place = moved(pose()[None], OFFSET, PIVOT) if off else pose()
    return recover_settings(
        shown.scanlines, of or medium(), world_from_probe=place, with_pose=off, **start(**values)
    )
