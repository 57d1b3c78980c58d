"""RenderSettings: how a frame is computed and shown."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from diffus.checks import require_in_range, require_one_of
from diffus.probe import Probe
from diffus.propagation import BACKENDS, MODELS
from diffus.scalars import Scalar, plain

SPECKLES = ("expected", "sampled", "none")
"""Models of the scatterers."""

MEAN_BRAIN_ATTENUATION_DB_PER_CM_MHZ = 0.9
"""What the default TGC makes up for: between grey (0.67) and white matter (1.21), with some CSF on the way.
"""


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
        attenuation_exponent: attenuation grows as frequency to this power.
        gain_db: overall gain. At 0 dB the echo of a perfect plane reflector, TGC made up for, is just white.
        tgc_db_per_cm: time gain compensation over depth; by default what brain attenuates on average, both
            ways, at the probe's frequency.
        dynamic_range_db: span between black and white.
    """

    propagation: str = "full"
    speckle: str = "expected"
    seed: int = 0
    scatterers_per_mm3: float | None = None
    backend: str = "auto"
    face_reflection: Scalar = 0.0
    attenuation_exponent: Scalar = 1.0
    gain_db: Scalar = 12.0
    tgc_db_per_cm: Scalar | None = None
    dynamic_range_db: Scalar = 60.0

    def __post_init__(self) -> None:
        require_one_of("propagation", self.propagation, MODELS)
        require_one_of("speckle", self.speckle, SPECKLES)
        require_one_of("backend", self.backend, BACKENDS)
        for low, high, name in (
            (-0.999, 0.999, "face_reflection"),
            (1e-3, 1e4, "scatterers_per_mm3"),
            (0.5, 2.5, "attenuation_exponent"),
            (-200.0, 200.0, "gain_db"),
            (0.0, 100.0, "tgc_db_per_cm"),
            (1.0, 200.0, "dynamic_range_db"),
        ):
            for number in _numbers(getattr(self, name)):
                require_in_range("RenderSettings", low, high, **{name: number})

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
        by_pose = {k: v[which] for k, v in values.items() if isinstance(v, Tensor) and v.ndim == 1}
        return replace(self, **by_pose)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {entry.name: plain(getattr(self, entry.name)) for entry in fields(self)}


def _numbers(value: Scalar | None) -> list[float]:
    if value is None:
        return []
    listed = plain(value)
    return listed if isinstance(listed, list) else [float(listed)]
