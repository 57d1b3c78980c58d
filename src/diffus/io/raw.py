"""What every reader hands over, and the one loop that fills it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Shaped

SLAB_VOXELS = 2**20
"""Voxels converted at a time, so that scaling in float64 never needs a float64 copy of the volume."""


class RawVolume(NamedTuple):
    """A volume as a file holds it.

    Args:
        voxels: (I, J, K) in the order of the file, laid out so that k runs fastest in memory.
        world_from_voxel: in RAS+ mm.
        stored_as: type of the voxels in the file, as ``"int16"``.
        notes: what the user should know about how the file was understood.
    """

    voxels: Float32[np.ndarray, "I J K"]
    world_from_voxel: Float64[np.ndarray, "4 4"]
    stored_as: str
    notes: tuple[str, ...]


def gather_slabs(
    shape: tuple[int, int, int], read_slab: Callable[[int, int], Shaped[np.ndarray, "I J slab"]]
) -> Float32[np.ndarray, "I J K"]:
    """Fill a float32 volume slab by slab.

    Args:
        shape: voxels along i, j and k.
        read_slab: gives the voxels ``start <= k < stop`` in any numeric type.
    """
    voxels = np.empty(shape, dtype=np.float32)
    step = max(1, SLAB_VOXELS // max(1, shape[0] * shape[1]))
    with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold becomes Inf, and is refused
        for start in range(0, shape[2], step):
            stop = min(start + step, shape[2])
            voxels[..., start:stop] = read_slab(start, stop)
    return voxels
