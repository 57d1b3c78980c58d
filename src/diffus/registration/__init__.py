"""Registration: where the probe was, from the image. Look at ``result.verdict`` before using a pose.

The modules `diffus.registration.volume` and `diffus.registration.deformable` register 3D ultrasound volumes.
"""

from diffus.registration.options import SearchOptions
from diffus.registration.pose import register
from diffus.registration.priors import FaceOnSurface, Prior, TrackedPose
from diffus.registration.result import RegistrationResult
from diffus.registration.stages import COARSE_TO_FINE, SURVEY, Stage
from diffus.registration.starts import starts_around
from diffus.registration.sweep import Jitter, register_sweep

__all__ = [
    "COARSE_TO_FINE",
    "SURVEY",
    "FaceOnSurface",
    "Jitter",
    "Prior",
    "RegistrationResult",
    "SearchOptions",
    "Stage",
    "TrackedPose",
    "register",
    "register_sweep",
    "starts_around",
]
