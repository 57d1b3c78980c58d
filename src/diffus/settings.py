"""RenderSettings: how a frame is computed and shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from diffus.checks import require_in_range, require_one_of, require_shape
from diffus.probe import Probe
from diffus.propagation import BACKENDS, MODELS
from diffus.scalars import Curve, Scalar, plain

SPECKLES = ("expected", "sampled", "none")
"""Models of the scatterers."""

MEAN_BRAIN_ATTENUATION_DB_PER_CM_MHZ = 0.9
"""What the default TGC makes up for: between grey (0.67) and white matter (1.21), with some CSF on the way.
"""

_CURVES = ("tgc_curve_db", "grey_map")
_RANGES = {
    "face_reflection": (-0.999, 0.999),
    "specular_angle_deg": (1.0, 89.0),
    "scatterers_per_mm3": (1e-3, 1e4),
    "boundary_voxels": (0.0, 10.0),
    "attenuation_exponent": (0.5, 2.5),
    "noise_db": (-240.0, 0.0),
    "speckle_reduction": (0.0, 1.0),
    "gain_db": (-200.0, 200.0),
    "tgc_db_per_cm": (0.0, 100.0),
    "tgc_curve_db": (-200.0, 200.0),
    "dynamic_range_db": (1.0, 200.0),
    "grey_map": (0.0, 1.0),
    "max_memory_mb": (1.0, 1e9),
}


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How a frame is computed and shown. Continuous fields may be 0-d tensors, or (B,) with one value a pose.

    Args:
        propagation: model of the waves along a scanline: full (all internal reflections, exactly), primary
            (single reflections with two-way transmission loss), or published (the DiffUS paper's system,
            which is no echo train); see `diffus.propagation.echoes`.
        speckle: expected (mean image over the scatterers' phases, without noise, smooth in the pose), sampled
            (single scatterers fixed to the tissue, as a scanner shows it) or none (interfaces only).
        seed: seed of the scatterers; another seed is another tissue of the same kind.
        scatterers_per_mm3: density of the scatterers; by default enough for fully developed speckle. With few
            in a resolution cell speckle is sparse.
        backend: auto (the fastest for the device), torch (second derivatives), numba (CPU) or triton (CUDA).
        face_reflection: what the transducer's face sends back into the tissue of the pressure that returns to
            it, between -1 and 1; makes reverberation between the face and a strong reflector.
        specular_angle_deg: tilt at which the echo of an interface has fallen to half its amplitude; None for
            echoes that do not fall off. See `diffus.imaging.specular`.
        boundary_voxels: how many voxels the medium smears a boundary over that is sharp in the tissue; 0 for
            a medium that resolves its boundaries, above 1 for one whose image was blurrier than its grid. See
            `diffus.imaging.formation.unresolved`.
        attenuation_exponent: attenuation grows as frequency to this power.
        noise_db: electronic noise in the received signal, mean power in dB below the echo of a perfect plane
            reflector; None for a receiver without noise. It limits how deep one sees.
        speckle_reduction: strength of the smoothing that scanners do, from 0 for none to 1
            (`diffus.imaging.smoothing`); acts on sampled speckle.
        gain_db: overall gain. At 0 dB the echo of a perfect plane reflector, TGC made up for, is just white.
        tgc_db_per_cm: time gain compensation over depth; by default what brain attenuates on average, both
            ways, at the probe's frequency.
        tgc_curve_db: gains of the TGC sliders, added to the above: at equal steps of depth, the first at the
            face and the last at the far end, linear between.
        dynamic_range_db: span between black and white.
        grey_map: grey values at equal steps of level from black to white, rising, linear between; None shows
            the level itself.
        max_memory_mb: about how much memory a call may take beyond the medium and the frame; more poses than
            fit are rendered in parts, with the same bits. Gradients then render each part again.
    """

    propagation: str = "full"
    speckle: str = "expected"
    seed: int = 0
    scatterers_per_mm3: float | None = None
    backend: str = "auto"
    face_reflection: Scalar = 0.0
    specular_angle_deg: Scalar | None = 30.0
    boundary_voxels: Scalar = 1.0
    attenuation_exponent: Scalar = 1.0
    noise_db: Scalar | None = -130.0
    speckle_reduction: Scalar = 0.0
    gain_db: Scalar = 0.0
    tgc_db_per_cm: Scalar | None = None
    tgc_curve_db: Curve | None = None
    dynamic_range_db: Scalar = 60.0
    grey_map: Curve | None = None
    max_memory_mb: float | None = None

    def __post_init__(self) -> None:
        require_one_of("propagation", self.propagation, MODELS)
        require_one_of("speckle", self.speckle, SPECKLES)
        require_one_of("backend", self.backend, BACKENDS)
        for name, (low, high) in _RANGES.items():
            for number in _numbers(getattr(self, name)):
                require_in_range("RenderSettings", low, high, **{name: number})
        for name in _CURVES:
            self._check_curve(name)

    def _check_curve(self, name: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        curve = torch.as_tensor(value)
        require_shape(
            f"RenderSettings {name}", curve.shape, "(K,) with K >= 2", curve.ndim == 1 and len(curve) > 1
        )
        if name == "grey_map" and not bool((curve.detach().diff() > 0).all()):
            raise ValueError(f"RenderSettings: grey_map must rise from knot to knot, got {plain(value)}")

    def tgc_at(self, probe: Probe) -> Scalar:
        """TGC in dB/cm: the one that was set, or the default at this probe's frequency."""
        if self.tgc_db_per_cm is not None:
            return self.tgc_db_per_cm
        return 2 * MEAN_BRAIN_ATTENUATION_DB_PER_CM_MHZ * probe.frequency_mhz**self.attenuation_exponent

    def with_options(self, **changes: Any) -> RenderSettings:
        """A copy with some fields changed.

        Raises:
            ValueError: for a field there is not (listing those there are) or a value that is refused.
        """
        known = [entry.name for entry in fields(self)]
        for name in changes:
            require_one_of("RenderSettings field", name, known)
        return replace(self, **changes)

    def of_poses(self, which: slice) -> RenderSettings:
        """Settings for some of the poses: fields with one value a pose are narrowed."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        by_pose = {
            name: value[which]
            for name, value in values.items()
            if isinstance(value, Tensor) and value.ndim == 1 and name not in _CURVES
        }
        return replace(self, **by_pose)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}


def _numbers(value: Any) -> list[float]:
    if value is None:
        return []
    listed = plain(value)
    return [float(v) for v in listed] if isinstance(listed, list | tuple) else [float(listed)]
