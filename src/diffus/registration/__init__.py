"""Registration: where the probe was, from the image. Look at ``result.verdict`` before using a pose.

`register` takes one frame, `register_sweep` a tracked sweep, `register_volume` a swept 3D ultrasound volume,
and `register_deformable` goes on from there to brain shift. `aligned` brings MRI contrasts onto each other
before.
"""

from diffus.registration.acquisition import SettingsResult, recover_settings
from diffus.registration.contrasts import align_contrast, aligned
from diffus.registration.deformable import (
    DeformableRegistration,
    DeformableSettings,
    register_deformable,
)
from diffus.registration.options import SearchOptions
from diffus.registration.pose import register
from diffus.registration.priors import FaceOnSurface, Prior, TrackedPose
from diffus.registration.result import RegistrationResult
from diffus.registration.rigid_search import SearchSettings
from diffus.registration.stages import COARSE_TO_FINE, SURVEY, Stage
from diffus.registration.starts import starts_around
from diffus.registration.sweep import Jitter, register_sweep
from diffus.registration.virtual_sweep import SweepSampling
from diffus.registration.volume import (
    SweepGeometry,
    VolumeRegistration,
    VolumeSettings,
    register_volume,
)

__all__ = [
    "COARSE_TO_FINE",
    "SURVEY",
    "DeformableRegistration",
    "DeformableSettings",
    "FaceOnSurface",
    "Jitter",
    "Prior",
    "RegistrationResult",
    "SearchOptions",
    "SearchSettings",
    "SettingsResult",
    "Stage",
    "SweepGeometry",
    "SweepSampling",
    "TrackedPose",
    "VolumeRegistration",
    "VolumeSettings",
    "align_contrast",
    "aligned",
    "recover_settings",
    "register",
    "register_deformable",
    "register_sweep",
    "register_volume",
    "starts_around",
]
