"""Whether a volume looks like swept ultrasound or like MRI, by statistics that hold across scanners."""

from __future__ import annotations

from typing import NamedTuple

from diffus.volume import Volume

EMPTY_SHARE, ROUGHNESS, STEP = 0.3, 0.2, 0.35
"""From where on each number speaks for ultrasound.

Of nine volumes and slices of real ultrasound (RESECT, ReMIND) the lowest were 0.51, 0.22 and 0.45. Of ten of
MRI the highest were 0.57, 0.19 and 0.50, but never more than two of the three above these bounds at once.
"""


class Appearance(NamedTuple):
    """What tells swept ultrasound from MRI.

    Args:
        empty_share: share of the voxels that hold exactly the lowest value, as where no frame came by.
        roughness: second differences from voxel to voxel over the standard deviation: of speckle, high.
        step: mean at the border of what is not empty over the mean of it all. A sector ends abruptly, a
            head fades out.
    """

    empty_share: float
    roughness: float
    step: float

    @property
    def votes(self) -> int:
        """How many of the three speak for ultrasound."""
        return sum((self.empty_share > EMPTY_SHARE, self.roughness > ROUGHNESS, self.step > STEP))


def appearance_of(volume: Volume) -> Appearance:
    """Measure a volume; all numbers are 0 for a constant one."""
    values = volume.data.float()
    lowest = values.min()
    filled = values > lowest
    count = int(filled.sum())
    if not count:
        return Appearance(0.0, 0.0, 0.0)
    above = values - lowest
    core = filled.clone()
    squared, inner = 0.0, 0
    for axis, size in enumerate(values.shape):
        before, middle, after = (_part(axis, start, size - 2) for start in (0, 1, 2))
        together = filled[before] & filled[middle] & filled[after]
        second = (above[before] + above[after] - 2 * above[middle])[together]
        squared += float(second.double().square().sum())
        inner += second.numel()
        core[middle] &= filled[before] & filled[after]
    mean = float(above.double().sum()) / count
    spread = max(float(above.double().square().sum()) / count - mean**2, 0.0) ** 0.5
    rim = filled & ~core
    step = float(above[rim].mean()) / mean if bool(rim.any()) else 0.0
    # White noise has second differences of 6 times its variance.
    rough = (squared / max(inner, 1) / 6) ** 0.5 / spread if spread else 0.0
    return Appearance(1 - count / values.numel(), rough, step)


def _part(axis: int, start: int, length: int) -> tuple[slice, ...]:
    """An index that narrows one axis of a volume."""
    return tuple(slice(start, start + max(length, 0)) if other == axis else slice(None) for other in range(3))
