"""Tissue models that are learned from paired MRI and ultrasound."""

from diffus.learning.card import ModelCard, load_card, load_model, save_model
from diffus.learning.convolutional_model import ConvolutionalModel
from diffus.learning.features import MRIFeatures
from diffus.learning.model import TissueModel, apply_model
from diffus.learning.published_mlp import PublishedMLP
from diffus.learning.registry import MODELS, first_model, tissue_model
from diffus.learning.voxel_model import VoxelModel

__all__ = [
    "MODELS",
    "ConvolutionalModel",
    "MRIFeatures",
    "ModelCard",
    "PublishedMLP",
    "TissueModel",
    "VoxelModel",
    "apply_model",
    "first_model",
    "load_card",
    "load_model",
    "save_model",
    "tissue_model",
]
