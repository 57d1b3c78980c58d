"""From images to tissues: masks of brain and body, and classes of MRI intensity."""

from diffus.segmentation.body import body_mask
from diffus.segmentation.brain import brain_mask
from diffus.segmentation.classes import TissueClasses
from diffus.segmentation.mixture import fit_tissue_classes
from diffus.segmentation.ventricles import open_fluid, open_share

__all__ = [
    "TissueClasses",
    "body_mask",
    "brain_mask",
    "fit_tissue_classes",
    "open_fluid",
    "open_share",
]
