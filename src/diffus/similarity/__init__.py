"""How alike two images are: differentiable scores for registration, one file a measure.

Every measure takes ``(moving, fixed, mask=None)``, images (B, H, W) or (B, S, N) or volumes (B, D, H, W) of
one shape (a batch of one stands against any batch), and gives one score for each item, larger for more alike,
differentiable in both. The mask is bool or weights in [0, 1]; what lies outside never matters.
"""

from diffus.similarity.gradient_ncc import GradientNCC, gradient_ncc
from diffus.similarity.lc2 import LC2, lc2
from diffus.similarity.local_ncc import LocalNCC, local_ncc
from diffus.similarity.measure import Similarity
from diffus.similarity.mind import MIND, mind, mind_descriptor
from diffus.similarity.multi_scale import MultiScale
from diffus.similarity.mutual_information import MutualInformation, mutual_information
from diffus.similarity.ncc import NCC, ncc
from diffus.similarity.registry import SIMILARITIES, similarity
from diffus.similarity.weighted_sum import WeightedSum

__all__ = [
    "LC2",
    "MIND",
    "NCC",
    "SIMILARITIES",
    "GradientNCC",
    "LocalNCC",
    "MultiScale",
    "MutualInformation",
    "Similarity",
    "WeightedSum",
    "gradient_ncc",
    "lc2",
    "local_ncc",
    "mind",
    "mind_descriptor",
    "mutual_information",
    "ncc",
    "similarity",
]
