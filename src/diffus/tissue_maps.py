"""TissueMaps: how much of each tissue every voxel holds, as a segmentation program gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from diffus.checks import require_one_of
from diffus.tissues import TISSUES
from diffus.volume import Volume


@dataclass(frozen=True, eq=False)
class TissueMaps:
    """Volume fractions of tissues on one grid.

    Args:
        fractions: volume fraction in [0, 1] of each tissue, by its name in the tissue table.
        surroundings: tissue that fills what the fractions leave of a voxel. Around a brain that is laid open
            this is the saline or gel that couples the probe to it.
        image: the image that the maps were made from, on the same grid.

    Raises:
        ValueError: when there is no map, a tissue is not in the table, the grids differ, or a fraction or a
            sum of fractions leaves [0, 1] by more than rounding (1 %).
    """

    fractions: Mapping[str, Volume]
    surroundings: str = "water"
    image: Volume | None = None

    def __post_init__(self) -> None:
        if not self.fractions:
            raise ValueError("TissueMaps needs at least one map: give {tissue name: Volume}")
        for name in (*self.fractions, self.surroundings):
            require_one_of("tissue", name, TISSUES)
        first_name, first = next(iter(self.fractions.items()))
        others = dict(self.fractions) | ({"image": self.image} if self.image is not None else {})
        for name, volume in others.items():
            if not first.same_grid(volume):
                raise ValueError(
                    f"tissue maps lie on different grids: {first_name} is {first!r}, {name} is {volume!r}; "
                    "resample them onto one grid (Volume.resample)"
                )
        total = torch.zeros(first.shape)
        for name, volume in self.fractions.items():
            low, high = volume.data.aminmax()
            if float(low) < -0.01 or float(high) > 1.01:
                raise ValueError(
                    f"the map of {name} must lie in [0, 1], got {float(low):g} to {float(high):g}: "
                    "divide by 100 or 255 if it holds percent or bytes"
                )
            total += volume.data
        if float(total.max()) > 1.01:
            raise ValueError(
                f"the tissue maps add up to {float(total.max()):g} in a voxel, expected at most 1"
            )

    @property
    def grid(self) -> Volume:
        """The first map, for its grid."""
        return next(iter(self.fractions.values()))

    @property
    def mask(self) -> Volume:
        """Where the tissues together fill at least half of a voxel."""
        total = torch.zeros(self.grid.shape)
        for volume in self.fractions.values():
            total += volume.data
        return Volume(total >= 0.5, self.grid.world_from_voxel)
