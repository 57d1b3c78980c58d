"""Tissue models that are learned from paired MRI and ultrasound."""

import importlib
from typing import TYPE_CHECKING, Any

from diffus.learning.card import ModelCard, load_card, load_model, save_model
from diffus.learning.convolutional_model import ConvolutionalModel
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel, apply_model
from diffus.learning.published_mlp import PublishedMLP
from diffus.learning.registry import MODELS, first_model, tissue_model
from diffus.learning.voxel_model import VoxelModel

if TYPE_CHECKING:
    from diffus.learning.determination import Determination, determined

__all__ = [
    "MODELS",
    "ConvolutionalModel",
    "Determination",
    "MRIFeatures",
    "ModelCard",
    "PublishedMLP",
    "TissueModel",
    "VoxelModel",
    "apply_model",
    "determined",
    "first_model",
    "load_card",
    "load_model",
    "save_model",
    "tissue_model",
]

_ON_DEMAND = ("Determination", "determined")
"""They need frames and registration, which applying a model does not."""


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(importlib.import_module("diffus.learning.determination"), name)
    raise AttributeError(f"module 'diffus.learning' has no attribute {name!r}")
