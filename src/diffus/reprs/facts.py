"""What there is to know of an object at a glance: a paragraph in a console, a table in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from diffus.affine import orientation_of, spacing_of
from diffus.reprs.never_raising import never_raising
from diffus.scalars import number

if TYPE_CHECKING:
    from diffus.frame import Frame
    from diffus.medium import Medium
    from diffus.probe import Probe
    from diffus.registration.acquisition.result import SettingsResult
    from diffus.registration.result import RegistrationResult
    from diffus.volume import Volume

Facts = dict[str, str]
"""Values by what they are; each value can be read alone."""
_ENOUGH = 100_000
_ANATOMY = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def paragraph(thing: Any, facts: Facts) -> str:
    """One short paragraph: the kind of thing, and its facts."""
    return f"{type(thing).__name__}({'; '.join(value for value in facts.values() if value)})"


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def frame_facts(frame: Frame) -> Facts:
    """Size, geometry, place and range of a frame."""
    count, lines, samples = frame.scanlines.shape
    probe = frame.probe
    place = "" if count == 0 else _place(frame.world_from_probe[0])
    return {
        "images": f"{_counted(count, 'image')} of {lines} scanlines x {samples} samples",
        "probe": f"{probe.kind} probe, {number(probe.frequency_mhz):g} MHz",
        "depth": f"depth {number(probe.depth_mm):g} mm",
        "field of view": f"field of view {_view(probe)}",
        "first pose" if count > 1 else "pose": place,
        "display values": f"display values {value_range(frame.scanlines)}",
        "rendering": f"{frame.settings.propagation} propagation, speckle {frame.settings.speckle}",
        "stored as": _stored(frame.scanlines),
    }


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def volume_facts(volume: Volume) -> Facts:
    """Size, spacing, place and type of a volume; its values are not looked at."""
    return _grid_facts(tuple(volume.data.shape), volume.world_from_voxel) | {
        "stored as": _stored(volume.data)
    }


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def medium_facts(medium: Medium) -> Facts:
    """Size, spacing, place and type of a medium; its values are not looked at."""
    grid = _grid_facts(tuple(medium.impedance.shape), medium.world_from_voxel)
    return grid | {"stored as": _stored(medium.impedance)}


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def probe_facts(probe: Probe) -> Facts:
    """Geometry and physics of a probe."""
    ends = torch.tensor([0.0, number(probe.depth_mm)], dtype=torch.float64)
    near, far = probe.lateral_spacing_mm(ends).detach().tolist()
    apart = f"{near:.2g}" if abs(far - near) < 0.01 * far else f"{near:.2g} to {far:.2g}"
    focus, aperture = number(probe.focus_mm), number(probe.aperture_mm)
    return {
        "samples": f"{probe.n_scanlines} scanlines x {probe.n_samples} samples",
        "depth": f"depth {number(probe.depth_mm):g} mm, {number(probe.sample_spacing_mm):.3g} mm a sample",
        "field of view": f"field of view {_view(probe)}",
        "shape": _shape(probe),
        "scanlines apart": f"scanlines {apart} mm apart",
        "pulse": f"{number(probe.frequency_mhz):g} MHz, bandwidth {number(probe.fractional_bandwidth):.0%}, "
        f"wavelength {number(probe.wavelength_mm):.3g} mm",
        "focus": f"focus {focus:g} mm, aperture {aperture:g} mm (F/{focus / aperture:.2g})",
        "slice": f"slice focused at {number(probe.elevation_focus_mm):g} mm, "
        f"{_counted(probe.n_elevation, 'plane')}",
    }


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def registration_facts(result: RegistrationResult) -> Facts:
    """Verdict, pose and uncertainty of a registration."""
    count, place = len(result.world_from_probe), _place(result.world_from_probe[0])
    turn, shift = result.sigma_deg.tolist(), result.sigma_mm.tolist()
    return {
        "verdict": f"{result.verdict}: {result.reason}",
        "correlation": f"correlation {result.score:.3f} of {result.attainable:.3f} attainable",
        "pose": place if count == 1 else f"first of {count} frames: {place}",
        "moved": f"moved {result.displacement_mm(result.initial):.2f} mm on average from the initial pose",
        "sigma of shifts": f"sigma {shift[0]:.2g}, {shift[1]:.2g}, {shift[2]:.2g} mm along x, y, z",
        "sigma of turns": f"sigma {turn[0]:.2g}, {turn[1]:.2g}, {turn[2]:.2g} deg about x, y, z",
        "determined worst": f"determined worst: {result.worst_direction}",
        "search": f"{_counted(len(result.starts), 'descent')}, {result.rendered} frames rendered",
    }


@never_raising(lambda error: {"content": f"cannot be described: {error}"})
def settings_facts(result: SettingsResult) -> Facts:
    """Which settings were found, and how well."""
    found = {
        e.name: f"{e.name} {e.value:.4g} +- {e.sigma:.2g}{'' if e.determined else ' (undetermined)'}"
        for e in result.estimates
    }
    rest = "came to rest" if result.converged else "did not come to rest: nothing counts as determined"
    return {
        "determined": f"{len(result.determined)} of {len(result.estimates)} settings determined",
        **found,
        "misfit": f"misfit: levels {result.misfit_of_levels:.2g}, grain {result.misfit_of_grain:.2g}",
        "brightness": f"brightness {result.brightness_error_db:.1f} dB off beyond speckle",
        "descent": f"the descent {rest}",
    }


def value_range(values: Tensor, unit: str = "") -> str:
    """Least and largest finite value, and how many are not."""
    plain = values.detach()
    if plain.numel() == 0:
        return "none"
    finite = plain[torch.isfinite(plain)]
    odd = plain.numel() - finite.numel()
    words = f"{odd} of {plain.numel()} NaN or infinite" if odd else ""
    if finite.numel() == 0:
        return words
    low, high = (float(v) for v in finite.aminmax())
    return f"{low:.3g} to {high:.3g}{unit and ' ' + unit}{words and ', ' + words}"


def usual_range(values: Tensor, unit: str) -> str:
    """First to 99th percentile of a map, from voxels at even steps, so that a large map is not read whole."""
    step = max(1, round((values.numel() / _ENOUGH) ** (1 / 3)))
    some = values.detach()[::step, ::step, ::step].flatten().float().cpu()
    low, high = torch.quantile(some, torch.tensor([0.01, 0.99])).tolist()
    return f"{low:.3g} to {high:.3g} {unit}"


def _grid_facts(shape: tuple[int, ...], affine: Tensor) -> Facts:
    spacing = spacing_of(affine)
    extent = [n * s for n, s in zip(shape, spacing, strict=True)]
    return {
        "voxels": f"{_product(shape)} voxels of {_product(spacing)} mm",
        "extent": f"{_product(extent)} mm in all",
        "orientation": orientation_of(affine),
    }


def _view(probe: Probe) -> str:
    left, right, top, bottom = probe.plane_bounds_mm()
    return f"{right - left:.3g} x {bottom - top:.3g} mm"


def _shape(probe: Probe) -> str:
    """What each kind of probe has of its own."""
    own = {
        "radius_mm": "radius {:g} mm",
        "width_mm": "width {:g} mm",
        "field_of_view_deg": "opening {:g} deg",
    }
    words = [text.format(number(getattr(probe, name))) for name, text in own.items() if hasattr(probe, name)]
    steering = number(getattr(probe, "steering_deg", 0.0))
    return ", ".join([*words, *([f"steered by {steering:g} deg"] if steering else [])])


def _place(world_from_probe: Tensor) -> str:
    """Where the face is and where it looks, in words."""
    at = world_from_probe.detach().cpu()
    place, beam = at[:3, 3].tolist(), at[:3, 2].tolist()
    order = sorted(range(3), key=lambda axis: -abs(beam[axis]))
    ways = "-".join(_ANATOMY[axis][beam[axis] > 0] for axis in order if abs(beam[axis]) > 0.35)
    return f"face at ({place[0]:.1f}, {place[1]:.1f}, {place[2]:.1f}) mm RAS, looking {ways or 'nowhere'}"


def _stored(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} on {values.device}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _product(numbers: tuple[float, ...] | list[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in numbers)
