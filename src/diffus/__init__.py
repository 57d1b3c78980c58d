"""Differentiable B-mode ultrasound rendered from MRI, CT and label maps.

The way of the data: `Volume` -> `Medium` -> `render` with a probe and a pose -> `Frame`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from diffus import datasets, pose, propagation
from diffus.auxiliary import AuxiliaryMaps, auxiliary_maps
from diffus.frame import Frame
from diffus.medium import Medium
from diffus.presets import preset
from diffus.probe import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe
from diffus.render import UltrasoundRenderer, render
from diffus.settings import RenderSettings
from diffus.signals import Signals, receive
from diffus.surface import on_surface
from diffus.tissue_maps import TissueMaps
from diffus.tissues import TISSUES, Tissue
from diffus.volume import Volume

if TYPE_CHECKING:
    from diffus import imaging, io, plot, registration, scene, segmentation, similarity
    from diffus.registration import register

__version__ = "0.1.0"

__all__ = [
    "TISSUES",
    "AuxiliaryMaps",
    "ConvexProbe",
    "Frame",
    "LinearProbe",
    "Medium",
    "PhasedProbe",
    "Probe",
    "RadialProbe",
    "RenderSettings",
    "Signals",
    "Tissue",
    "TissueMaps",
    "UltrasoundRenderer",
    "Volume",
    "auxiliary_maps",
    "datasets",
    "imaging",
    "io",
    "on_surface",
    "plot",
    "pose",
    "preset",
    "propagation",
    "receive",
    "register",
    "registration",
    "render",
    "scene",
    "segmentation",
    "similarity",
]

_ON_DEMAND = {"imaging", "io", "plot", "registration", "scene", "segmentation", "similarity"}
"""Rooms whose own imports (matplotlib, SimpleITK) take time that not every script needs."""


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return importlib.import_module(f"diffus.{name}")
    if name == "register":
        return importlib.import_module("diffus.registration").register
    raise AttributeError(f"module 'diffus' has no attribute {name!r}")
