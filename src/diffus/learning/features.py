"""What a tissue model sees of an MRI: comparable intensities, edges, and the untrained medium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from diffus.medium import Medium
from diffus.segmentation import brain_mask
from diffus.segmentation.intensity import fit_normalisation
from diffus.similarity.derivatives import derivatives
from diffus.volume import Volume

NORMALISATION = "N4 bias field taken out; 0 stays 0, the 98th percentile of the brain becomes 1"
"""How intensities are made comparable (`diffus.segmentation.intensity`); models are trained for it."""
NORMALISATION_VERSION = 1

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class MRIFeatures:
    """One or more contrasts of one brain, as models take them.

    Args:
        contrasts: name of each channel.
        intensities: (C, I, J, K), see `NORMALISATION`.
        edges: squared length of their gradient, per mm^2.
        inside: true in the brain; models leave the rest as it is.
        untrained: (I, J, K, 3), the medium that `Medium.from_mri` makes of the same.
        world_from_voxel: (4, 4), RAS+ mm.
    """

    contrasts: tuple[str, ...]
    intensities: Float[Tensor, "C I J K"]
    edges: Float[Tensor, "C I J K"]
    inside: Bool[Tensor, "I J K"]
    untrained: Float[Tensor, "I J K 3"]
    world_from_voxel: Float64[Tensor, "4 4"]

    @classmethod
    def from_volumes(cls, volumes: Mapping[str, Volume], mask: Volume | None = None) -> MRIFeatures:
        """Normalise volumes and classify them; seconds for a head.

        Args:
            volumes: by contrast (t1, cet1, t2 or flair), on one grid.
            mask: non-zero in the brain; found in the first contrast when not given.

        Raises:
            ValueError: as `Medium.from_mri`.
        """
        if not volumes:
            raise ValueError("no MRI given: expected at least one volume, by the name of its contrast")
        name, first = next(iter(volumes.items()))
        found = brain_mask(first, name) if mask is None else mask
        inside = Volume(found.data != 0, found.world_from_voxel)
        untrained = Medium.from_mri(volumes, mask=inside)
        planes = [
            fit_normalisation(volume, inside).planes(volume, 0, volume.shape[0])
            for volume in volumes.values()
        ]
        intensities = torch.stack(planes)
        edges = sum_of_squares(intensities, first.spacing_mm)
        return cls(
            tuple(volumes),
            intensities,
            edges,
            inside.data,
            untrained.channels,
            untrained.world_from_voxel,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        i, j, k = self.inside.shape
        return i, j, k

    def of(self, contrast: str) -> Float[Tensor, "I J K"] | None:
        """Intensities of a contrast, or None where there are none."""
        return self.intensities[self.contrasts.index(contrast)] if contrast in self.contrasts else None

    def edges_of(self, contrast: str) -> Float[Tensor, "I J K"] | None:
        """Edges of a contrast, or None where there are none."""
        return self.edges[self.contrasts.index(contrast)] if contrast in self.contrasts else None

    def only(self, contrasts: tuple[str, ...]) -> MRIFeatures:
        """The same brain with fewer contrasts; the untrained medium stays that of all.

        Raises:
            ValueError: when one of them is not there.
        """
        for name in contrasts:
            if name not in self.contrasts:
                raise ValueError(f"no contrast {name!r} here: there are {', '.join(self.contrasts)}")
        chosen = [self.contrasts.index(name) for name in contrasts]
        return replace(
            self, contrasts=contrasts, intensities=self.intensities[chosen], edges=self.edges[chosen]
        )

    def crop(self, box: Box) -> MRIFeatures:
        """The voxels in a box of indices, without a copy; they keep their place in the world."""
        affine = self.world_from_voxel.clone()
        corner = torch.tensor([part.start for part in box], dtype=torch.float64)
        affine[:3, 3] += affine[:3, :3] @ corner
        return MRIFeatures(
            self.contrasts,
            self.intensities[:, *box],
            self.edges[:, *box],
            self.inside[box],
            self.untrained[box],
            affine,
        )

    def voxels(self, numbers: Int64[Tensor, " n"]) -> MRIFeatures:
        """Single voxels in a row, (n, 1, 1), for models that look at each on its own.

        Args:
            numbers: of the voxels, counted with k fastest.
        """
        count = len(numbers)
        return replace(
            self,
            intensities=self.intensities.flatten(1)[:, numbers, None, None],
            edges=self.edges.flatten(1)[:, numbers, None, None],
            inside=self.inside.flatten()[numbers, None, None],
            untrained=self.untrained.reshape(-1, 3)[numbers].reshape(count, 1, 1, 3),
        )

    def brightened(self, gain: Float[Tensor, "C I J K"]) -> MRIFeatures:
        """The same brain under another receive field: intensities times a gain that varies slowly."""
        return replace(self, intensities=self.intensities * gain, edges=self.edges * gain**2)

    def to(self, device: torch.device | str) -> MRIFeatures:
        """The same on another device; the affine stays where it is."""
        moved = {
            name: getattr(self, name).to(device) for name in ("intensities", "edges", "inside", "untrained")
        }
        return replace(self, **moved)


def sum_of_squares(
    images: Float[Tensor, "C I J K"], spacing_mm: tuple[float, float, float]
) -> Float[Tensor, "C I J K"]:
    """Squared length of each image's gradient, per mm^2."""
    slopes = derivatives(images, spacing_mm)
    return torch.stack([slope.square() for slope in slopes]).sum(dim=0)
