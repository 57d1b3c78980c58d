"""Figures with axes in mm. Every function takes ``ax=``, returns it, and never calls ``show()``."""

from diffus.plot.bmode import bmode
from diffus.plot.figures import new_axes, save_figure
from diffus.plot.sector import sector_outline
from diffus.plot.slices import fan_slice, side_by_side

__all__ = ["bmode", "fan_slice", "new_axes", "save_figure", "sector_outline", "side_by_side"]
