"""What a probe looks like: its face, exact, and around it a plausible housing, handle and cable.

Everything is in the probe frame (x lateral, y elevation, z depth). Only the face is known to DiffUS; the
housing follows the usual shapes of such probes, scaled to the face. The marker, a knob on the housing,
stands on the side of the first scanline (-x), which B-mode images show on their left.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from diffus.probe import ConvexProbe, LinearProbe, Probe, RadialProbe
from diffus.scalars import number
from diffus.scene.shapes import Shape, ball, joined, stitched, tube

LENS_MM = 0.6
"""How far the acoustic lens, whose outside is the face, stands out of the housing."""
_CORNERS = 72
_PHASED_FACE_MM = 2.0
_SHAFT_MM = 95.0


def face(probe: Probe) -> Shape:
    """The transducer's face: where the scanlines start, over the height of the elements.

    Its points lie at the radius of a convex or radial probe from the arc's centre. A phased probe, whose
    scanlines start in one point, has the face of its aperture.
    """
    half = number(probe.elevation_aperture_mm) / 2
    profile = _profile(probe, 48)
    sides = np.linspace(half, -half, 5)
    rings = np.stack([np.insert(profile, 1, y, axis=1) for y in sides])
    return stitched(rings, closed=isinstance(probe, RadialProbe))


def housing(probe: Probe) -> Shape:
    """Housing, handle and the first of the cable."""
    return _endocavity(probe) if isinstance(probe, RadialProbe) else _hand_held(probe)


def marker(probe: Probe) -> Shape:
    """The orientation marker, on the side of the first scanline."""
    if isinstance(probe, RadialProbe):
        depth = number(probe.elevation_aperture_mm) / 2 + 6.0
        return ball(np.array([0.0, -depth, number(probe.radius_mm)]), 1.6)
    half_width, half_height, drop = _head_mm(probe)
    return ball(np.array([-half_width, 0.0, -drop - 11.0]), min(2.2, 0.25 * half_height + 0.8))


def _profile(probe: Probe, n: int) -> Float64[np.ndarray, "n 2"]:
    """The face in the image plane: x and z."""
    if isinstance(probe, ConvexProbe):
        radius, half = number(probe.radius_mm), math.radians(number(probe.field_of_view_deg)) / 2
        angle = np.linspace(-half, half, n)
        return np.stack([radius * np.sin(angle), radius * np.cos(angle) - radius], axis=1)
    if isinstance(probe, RadialProbe):
        angle = np.linspace(0, 2 * np.pi, 2 * n, endpoint=False)
        return number(probe.radius_mm) * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    x = np.linspace(-0.5, 0.5, n) * _flat_width_mm(probe)
    return np.stack([x, 0 * x], axis=1)


def _flat_width_mm(probe: Probe) -> float:
    if isinstance(probe, LinearProbe):
        return number(probe.width_mm)
    return max(number(probe.aperture_mm), _PHASED_FACE_MM)


def _head_mm(probe: Probe) -> tuple[float, float, float]:
    """Half width and half height of the housing at the face, and how far the ends of its arc lie back."""
    profile = _profile(probe, 3)
    border = 2.2 + 0.02 * float(np.ptp(profile[:, 0]))
    return (
        float(profile[:, 0].max()) + border,
        number(probe.elevation_aperture_mm) / 2 + 3.0,
        float(-profile[:, 1].min()),
    )


def _hand_held(probe: Probe) -> Shape:
    """Rings from the face back to the cable: as wide as the face, then as a hand can hold it."""
    width, height, drop = _head_mm(probe)
    grip_width, grip_height = min(max(0.62 * width, 9.0), 16.0), min(max(1.15 * height, 8.0), 11.5)
    front = [(share, share, LENS_MM, 1.0) for share in (0.001, 0.35, 0.6, 0.8, 0.92)]
    rings = [(width * a, height * b, back, bend) for a, b, back, bend in front]
    neck = drop + 14.0
    rings += [
        (0.985 * width, 0.97 * height, LENS_MM + 0.4, 1.0),
        (width, height, LENS_MM + 1.6, 0.97),
        (width, height, drop + 8.0, 0.0),
    ]
    for share in np.linspace(0.1, 1.0, 8):
        eased = share * share * (3 - 2 * share)
        mix = (width + eased * (grip_width - width), height + eased * (grip_height - height))
        rings.append((*mix, neck + share * (18.0 + 0.35 * width), 0.0))
    end = neck + 18.0 + 0.35 * width
    rings += [(1.06 * grip_width, grip_height, end + 22.0, 0.0), (grip_width, grip_height, end + 44.0, 0.0)]
    rings += [(0.8 * grip_width, 0.85 * grip_height, end + 53.0, 0.0), (4.6, 4.6, end + 57.0, 0.0)]
    rings += [(3.4, 3.4, end + 72.0, 0.0), (2.6, 2.6, end + 73.0, 0.0), (2.6, 2.6, end + 92.0, 0.0)]
    rings += [(0.01, 0.01, end + 92.0, 0.0)]
    return stitched(np.stack([_ring(probe, *ring) for ring in rings]))


def _ring(probe: Probe, width: float, height: float, back: float, bend: float) -> Float64[np.ndarray, "C 3"]:
    """A rounded rectangle across the probe, ``back`` mm behind the face and bent as the face is."""
    angle = -np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    roundness = 0.62 if width > 5.0 else 1.0
    x, y = (np.sign(f) * np.abs(f) ** roundness for f in (np.cos(angle), np.sin(angle)))
    profile = _profile(probe, 181)
    sag = np.interp(width * x, profile[:, 0], profile[:, 1])
    return np.stack([width * x, height * y, bend * sag - back], axis=1)


def _endocavity(probe: RadialProbe) -> Shape:
    """A rod along the elevation axis with a round tip; the handle lies towards -y."""
    radius, half = number(probe.radius_mm), number(probe.elevation_aperture_mm) / 2
    rod = radius - min(LENS_MM, 0.2 * radius)
    tip = np.linspace(np.pi / 2, 0, 8)
    y = [half + rod * math.sin(angle) for angle in tip]
    r = [max(rod * math.cos(angle), 1e-3) for angle in tip]
    grip = max(13.0, 1.3 * radius)
    back = [
        (0.0, rod),
        (1e-3, radius),
        (_SHAFT_MM, radius),
        (_SHAFT_MM + 14, grip),
        (_SHAFT_MM + 75, 1.05 * grip),
    ]
    back += [(_SHAFT_MM + 84, 0.8 * grip), (_SHAFT_MM + 88, 4.6), (_SHAFT_MM + 104, 3.0)]
    y += [-half - behind for behind, _ in back]
    r += [thickness for _, thickness in back]
    line = np.stack([0 * np.array(y), np.array(y), 0 * np.array(y)], axis=1)
    cable = tube(np.array([[0.0, y[-1], 0.0], [0.0, y[-1] - 22.0, 0.0]]), 2.6)
    return joined([tube(line, np.array(r), 48), cable])
