"""Figures with axes in mm. Every function takes ``ax=``, returns it, and never calls ``show()``.

Figures of several panels are returned whole, to be saved by `save_figure`.
"""

from diffus.plot.animation import Animation, animate, recorded
from diffus.plot.bmode import bmode
from diffus.plot.comparison import (
    before_after,
    checkerboard,
    colour_overlay,
    comparison,
    difference,
    edge_overlay,
    magenta_green,
)
from diffus.plot.fan import draw_fan
from diffus.plot.figures import new_axes, save_figure
from diffus.plot.gradients import gradient_maps, image_derivative, pose_gradient
from diffus.plot.landmarks import landmark_errors, landmark_figure, landmark_vectors
from diffus.plot.landscape import landscape, landscape_plane
from diffus.plot.levels import grey_levels
from diffus.plot.moving import animate_descent, animate_parameter, animate_sweep
from diffus.plot.overlays import bmode_overlay, label_overlay, mask_overlay
from diffus.plot.pictures import Picture, picture
from diffus.plot.plane import Plane
from diffus.plot.scanline import scanline
from diffus.plot.scanline_curves import ScanlineCurves, scanline_curves
from diffus.plot.sector import sector_outline
from diffus.plot.slices import fan_slice, orthogonal_slice, orthogonal_slices, side_by_side, volume_slice
from diffus.plot.tissue_maps import tissue_map, tissue_maps

__all__ = [
    "Animation",
    "Picture",
    "Plane",
    "ScanlineCurves",
    "animate",
    "animate_descent",
    "animate_parameter",
    "animate_sweep",
    "before_after",
    "bmode",
    "bmode_overlay",
    "checkerboard",
    "colour_overlay",
    "comparison",
    "difference",
    "draw_fan",
    "edge_overlay",
    "fan_slice",
    "gradient_maps",
    "grey_levels",
    "image_derivative",
    "label_overlay",
    "landmark_errors",
    "landmark_figure",
    "landmark_vectors",
    "landscape",
    "landscape_plane",
    "magenta_green",
    "mask_overlay",
    "new_axes",
    "orthogonal_slice",
    "orthogonal_slices",
    "picture",
    "pose_gradient",
    "recorded",
    "save_figure",
    "scanline",
    "scanline_curves",
    "sector_outline",
    "side_by_side",
    "tissue_map",
    "tissue_maps",
    "volume_slice",
]
