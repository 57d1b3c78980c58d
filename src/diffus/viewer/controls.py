"""What can be turned while looking: fields of the probe and of the settings, their ranges and their names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from diffus.checks import require_in_range, require_one_of
from diffus.imaging.formation import samples_needed
from diffus.probe import AnyProbe, Probe
from diffus.propagation import MODELS
from diffus.scalars import number, plain
from diffus.settings import SPECKLES, RenderSettings

OF_PROBE = ("frequency_mhz", "focus_mm", "depth_mm")
"""Fields of the probe that can be turned."""
OF_SETTINGS = ("gain_db", "tgc_db_per_cm", "dynamic_range_db", "propagation", "speckle")
"""Fields of the settings that can be turned."""
MOST_SAMPLES = 2048


class Control(NamedTuple):
    """One thing that can be turned: a number in a range, or one of several words.

    Args:
        of: ``probe`` or ``settings``, to which the field belongs.
        label: for people.
        value: at the start.
        unit: of a number.
        low: the least number.
        high: the largest.
        step: between numbers that are worth telling apart.
        choices: the words, for a field that takes words.
    """

    of: str
    label: str
    value: float | str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0
    choices: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        shared = {"of": self.of, "label": self.label, "value": self.value, "unit": self.unit}
        if self.choices:
            return shared | {"choices": list(self.choices)}
        return shared | {"min": self.low, "max": self.high, "step": self.step}

    def checked(self, name: str, value: Any) -> float | str:
        """The value, if it is one that this control can have.

        Raises:
            ValueError: naming the range or the words.
        """
        if self.choices:
            require_one_of(name, value, self.choices)
            return str(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, got {value!r}")
        require_in_range("viewer", self.low, self.high, **{name: value})
        return float(value)


def controls(probe: Probe, settings: RenderSettings) -> dict[str, Control]:
    """The controls by name, in the order in which a panel shows them.

    Ranges of the probe's fields lie around their values at the start, which suit the transducer: an abdominal
    array reaches deeper than a linear one.
    """
    frequency, focus, depth = (number(getattr(probe, name)) for name in OF_PROBE)
    tgc = number(settings.tgc_at(probe))
    gain, span = number(settings.gain_db), number(settings.dynamic_range_db)
    return {
        "frequency_mhz": Control("probe", "Frequency", frequency, "MHz", *_around(frequency, 0.4, 2.5), 0.1),
        "focus_mm": Control("probe", "Focus", focus, "mm", *_around(focus, 0.2, 2 * depth / focus), 1.0),
        "depth_mm": Control("probe", "Depth", depth, "mm", *_around(depth, 0.5, 2.0), 1.0),
        "gain_db": Control("settings", "Gain", gain, "dB", min(-40.0, gain), max(40.0, gain), 0.5),
        "tgc_db_per_cm": Control("settings", "TGC", tgc, "dB/cm", 0.0, max(30.0, _tenth(2 * tgc)), 0.1),
        "dynamic_range_db": Control(
            "settings", "Dynamic range", span, "dB", min(20.0, span), max(120.0, span), 1.0
        ),
        "propagation": Control("settings", "Propagation", settings.propagation, choices=tuple(MODELS)),
        "speckle": Control("settings", "Speckle", settings.speckle, choices=SPECKLES),
    }


def turned(
    probe: AnyProbe, settings: RenderSettings, values: Mapping[str, Any]
) -> tuple[AnyProbe, RenderSettings]:
    """Probe and settings with some controls turned.

    The number of depth samples grows with depth and frequency, so that the pulse is as well resolved as it
    was at the start.

    Args:
        probe: at the start.
        settings: at the start.
        values: ``{"probe": {field: value}, "settings": {field: value}}``; what is left out stays.

    Raises:
        ValueError: for a field that cannot be turned, or a value out of its range.
    """
    known = controls(probe, settings)
    checked: dict[str, dict[str, Any]] = {"probe": {}, "settings": {}}
    for of, changes in checked.items():
        given = values.get(of, {})
        if not isinstance(given, Mapping):
            raise ValueError(f"{of} must be an object of names and values, got {given!r}")
        names = [name for name, control in known.items() if control.of == of]
        for name, value in given.items():
            require_one_of(f"control of the {of}", name, names)
            found = known[name].checked(name, value)
            if found != known[name].value:
                changes[name] = found
    changed = probe.with_options(**checked["probe"])
    n_samples = _samples(probe, changed)
    return changed.with_options(n_samples=n_samples), settings.with_options(**checked["settings"])


def _samples(start: Probe, changed: Probe) -> int:
    """Depth samples that resolve the changed pulse as well as the start's did its own."""
    resolved = min(1.0, start.n_samples / samples_needed(start))
    needed = math.ceil(resolved * samples_needed(changed))
    return max(start.n_samples, min(needed, MOST_SAMPLES))


def _around(value: float, low: float, high: float) -> tuple[float, float]:
    """A range around a value in tenths, by factors."""
    return min(_tenth(low * value), value), max(_tenth(high * value), value)


def _tenth(value: float) -> float:
    return round(float(plain(value)), 1)
