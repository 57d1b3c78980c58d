"""From images to tissues: masks of brain and body, and classes of MRI intensity."""

from diffus.segmentation.body import body_mask
from diffus.segmentation.ventricles import open_fluid, open_share

__all__ = ["body_mask", "open_fluid", "open_share"]
