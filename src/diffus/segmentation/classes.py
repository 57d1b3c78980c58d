"""Tissue classes as fitted: from intensities to volume fractions, a few planes at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffus.segmentation.contrasts import BASE_CLASSES, contrast_named
from diffus.segmentation.fluid import on_grid
from diffus.segmentation.gaussians import PartialVolumeMixture
from diffus.segmentation.grid import Factors, sample_up
from diffus.segmentation.intensity import Normalisation
from diffus.volume import Volume

RIM_MM = 1.5
"""How near both CSF and white matter must be for a voxel to lie on the wall of a ventricle."""

CSF, GREY, WHITE = range(len(BASE_CLASSES))


@dataclass(frozen=True)
class BrightClass:
    """A class of what is clearly brighter than all base classes under one contrast.

    Args:
        name: the class, a row of `diffus.tissues.TISSUES`.
        channel: which contrast shows it.
        start: normalised intensity where its fraction leaves 0.
        full: normalised intensity where it reaches 1.
    """

    name: str
    channel: int
    start: float
    full: float

    def fraction(self, features: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        """Fraction of the class in each voxel."""
        return ((features[:, self.channel] - self.start) / (self.full - self.start)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class TissueClasses:
    """A fitted model: turns intensities of the volumes it was fitted on into tissue fractions.

    Args:
        contrasts: names of the contrasts, in the order of the channels.
        normalisations: bias field and scale of each.
        mixture: the base classes in the order of `contrasts.BASE_CLASSES`.
        bright: classes above the base classes, in falling precedence.
        pools: share of open fluid, in ventricles and cavities, on a coarse grid
            (`diffus.segmentation.open_fluid`).
        pool_factors: how many voxels a voxel of that grid spans.
    """

    contrasts: tuple[str, ...]
    normalisations: tuple[Normalisation, ...]
    mixture: PartialVolumeMixture
    bright: tuple[BrightClass, ...]
    pools: Float[Tensor, "a b c"]
    pool_factors: Factors

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of the fractions; each a row of `diffus.tissues.TISSUES`."""
        return (*BASE_CLASSES, *(bright.name for bright in self.bright))

    def fractions(
        self, volumes: Mapping[str, Volume], mask: Volume, planes: slice = slice(None)
    ) -> tuple[list[Float[Tensor, "slab J K"]], tuple[str, ...]]:
        """Volume fraction of each class on some planes along i, and the names of the classes.

        The fractions sum to 1 inside the mask and are 0 outside. Slabs fit together without a seam: what a
        voxel needs of its neighbours in other slabs is read from the volumes.

        Args:
            volumes: the volumes of the fit, by contrast.
            mask: non-zero inside the brain.
            planes: which planes, as ``slice(start, stop)``; all of them by default.

        Raises:
            ValueError: when the contrasts differ from those of the fit, the volumes do not share the mask's
                grid, or there are no such planes.
        """
        check_volumes(volumes, mask)
        if set(volumes) != set(self.contrasts):
            raise ValueError(f"expected volumes of contrasts {self.contrasts}, got {tuple(volumes)}")
        start, stop = _range(planes, mask)
        margin = _reach(mask)[0]
        low, high = max(0, start - margin), min(mask.shape[0], stop + margin)
        inside = mask.data[low:high] != 0
        features = torch.stack(
            [
                normalisation.within(volumes[name], inside, low)
                for name, normalisation in zip(self.contrasts, self.normalisations, strict=True)
            ],
            dim=1,
        )
        base = self.mixture.fractions(features)
        self._separate_walls(base, features, inside, mask, low)
        shares = [base[:, c] for c in range(base.shape[1])]
        for bright in self.bright:
            taken = bright.fraction(features)
            shares = [share * (1 - taken) for share in shares] + [taken]
        return [on_grid(share, inside)[start - low : stop - low] for share in shares], self.names

    def open_fluid(self, mask: Volume, planes: slice = slice(None)) -> Float[Tensor, "slab J K"]:
        """Share of open fluid, in ventricles and cavities, on some planes, as `mix_tissues` takes it."""
        start, stop = _range(planes, mask)
        return sample_up(self.pools, self.pool_factors, mask.shape, start, stop)

    def _separate_walls(
        self,
        base: Float[Tensor, "n C"],
        features: Float[Tensor, "n D"],
        inside: Bool[Tensor, "slab J K"],
        mask: Volume,
        first_plane: int,
    ) -> None:
        """Tell the walls of ventricles from cortex and clear the fluid within, in place."""
        pools = self.open_fluid(mask, slice(first_plane, first_plane + len(inside)))
        occupied = ((pools > 0) & inside).nonzero()
        if not len(occupied):
            return
        reach = _reach(mask)
        low, high = occupied.amin(dim=0).tolist(), (occupied.amax(dim=0) + 1).tolist()
        box = tuple(slice(max(0, a - r), b + r) for a, b, r in zip(low, high, reach, strict=True))
        places = torch.zeros_like(inside)
        places[box] = inside[box]
        chosen = places[inside]
        csf, white = (on_grid(base[chosen, c], inside[box]) for c in (CSF, WHITE))
        rim = _near(csf, reach) * _near(white, reach)
        weight = (torch.maximum(rim, _sureness(csf)) * pools[box])[inside[box]]
        index = chosen.nonzero()[:, 0][weight > 0]
        ventricular = self.mixture.without(GREY, ((CSF, WHITE),)).fractions(features[index])
        base[index] = torch.lerp(base[index], ventricular, weight[weight > 0, None])


def check_volumes(volumes: Mapping[str, Volume], mask: Volume) -> None:
    """Refuse unknown contrasts and grids that differ.

    Raises:
        ValueError: as `fit_tissue_classes`.
    """
    if not volumes:
        raise ValueError("no volume given: expected at least one, by the name of its contrast")
    first_name, first = next(iter(volumes.items()))
    for name, volume in volumes.items():
        contrast_named(name)
        _require_same_grid(f"{name} volume", volume, f"{first_name} volume", first)
    _require_same_grid(f"{first_name} volume", first, "mask", mask)


def _require_same_grid(name: str, volume: Volume, other_name: str, other: Volume) -> None:
    if not volume.same_grid(other):
        raise ValueError(
            f"the {name} and the {other_name} lie on different grids: {volume!r} and {other!r}; "
            "resample one onto the other (Volume.resample)"
        )


def _range(planes: slice, mask: Volume) -> tuple[int, int]:
    start, stop, step = planes.indices(mask.shape[0])
    if step != 1 or start >= stop:
        raise ValueError(f"{planes} is no range of planes of a volume of {mask.shape[0]} planes")
    return start, stop


def _reach(mask: Volume) -> tuple[int, int, int]:
    i, j, k = (max(1, round(RIM_MM / spacing)) for spacing in mask.spacing_mm)
    return i, j, k


def _sureness(fraction: Float[Tensor, "i j k"]) -> Float[Tensor, "i j k"]:
    """0 below half a voxel, 1 from nine tenths on."""
    return ((fraction - 0.5) / 0.4).clamp(0, 1)


def _near(fraction: Float[Tensor, "i j k"], reach: tuple[int, int, int]) -> Float[Tensor, "i j k"]:
    """How surely a voxel has an almost pure voxel of a class within reach, from 0 to 1."""
    window = tuple(2 * r + 1 for r in reach)
    sure = _sureness(fraction)[None, None]
    return torch.nn.functional.max_pool3d(sure, window, stride=1, padding=reach)[0, 0]
