"""Probes: where the scanlines start and run in the probe frame, and the physics of the transducer.

Probe frame: x lateral, y elevation, z axial (depth), in mm, origin at the middle of the transducer's face
(top of the arc for a convex probe, the axis of rotation for a radial one). Scanline s runs with growing x,
for a radial probe from +z towards +x. The image has ``n_samples`` cells of equal depth along each scanline;
cell k reaches from ``k * depth_mm / n_samples`` to ``(k + 1) * depth_mm / n_samples``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from diffus.checks import require_in_range, require_one_of, require_positive
from diffus.scalars import Scalar, as_double, as_scalar, number, plain

AnyProbe = TypeVar("AnyProbe", bound="Probe")
"""The kind of probe that a method is called on (beartype, on single methods, knows no `typing.Self`)."""


APODIZATIONS = ("rectangular", "hamming", "hann")
"""Windows over the aperture."""


class Scanlines(NamedTuple):
    """Start points (S, 3) in mm and unit directions (S, 3), in the probe frame, float64."""

    origins_mm: Float64[Tensor, "S 3"]
    directions: Float64[Tensor, "S 3"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Probe(ABC):
    """What every probe has. Continuous fields may be 0-d tensors, to which gradients then flow.

    Args:
        depth_mm: imaged depth along each scanline.
        frequency_mhz: centre frequency.
        fractional_bandwidth: -6 dB bandwidth over centre frequency.
        n_scanlines: scanlines in a frame.
        n_samples: depth cells along a scanline.
        n_elevation: planes over which the slice thickness is integrated; 1 is an infinitely thin slice.
        focus_mm: depth of the lateral (electronic) transmit focus.
        aperture_mm: width of the active aperture.
        apodization: window over the aperture: rectangular, hamming or hann. The rounder the window, the wider
            the beam at the focus and the weaker its side lobes, which the Gaussian beam does not have.
        dynamic_receive: receive focus follows the echo, with an aperture that opens with depth up to the
            full one at ``focus_mm``; otherwise transmit and receive share the fixed focus.
        elevation_focus_mm: depth of the lens focus.
        elevation_aperture_mm: height of the elements.
        speed_of_sound_m_s: speed the scanner assumes; turns time into depth and sets the wavelength.
    """

    kind: ClassVar[str]
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {"apodization": APODIZATIONS}
    """Fields that are words, and the words each knows."""
    SIGNED: ClassVar[dict[str, float]] = {"steering_deg": 60.0}
    """Fields that may be zero or negative, and how far from zero they may lie."""

    depth_mm: Scalar = 70.0
    frequency_mhz: Scalar = 6.0
    fractional_bandwidth: Scalar = 0.6
    n_scanlines: int = 192
    n_samples: int = 512
    n_elevation: int = 1
    focus_mm: Scalar = 40.0
    aperture_mm: Scalar = 14.0
    apodization: str = "rectangular"
    dynamic_receive: bool = True
    elevation_focus_mm: Scalar = 40.0
    elevation_aperture_mm: Scalar = 7.0
    speed_of_sound_m_s: Scalar = 1540.0

    def __post_init__(self) -> None:
        owner = type(self).__name__
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in self.CHOICES:
                require_one_of(f"{owner} {name}", value, self.CHOICES[name])
                continue
            if isinstance(field.default, bool):
                if not isinstance(value, bool):
                    raise ValueError(f"{owner}: {name} must be true or false, got {value!r}")
                continue
            if isinstance(value, Tensor) and value.ndim:
                raise ValueError(f"{owner}: {name} must be one number, got shape {tuple(value.shape)}")
            if name in self.SIGNED:
                require_in_range(owner, -self.SIGNED[name], self.SIGNED[name], **{name: value})
                continue
            require_positive(owner, **{name: value})
            if name.startswith("n_") and (not isinstance(value, int) or isinstance(value, bool)):
                raise ValueError(f"{owner}: {name} must be a whole number, got {value!r}")
        require_in_range(owner, 0.01, 2.0, fractional_bandwidth=self.fractional_bandwidth)

    @abstractmethod
    def scanlines(self) -> Scanlines:
        """Start points and unit directions of the scanlines in the probe frame."""

    @abstractmethod
    def scanline_coordinates(
        self, x_mm: Float[Tensor, "*points"], z_mm: Float[Tensor, "*points"]
    ) -> tuple[Float[Tensor, "*points"], Float[Tensor, "*points"]]:
        """Fractional scanline index and depth in mm of points of the image plane (y = 0)."""

    @abstractmethod
    def lateral_spacing_mm(self, depth_mm: Float[Tensor, "*depths"]) -> Float[Tensor, "*depths"]:
        """Distance between neighbouring scanlines at each depth."""

    @abstractmethod
    def plane_bounds_mm(self) -> tuple[float, float, float, float]:
        """Smallest box of the image plane that holds the field of view: x_min, x_max, z_min, z_max."""

    def face_cosines(self) -> Float64[Tensor, " S"]:
        """Cosine of the angle between each scanline and the normal of the face where it starts.

        A beam sees the aperture shortened by it.
        """
        return torch.ones(self.n_scanlines, dtype=torch.float64)

    @property
    def shear(self) -> Tensor | None:
        """Tangent of the angle by which lines of equal depth lean from the normal of the beam; None for none.

        What is spread across a beam is spread along that normal: on neighbouring scanlines at other depths.
        """
        return None

    @property
    def wavelength_mm(self) -> Scalar:
        """Wavelength at the centre frequency."""
        return self.speed_of_sound_m_s / (self.frequency_mhz * 1e3)

    @property
    def sample_spacing_mm(self) -> Scalar:
        """Depth of one image cell."""
        return self.depth_mm / self.n_samples

    @property
    def wraps(self) -> bool:
        """Whether the last scanline is a neighbour of the first."""
        return False

    def sample_depths_mm(self) -> Float64[Tensor, " N"]:
        """Depth of the middle of each image cell."""
        return (torch.arange(self.n_samples, dtype=torch.float64) + 0.5) * as_double(self.sample_spacing_mm)

    def sample_points_mm(self) -> Float64[Tensor, "S N 3"]:
        """Middle of each image cell, in the probe frame."""
        lines = self.scanlines()
        return lines.origins_mm[:, None] + self.sample_depths_mm()[:, None] * lines.directions[:, None]

    def field_of_view_mask(
        self, x_mm: Float[Tensor, "*points"], z_mm: Float[Tensor, "*points"]
    ) -> Bool[Tensor, "*points"]:
        """Whether points of the image plane lie inside the field of view."""
        line, depth = self.scanline_coordinates(x_mm, z_mm)
        slack = 1e-6
        inside = (depth >= -slack) & (depth <= number(self.depth_mm) + slack)
        if self.wraps:
            return inside
        return inside & (line >= -slack) & (line <= self.n_scanlines - 1 + slack)

    def outline_mm(self, n_arc: int = 64) -> Float64[Tensor, "points 2"]:
        """Closed outline of the field of view as (x, z) points of the image plane."""
        lines = self.scanlines()
        pick = torch.linspace(0, self.n_scanlines - 1, n_arc).round().long()
        if self.wraps:
            pick = torch.cat([pick, pick[:1]])
        origins = lines.origins_mm[pick][:, [0, 2]].detach()
        ends = origins + number(self.depth_mm) * lines.directions[pick][:, [0, 2]].detach()
        return torch.cat([origins, ends.flip(0), origins[:1]])

    def with_options(self: AnyProbe, **changes: Any) -> AnyProbe:
        """A copy with some fields changed.

        Raises:
            ValueError: for a field this probe has not (listing those it has) or a value it refuses.
        """
        known = [field.name for field in fields(self)]
        for name in changes:
            require_one_of(f"{type(self).__name__} field", name, known)
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the kind of probe."""
        return {"kind": self.kind} | {field.name: plain(getattr(self, field.name)) for field in fields(self)}

    def __repr__(self) -> str:
        from diffus.reprs.facts import paragraph, probe_facts

        return paragraph(self, probe_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import probe_page

        return probe_page(self)

    def _repr_png_(self) -> bytes | None:
        from diffus.reprs.pictures import probe_picture

        return probe_picture(self)


def _even(n: int) -> Float64[Tensor, " n"]:
    """Values from -1/2 to 1/2 in n equal steps; 0 for one."""
    return torch.linspace(-0.5, 0.5, n, dtype=torch.float64) if n > 1 else torch.zeros(1, dtype=torch.float64)


def _fan(angles: Float64[Tensor, " S"], radius_mm: Tensor, centre_z_mm: Tensor) -> Scanlines:
    zero = torch.zeros_like(angles)
    directions = torch.stack([angles.sin(), zero, angles.cos()], dim=-1)
    offset = torch.stack([zero, zero, zero + centre_z_mm], dim=-1)
    return Scanlines(radius_mm * directions + offset, directions)


@dataclass(frozen=True, kw_only=True, repr=False)
class LinearProbe(Probe):
    """Parallel scanlines over a flat face.

    Args:
        width_mm: distance between the outermost scanlines along the face.
        steering_deg: angle of all scanlines from the normal of the face, towards +x.
    """

    kind: ClassVar[str] = "linear"
    width_mm: Scalar = 40.0
    steering_deg: Scalar = 0.0

    def scanlines(self) -> Scanlines:
        """Start points on the flat face, all pointing down z, or steered."""
        x = as_double(self.width_mm) * _even(self.n_scanlines)
        zero = torch.zeros_like(x)
        angle = torch.deg2rad(as_double(self.steering_deg)) + zero
        return Scanlines(torch.stack([x, zero, zero], -1), torch.stack([angle.sin(), zero, angle.cos()], -1))

    def scanline_coordinates(self, x_mm: Tensor, z_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Fractional scanline index and depth of points of the image plane."""
        angle = torch.deg2rad(as_scalar(self.steering_deg, x_mm))
        start = x_mm - z_mm * angle.tan()
        return (start / as_scalar(self.width_mm, x_mm) + 0.5) * (self.n_scanlines - 1), z_mm / angle.cos()

    def lateral_spacing_mm(self, depth_mm: Tensor) -> Tensor:
        """The same at every depth."""
        shortened = torch.deg2rad(as_scalar(self.steering_deg, depth_mm)).cos()
        return as_scalar(self.width_mm, depth_mm) * shortened / max(self.n_scanlines - 1, 1) + 0 * depth_mm

    @property
    def shear(self) -> Tensor | None:
        """That of the steering angle."""
        if not isinstance(self.steering_deg, Tensor) and self.steering_deg == 0:
            return None
        return torch.deg2rad(as_double(self.steering_deg)).tan()

    def face_cosines(self) -> Float64[Tensor, " S"]:
        """That of the steering angle."""
        angle = torch.deg2rad(as_double(self.steering_deg))
        return angle.cos().expand(self.n_scanlines)

    def plane_bounds_mm(self) -> tuple[float, float, float, float]:
        """The box of the parallelogram of the field of view."""
        half, angle = number(self.width_mm) / 2, math.radians(number(self.steering_deg))
        reach, depth = number(self.depth_mm) * math.sin(angle), number(self.depth_mm) * math.cos(angle)
        return min(-half, reach - half), max(half, reach + half), 0.0, depth


@dataclass(frozen=True, kw_only=True, repr=False)
class ConvexProbe(Probe):
    """Scanlines fanning out from a curved face.

    Args:
        radius_mm: radius of curvature of the face.
        field_of_view_deg: angle between the outermost scanlines, up to 180.
    """

    kind: ClassVar[str] = "convex"
    radius_mm: Scalar = 20.0
    field_of_view_deg: Scalar = 65.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_in_range("ConvexProbe", 0.0, 180.0, field_of_view_deg=self.field_of_view_deg)

    def scanlines(self) -> Scanlines:
        """Start points on the arc, pointing away from its centre."""
        radius = as_double(self.radius_mm)
        opening = torch.deg2rad(as_double(self.field_of_view_deg))
        return _fan(opening * _even(self.n_scanlines), radius, -radius)

    def scanline_coordinates(self, x_mm: Tensor, z_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Fractional scanline index and depth of points of the image plane."""
        radius = as_scalar(self.radius_mm, x_mm)
        opening = torch.deg2rad(as_scalar(self.field_of_view_deg, x_mm))
        angle = torch.atan2(x_mm, z_mm + radius)
        return (angle / opening + 0.5) * (self.n_scanlines - 1), torch.hypot(x_mm, z_mm + radius) - radius

    def lateral_spacing_mm(self, depth_mm: Tensor) -> Tensor:
        """Grows with the distance from the centre of the arc."""
        step = torch.deg2rad(as_scalar(self.field_of_view_deg, depth_mm)) / max(self.n_scanlines - 1, 1)
        return (as_scalar(self.radius_mm, depth_mm) + depth_mm) * step

    def plane_bounds_mm(self) -> tuple[float, float, float, float]:
        """The box of the sector; its top lies above the origin, where the arc's ends are."""
        radius, half = number(self.radius_mm), math.radians(number(self.field_of_view_deg)) / 2
        width = (radius + number(self.depth_mm)) * math.sin(half)
        return -width, width, radius * (math.cos(half) - 1), number(self.depth_mm)


@dataclass(frozen=True, kw_only=True, repr=False)
class PhasedProbe(Probe):
    """Scanlines steered from one point in the middle of a small flat face.

    Args:
        field_of_view_deg: angle between the outermost scanlines, up to 180.
        steering_deg: angle of the middle of the sector from the normal of the face, towards +x.
    """

    kind: ClassVar[str] = "phased"
    field_of_view_deg: Scalar = 90.0
    steering_deg: Scalar = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_in_range("PhasedProbe", 0.0, 180.0, field_of_view_deg=self.field_of_view_deg)
        widest = number(self.field_of_view_deg) / 2 + abs(number(self.steering_deg))
        if widest > 90:
            raise ValueError(
                f"PhasedProbe: half of field_of_view_deg and steering_deg together turn scanlines {widest:g} "
                "deg from the normal of the face, expected at most 90: narrow the sector or steer less"
            )

    def scanlines(self) -> Scanlines:
        """All start at the origin."""
        zero = torch.zeros((), dtype=torch.float64)
        return _fan(self._angles(), zero, zero)

    def scanline_coordinates(self, x_mm: Tensor, z_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Fractional scanline index and depth of points of the image plane."""
        opening = torch.deg2rad(as_scalar(self.field_of_view_deg, x_mm))
        steering = torch.deg2rad(as_scalar(self.steering_deg, x_mm))
        across = x_mm * steering.cos() - z_mm * steering.sin()
        angle = torch.atan2(across, z_mm * steering.cos() + x_mm * steering.sin())
        return (angle / opening + 0.5) * (self.n_scanlines - 1), torch.hypot(x_mm, z_mm)

    def lateral_spacing_mm(self, depth_mm: Tensor) -> Tensor:
        """Grows with depth from zero."""
        opening = torch.deg2rad(as_scalar(self.field_of_view_deg, depth_mm))
        return depth_mm * opening / max(self.n_scanlines - 1, 1)

    def face_cosines(self) -> Float64[Tensor, " S"]:
        """Those of the scanlines' angles; never less than that of 80 degrees, where no element radiates."""
        return self._angles().cos().clamp_min(math.cos(math.radians(80)))

    def plane_bounds_mm(self) -> tuple[float, float, float, float]:
        """The box of the sector."""
        angles = self._angles()[[0, -1]].tolist()
        depth = number(self.depth_mm)
        sides = [depth * math.sin(angle) for angle in angles]
        upright = angles[0] <= 0 <= angles[1]
        bottom = depth if upright else depth * max(math.cos(angle) for angle in angles)
        return min(0.0, *sides), max(0.0, *sides), 0.0, bottom

    def _angles(self) -> Float64[Tensor, " S"]:
        opening = torch.deg2rad(as_double(self.field_of_view_deg))
        return torch.deg2rad(as_double(self.steering_deg)) + opening * _even(self.n_scanlines)


@dataclass(frozen=True, kw_only=True, repr=False)
class RadialProbe(Probe):
    """A full circle of scanlines around the elevation axis, as an endocavity or catheter probe sees it.

    Args:
        radius_mm: radius of the cylinder whose surface the scanlines leave.
    """

    kind: ClassVar[str] = "radial"
    radius_mm: Scalar = 5.0

    @property
    def wraps(self) -> bool:
        """The circle closes."""
        return True

    def scanlines(self) -> Scanlines:
        """Start points on the circle, pointing outwards; the first points down z, the next towards x."""
        angles = 2 * math.pi * torch.arange(self.n_scanlines, dtype=torch.float64) / self.n_scanlines
        return _fan(angles, as_double(self.radius_mm), torch.zeros((), dtype=torch.float64))

    def scanline_coordinates(self, x_mm: Tensor, z_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Fractional scanline index in [0, n_scanlines) and depth of points of the image plane."""
        turn = torch.remainder(torch.atan2(x_mm, z_mm) / (2 * math.pi), 1.0)
        turn = torch.where(turn < 1, turn, torch.zeros_like(turn))  # a tiny negative angle rounds up to 1
        return turn * self.n_scanlines, torch.hypot(x_mm, z_mm) - as_scalar(self.radius_mm, x_mm)

    def lateral_spacing_mm(self, depth_mm: Tensor) -> Tensor:
        """Grows with the distance from the axis."""
        return (as_scalar(self.radius_mm, depth_mm) + depth_mm) * (2 * math.pi / self.n_scanlines)

    def plane_bounds_mm(self) -> tuple[float, float, float, float]:
        """The square around the outer circle."""
        reach = number(self.radius_mm) + number(self.depth_mm)
        return -reach, reach, -reach, reach
