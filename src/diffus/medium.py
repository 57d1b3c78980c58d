"""Medium: what tissue is to a wave, voxel by voxel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.affine import check_affine
from diffus.checks import require_shape
from diffus.mixing import CHANNELS, mix_tissues
from diffus.tissue_maps import TissueMaps
from diffus.tissues import SULCUS_BACKSCATTER, TISSUES, Tissue, tissue
from diffus.volume import Volume

if TYPE_CHECKING:
    from diffus.learning.model import TissueModel

SLAB_VOXELS = 2**21
"""Voxels converted at a time by the constructors, which bounds their working memory."""


@dataclass(frozen=True, eq=False)
class Medium:
    """Impedance, attenuation and backscatter on one grid.

    Gradients flow to the three maps. Floating point type and device are those of the maps; the renderer
    computes in them.

    Args:
        impedance: (I, J, K) in MRayl, above zero.
        attenuation: (I, J, K) in dB/cm/MHz, not negative.
        backscatter: (I, J, K), amplitude of the expected speckle envelope in units of the echo of a perfect
            plane reflector, not negative.
        world_from_voxel: (4, 4), RAS+ mm, voxel centres at integers.

    Raises:
        ValueError: when the maps differ in shape, type or device, hold NaN, Inf or values out of range, or
            when the affine is refused.
    """

    impedance: Float[Tensor, "I J K"]
    attenuation: Float[Tensor, "I J K"]
    backscatter: Float[Tensor, "I J K"]
    world_from_voxel: Float64[Tensor, "4 4"]
    _interleaved: Tensor | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        maps = {name: torch.as_tensor(getattr(self, name)) for name in CHANNELS}
        first = maps["impedance"]
        for name, values in maps.items():
            require_shape(
                f"Medium {name}", values.shape, "(I, J, K)", values.ndim == 3 and values.numel() > 0
            )
            if not values.is_floating_point():
                raise ValueError(
                    f"Medium {name} must be floating point, got {values.dtype}: call .float() on it"
                )
            if (values.shape, values.dtype, values.device) != (first.shape, first.dtype, first.device):
                raise ValueError(
                    f"Medium maps must share shape, type and device: impedance is {_describe(first)}, "
                    f"{name} is {_describe(values)}"
                )
            _check_range(name, values.detach())
            object.__setattr__(self, name, values)
        object.__setattr__(self, "world_from_voxel", check_affine(self.world_from_voxel))

    @classmethod
    def from_channels(
        cls, channels: Float[Tensor, "I J K 3"], world_from_voxel: Float64[Tensor, "4 4"]
    ) -> Medium:
        """Take maps that lie interleaved in memory (impedance, attenuation, backscatter), without a copy."""
        require_shape(
            "channels", channels.shape, "(I, J, K, 3)", channels.ndim == 4 and channels.shape[-1] == 3
        )
        medium = cls(channels[..., 0], channels[..., 1], channels[..., 2], world_from_voxel)
        object.__setattr__(medium, "_interleaved", channels)
        return medium

    @classmethod
    def from_tissue_maps(
        cls,
        maps: TissueMaps,
        table: Mapping[str, Tissue] = TISSUES,
        sulcus_backscatter: float = SULCUS_BACKSCATTER,
    ) -> Medium:
        """Mix the table's values by the volume fractions of each voxel.

        Sulci, where CSF and grey matter share a voxel, are bright (`diffus.mixing.mix_tissues`); the walls of
        ventricles and cavities are not (`diffus.segmentation.open_fluid`).

        Args:
            maps: volume fractions on one grid.
            table: tissue values by name.
            sulcus_backscatter: backscatter of a voxel half CSF, half grey matter.
        """
        from diffus.segmentation import open_fluid

        names, grid = list(maps.fractions), maps.grid
        pools = open_fluid(maps.fractions["csf"], maps.mask) if "csf" in names else None
        channels = torch.empty(*grid.shape, 3)
        for slab in slabs(grid.shape):
            fractions = [volume.data[slab].float() for volume in maps.fractions.values()]
            share = None if pools is None else _open_fluid(pools, grid, slab, fractions[names.index("csf")])
            channels[slab] = mix_tissues(
                fractions,
                names,
                maps.surroundings,
                open_fluid=share,
                table=table,
                sulcus_backscatter=sulcus_backscatter,
            )
        return cls.from_channels(channels, grid.world_from_voxel)

    @classmethod
    def from_labels(cls, labels: Volume, table: Any = "tissues", ct: Volume | None = None) -> Medium:
        """Look the values up in a table of labels.

        Args:
            labels: whole numbers.
            table: a built-in table by name (see `diffus.labels`), a CSV or JSON file, or a `LabelTable`.
            ct: CT in Hounsfield units on the same grid; gives the values where the label says too little, as
                0 and hollow organs (``LabelTable.from_image``).

        Raises:
            ValueError: for labels that are not in the table (listing them) and for another grid.
        """
        from diffus.labels import LabelTable, label_table

        lookup = table if isinstance(table, LabelTable) else label_table(table)
        if ct is None:
            return cls.from_channels(lookup.look_up(labels.data), labels.world_from_voxel)
        if not ct.same_grid(labels):
            raise ValueError(
                f"labels and CT lie on different grids: {labels!r} and {ct!r}; resample one of them"
            )
        channels = cls.from_ct(ct).channels
        lookup.look_up(labels.data, out=channels, keep=lookup.from_image)
        return cls.from_channels(channels, labels.world_from_voxel)

    @classmethod
    def from_ct(cls, ct: Volume) -> Medium:
        """Convert CT numbers (Hounsfield units); see `diffus.hounsfield` for the laws and their sources.

        Raises:
            ValueError: when the numbers cannot be Hounsfield units: nothing below 0, as in an MRI.
        """
        low, high = (float(v) for v in ct.data.aminmax())
        if low >= 0:
            raise ValueError(
                f"this volume does not hold CT numbers: values from {low:g} to {high:g}, expected Hounsfield "
                "units with air near -1000; for an MRI use Medium.from_mri"
            )
        from diffus.hounsfield import acoustic_from_hounsfield, fluid_share

        channels = torch.empty(*ct.shape, 3)
        for slab in slabs(ct.shape):
            before = min(1, slab.start)  # neighbours that fluid_share looks at
            around = ct.data[slab.start - before : slab.stop + 1].float()
            inner = slice(before, before + slab.stop - slab.start)
            channels[slab] = acoustic_from_hounsfield(around[inner], fluid_share(around)[inner])
        return cls.from_channels(channels, ct.world_from_voxel)

    @classmethod
    def from_mri(
        cls,
        volumes: Volume | Mapping[str, Volume] | Sequence[Volume],
        contrast: str | Sequence[str] = "t1",
        mask: Volume | None = None,
        table: Mapping[str, Tissue] = TISSUES,
        sulcus_backscatter: float = SULCUS_BACKSCATTER,
    ) -> Medium:
        """Classify an MRI by its own histogram, untrained, and mix the tissues' values.

        Args:
            volumes: one volume, two on one grid, or {contrast: volume}.
            contrast: name of each volume's contrast: t1, cet1, t2 or flair. Not used for a mapping.
            mask: non-zero in the brain; found automatically when not given. Outside is saline.
            table: tissue values by name.
            sulcus_backscatter: backscatter of a voxel half CSF, half grey matter.

        Raises:
            ValueError: for an unknown contrast, different grids, a constant volume or an empty mask.
        """
        from diffus.segmentation import brain_mask, fit_tissue_classes

        by_contrast = _by_contrast(volumes, contrast)
        first_contrast, first = next(iter(by_contrast.items()))
        inside = (
            brain_mask(first, first_contrast)
            if mask is None
            else Volume(mask.data != 0, mask.world_from_voxel)
        )
        classes = fit_tissue_classes(by_contrast, inside)
        channels = torch.empty(*first.shape, 3)
        for slab in slabs(first.shape):
            fractions, names = classes.fractions(by_contrast, inside, slab)
            share = classes.open_fluid(inside, slab)
            channels[slab] = mix_tissues(
                fractions,
                names,
                "water",
                open_fluid=share,
                table=table,
                sulcus_backscatter=sulcus_backscatter,
            )
        return cls.from_channels(channels, first.world_from_voxel)

    @classmethod
    def from_model(
        cls,
        volumes: Volume | Mapping[str, Volume] | Sequence[Volume],
        model: TissueModel | str | os.PathLike[str],
        contrast: str | Sequence[str] | None = None,
        mask: Volume | None = None,
    ) -> Medium:
        """Let a trained model say what the tissue is; see `diffus.learning`. Without gradients.

        Args:
            volumes: one volume, several on one grid, or {contrast: volume}.
            model: the model, or the folder or card of one in a file.
            contrast: name of each volume's contrast; by default those of the model, in their order. Not used
                for a mapping.
            mask: non-zero in the brain; found automatically when not given. Outside is saline.

        Raises:
            ValueError: as `from_mri`; for contrasts that the model was not trained for, and for a model file
                that is damaged or of a newer version.
        """
        from diffus.learning import MRIFeatures, TissueModel, apply_model, load_model

        chosen = model if isinstance(model, TissueModel) else load_model(model)
        by_contrast = _by_contrast(volumes, chosen.contrasts if contrast is None else contrast)
        chosen.require_contrasts(tuple(by_contrast))
        return apply_model(chosen, MRIFeatures.from_volumes(by_contrast, mask))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along i, j and k."""
        i, j, k = self.impedance.shape
        return i, j, k

    @property
    def channels(self) -> Float[Tensor, "I J K 3"]:
        """The three maps interleaved in memory, for sampling; stacked once, unless they need a gradient."""
        if self._interleaved is not None:
            return self._interleaved
        channels = torch.stack([self.impedance, self.attenuation, self.backscatter], dim=-1)
        if not channels.requires_grad:
            object.__setattr__(self, "_interleaved", channels)
        return channels

    @property
    def voxel_from_world(self) -> Float64[Tensor, "4 4"]:
        """The inverse of ``world_from_voxel``, inverted in float64."""
        return torch.linalg.inv(self.world_from_voxel)

    def coupled(self, body: Volume, coupling: str = "water") -> Medium:
        """The same body with gel or saline around it, where there was air: what a probe on it looks through.

        Args:
            body: non-zero in the body, on the same grid.
            coupling: tissue of the table that fills the outside.

        Raises:
            ValueError: for a mask on another grid or an unknown tissue.
        """
        if not body.same_grid(self.volume("impedance")):
            raise ValueError(f"body mask and medium lie on different grids: {body!r} and {self!r}")
        outside = self.channels.new_tensor(tissue(coupling).acoustic)
        channels = torch.where((body.data != 0)[..., None].to(outside.device), self.channels, outside)
        return Medium.from_channels(channels, self.world_from_voxel)

    def to(self, *args: Any, **kwargs: Any) -> Medium:
        """The same medium on another device or in another floating point type, as `torch.Tensor.to`."""
        return Medium.from_channels(self.channels.to(*args, **kwargs), self.world_from_voxel)

    def volume(self, channel: str) -> Volume:
        """One map as a volume, to save or to plot."""
        return Volume(getattr(self, channel).detach(), self.world_from_voxel)

    def __repr__(self) -> str:
        from diffus.reprs.facts import medium_facts, paragraph

        return paragraph(self, medium_facts(self))

    def _repr_html_(self) -> str:
        from diffus.reprs.pages import medium_page

        return medium_page(self)

    def _repr_png_(self) -> bytes | None:
        from diffus.reprs.pictures import medium_picture

        return medium_picture(self)


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Consecutive slices of the first index, of about `SLAB_VOXELS` voxels each."""
    step = max(1, SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _open_fluid(
    pools: Volume, grid: Volume, slab: slice, csf: Float[Tensor, "i J K"]
) -> Float[Tensor, "i J K"]:
    """Open share of the fluid of a slab, looked up only where there is fluid."""
    from diffus.segmentation import open_share

    share = torch.zeros_like(csf)
    where = csf > 1e-3
    share[where] = open_share(pools, grid, where, slab.start)
    return share


def _by_contrast(
    volumes: Volume | Mapping[str, Volume] | Sequence[Volume], contrast: str | Sequence[str]
) -> dict[str, Volume]:
    if isinstance(volumes, Mapping):
        return dict(volumes)
    several = [volumes] if isinstance(volumes, Volume) else list(volumes)
    names = [contrast] if isinstance(contrast, str) else list(contrast)
    if len(several) != len(names) or len(set(names)) != len(names) or not names:
        raise ValueError(
            f"expected one contrast for each volume, all different: got {len(several)} volumes and {names}"
        )
    return dict(zip(names, several, strict=True))


def _check_range(name: str, values: Tensor) -> None:
    low, high = (float(v) for v in values.aminmax())
    if not low >= 0 or high == float("inf"):  # NaN fails every comparison
        raise ValueError(f"Medium {name} must be finite and not negative, got {low:g} to {high:g}")
    if name == "impedance" and low == 0:
        raise ValueError("Medium impedance must be above 0 MRayl everywhere; air is 0.0004")


def _describe(values: Tensor) -> str:
    return (
        f"{' x '.join(map(str, values.shape))} {str(values.dtype).removeprefix('torch.')} on {values.device}"
    )
