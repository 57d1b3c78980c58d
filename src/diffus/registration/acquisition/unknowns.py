"""The settings that can be recovered: where each lives, on which scale it is sought, and how finely."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_positive
from diffus.probe import Probe
from diffus.registration.motion import moved, pivot_of, sector_points
from diffus.scalars import number, plain
from diffus.settings import RenderSettings


class Kind(NamedTuple):
    """What is known of a setting before any image is seen.

    Args:
        owner: ``probe``, ``settings``, ``medium`` or ``pose``.
        relative: whether it is a positive scale, sought by its logarithm.
        step: of the differences that give derivatives; a share of the value where ``relative``.
        tolerance: the standard deviation up to which it counts as determined, in the same way.
        prior: how far from its start it may well be, as a standard deviation, in the same way.
        low: least value.
        high: largest value.
    """

    owner: str
    relative: bool
    step: float
    tolerance: float
    prior: float
    low: float
    high: float


def _scale(owner: str, low: float, high: float) -> Kind:
    return Kind(owner, True, 0.01, 0.05, 0.5, low, high)


KINDS: dict[str, Kind] = {
    "frequency_mhz": _scale("probe", 0.5, 60.0),
    "fractional_bandwidth": _scale("probe", 0.02, 1.9),
    "focus_mm": _scale("probe", 2.0, 500.0),
    "aperture_mm": _scale("probe", 0.5, 200.0),
    "depth_mm": _scale("probe", 5.0, 500.0),
    "radius_mm": _scale("probe", 1.0, 200.0),
    "field_of_view_deg": _scale("probe", 5.0, 179.0),
    "width_mm": _scale("probe", 2.0, 300.0),
    "attenuation_slope": _scale("medium", 0.02, 50.0),
    "attenuation_exponent": Kind("settings", False, 0.01, 0.05, 0.5, 0.5, 2.5),
    "dynamic_range_db": _scale("settings", 5.0, 190.0),
    "gain_db": Kind("settings", False, 0.25, 1.0, 20.0, -190.0, 190.0),
    "tgc_db_per_cm": Kind("settings", False, 0.05, 0.1, 5.0, 0.0, 99.0),
    "tgc_curve_db": Kind("settings", False, 0.25, 1.0, 20.0, -190.0, 190.0),
}
"""Settings by name. ``attenuation_slope`` is a factor on the medium's attenuation, which is in dB/cm/MHz."""

POSE_NAMES = (
    "turn_lateral_deg",
    "turn_elevation_deg",
    "turn_axial_deg",
    "shift_lateral_mm",
    "shift_elevation_mm",
    "shift_axial_mm",
)
_POSE_KIND = Kind("pose", False, 0.2, 1.0, 5.0, -90.0, 90.0)
_GEOMETRY = ("depth_mm", "radius_mm", "field_of_view_deg", "width_mm")


class Acquisition(NamedTuple):
    """All that the model of a frame needs beyond the medium.

    Args:
        probe: of the frames.
        settings: how they are shown.
        attenuation_slope: factor on the medium's attenuation.
        poses: ``world_from_probe`` of each frame.
    """

    probe: Probe
    settings: RenderSettings
    attenuation_slope: float
    poses: Float64[Tensor, "F 4 4"]


@dataclass(frozen=True)
class Unknown:
    """One number that is sought: a setting, a slider of the TGC, or a component of the pose.

    Args:
        name: as the user knows it.
        field: the setting it belongs to.
        kind: of that setting.
        start: value to begin at.
        prior: standard deviation of what was known, on the scale it is sought on.
    """

    name: str
    field: str
    kind: Kind
    start: float
    prior: float

    def inward(self, value: float) -> float:
        """From the value to the scale it is sought on."""
        return math.log(value) if self.kind.relative else value

    def outward(self, coordinate: float) -> float:
        """And back."""
        return math.exp(coordinate) if self.kind.relative else coordinate

    def slope(self, value: float) -> float:
        """How far the value moves when the coordinate moves by one."""
        return value if self.kind.relative else 1.0

    def tolerance(self, value: float) -> float:
        """Standard deviation up to which a value counts as determined, in the value's own unit."""
        if self.kind.relative:
            return self.kind.tolerance * value
        return (
            max(self.kind.tolerance, 0.05 * value) if self.field == "tgc_db_per_cm" else self.kind.tolerance
        )


class Unknowns:
    """The numbers sought together, and the acquisition that each choice of them makes.

    Args:
        free: names out of `KINDS`.
        start: where everything begins; what is not free stays there.
        with_pose: whether the pose moves too.
        priors: standard deviations by name, in the setting's own unit, instead of the wide default.

    Raises:
        ValueError: for no name, an unknown one, one that the probe has not, a TGC curve without sliders, or a
            prior for what is not free.
    """

    def __init__(
        self,
        free: Sequence[str],
        start: Acquisition,
        *,
        with_pose: bool = False,
        priors: Mapping[str, float] | None = None,
    ) -> None:
        self.start = start
        self._pivot = pivot_of(sector_points(start.probe))
        given = dict(priors or {})
        _check_names(free, given, start.probe, with_pose)
        self.each: list[Unknown] = []
        for name in dict.fromkeys(free):
            self.each += _of_setting(name, start, given.get(name))
        if with_pose:
            self.each += [_of_pose(name, given.get(name)) for name in POSE_NAMES]

    @property
    def names(self) -> list[str]:
        """Of all numbers, in order."""
        return [unknown.name for unknown in self.each]

    @property
    def moves_image(self) -> bool:
        """Whether a change moves tissue within the image."""
        return any(unknown.field in (*_GEOMETRY, "pose") for unknown in self.each)

    def coordinates(self) -> Float64[Tensor, " P"]:
        """Where the search begins."""
        return torch.tensor([u.inward(u.start) for u in self.each], dtype=torch.float64)

    def bounded(self, coordinates: Float64[Tensor, " P"]) -> Float64[Tensor, " P"]:
        """The nearest coordinates that every setting accepts."""
        low = torch.tensor([u.inward(u.kind.low) for u in self.each], dtype=torch.float64)
        high = torch.tensor([u.inward(u.kind.high) for u in self.each], dtype=torch.float64)
        return coordinates.clamp(low, high)

    def values(self, coordinates: Float64[Tensor, " P"]) -> list[float]:
        """The numbers in their own units."""
        return [u.outward(c) for u, c in zip(self.each, coordinates.tolist(), strict=True)]

    def acquisition(self, coordinates: Float64[Tensor, " P"]) -> Acquisition:
        """The acquisition that they make."""
        probe: dict[str, float] = {}
        settings: dict[str, float | list[float]] = {}
        slope, tangent = self.start.attenuation_slope, []
        for unknown, value in zip(self.each, self.values(coordinates), strict=True):
            if unknown.field == "tgc_curve_db":
                settings.setdefault("tgc_curve_db", []).append(value)  # pyright: ignore
            elif unknown.kind.owner == "probe":
                probe[unknown.field] = value
            elif unknown.kind.owner == "settings":
                settings[unknown.field] = value
            elif unknown.kind.owner == "medium":
                slope = value
            else:
                tangent.append(value)
        if "tgc_curve_db" in settings:
            settings["tgc_curve_db"] = tuple(settings["tgc_curve_db"])  # pyright: ignore
        poses = self.start.poses
        if tangent:
            poses = moved(poses, torch.tensor(tangent, dtype=torch.float64), self._pivot)
        return Acquisition(
            self.start.probe.with_options(**probe),
            self.start.settings.with_options(**settings),
            slope,
            poses,
        )


def known_settings(probe: Probe) -> list[str]:
    """Names of the settings that can be recovered for a probe."""
    of_probe = {field.name for field in fields(probe)}
    return [name for name, kind in KINDS.items() if kind.owner != "probe" or name in of_probe]


def _check_names(free: Sequence[str], priors: Mapping[str, float], probe: Probe, with_pose: bool) -> None:
    if isinstance(free, str):
        raise ValueError(f"free: expected a sequence of names, got the string {free!r}: write ({free!r},)")
    if not free and not with_pose:
        raise ValueError("free is empty and the pose is held: there is nothing to recover; name a setting")
    known = known_settings(probe)
    for name in free:
        if name in KINDS and name not in known:
            raise ValueError(
                f"free: a {type(probe).__name__} has no {name}; it has {', '.join(known)}: name one of those"
            )
        if name not in KINDS:
            raise ValueError(f"free: unknown setting {name!r}: expected some of {', '.join(known)}")
    sought = [*free, *(POSE_NAMES if with_pose else ())]
    for name, sigma in priors.items():
        if name not in sought:
            raise ValueError(f"priors: {name!r} is not sought; expected some of {', '.join(sought)}")
        require_positive("priors", **{name: sigma})


def _of_setting(name: str, start: Acquisition, prior: float | None) -> list[Unknown]:
    kind = KINDS[name]
    if name == "tgc_curve_db":
        curve = start.settings.tgc_curve_db
        if curve is None:
            raise ValueError(
                "free: tgc_curve_db is sought, but settings.tgc_curve_db is None and does not say how many "
                "sliders there are: start from a flat curve, such as RenderSettings(tgc_curve_db=(0.0,) * 8)"
            )
        numbers = plain(curve)
        return [
            Unknown(f"{name}[{k}]", name, kind, float(value), prior or kind.prior)
            for k, value in enumerate(numbers)
        ]
    value = _start_value(name, kind, start)
    if not kind.low <= value <= kind.high:
        raise ValueError(
            f"{name}: expected a start between {kind.low:g} and {kind.high:g}, got {value:g}: start within it"
        )
    sigma = kind.prior if prior is None else prior / (value if kind.relative else 1.0)
    return [Unknown(name, name, kind, value, sigma)]


def _start_value(name: str, kind: Kind, start: Acquisition) -> float:
    if kind.owner == "medium":
        return start.attenuation_slope
    if name == "tgc_db_per_cm":
        return number(start.settings.tgc_at(start.probe))
    value = getattr(start.probe if kind.owner == "probe" else start.settings, name)
    if isinstance(value, Tensor) and value.ndim:
        raise ValueError(f"{name}: expected one number for all frames, got shape {tuple(value.shape)}")
    return number(value)


def _of_pose(name: str, prior: float | None) -> Unknown:
    return Unknown(name, "pose", _POSE_KIND, 0.0, prior or _POSE_KIND.prior)
