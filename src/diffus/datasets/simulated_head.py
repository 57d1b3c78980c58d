"""The patients of a simulated dataset: tissue maps, hidden acoustic tables, and the MRI that shows them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.checks import require_one_of
from diffus.medium import Medium
from diffus.mixing import mix_tissues
from diffus.segmentation import brain_mask, fit_tissue_classes, open_fluid, open_share
from diffus.segmentation.contrasts import contrast_named
from diffus.tissue_maps import TissueMaps
from diffus.tissues import SULCUS_BACKSCATTER, TISSUES, Tissue
from diffus.volume import Volume

MRI_SCALE = 1000.0
"""Grey value of the brightest base class in a written MRI."""
OTHER_LEVEL = {"cet1": 1.4, "t2": 0.8}
"""Intensity of enhancing tissue and lesions: gadolinium shortens T1, and oedema lengthens T2."""
BIAS = 0.1
"""Largest departure of the smooth bias field from 1, as coils leave it in one direction."""
NOISE = 0.02
"""Standard deviation of the noise, in units of the brightest base class."""
CHOICES = ("t1", "cet1", "t2")
"""Contrasts that an MRI to simulate from may have."""
MARGIN_MM = 12.0
"""Of the head kept around a case's grid: how far the offset of MRI and ultrasound may carry frames."""
_IMPEDANCE_SHARE = 0.02
"""Share of the tissues' variation that goes to density: soft tissues differ by a few percent in all."""


@dataclass(frozen=True, eq=False)
class Head:
    """What every case of a dataset is made from.

    Args:
        maps: tissue fractions.
        mask: of the brain, on their grid.
        pools: where fluid is open, as `diffus.segmentation.open_fluid` finds it in the whole head.
        images: MRI that was given, by contrast; what is not given is made from the fractions.
    """

    maps: TissueMaps
    mask: Volume
    pools: Volume
    images: Mapping[str, Volume]

    @classmethod
    def of_maps(cls, maps: TissueMaps, images: Mapping[str, Volume] | None = None) -> Head:
        """A head of tissue maps, CSF among them."""
        return cls(maps, maps.mask, open_fluid(maps.fractions["csf"], maps.mask), images or {})

    def around(self, shape: tuple[int, int, int], world_from_voxel: Float64[Tensor, "4 4"]) -> Head:
        """The part of the head around a grid, given images left whole.

        Raises:
            ValueError: when the grid lies outside.
        """
        start, stop = _box(self.mask, shape, world_from_voxel)
        cropped = {name: volume.crop(start, stop) for name, volume in self.maps.fractions.items()}
        maps = TissueMaps(cropped, self.maps.surroundings)
        return Head(maps, self.mask.crop(start, stop), self.pools, self.images)


@dataclass(frozen=True)
class HiddenTissues:
    """The acoustic values behind a case, which a model that is trained on the dataset should find.

    Args:
        table: by tissue.
        sulcus_backscatter: see `diffus.mixing.mix_tissues`.
    """

    table: Mapping[str, Tissue]
    sulcus_backscatter: float = SULCUS_BACKSCATTER

    def varied(self, sigma: float, generator: torch.Generator) -> HiddenTissues:
        """Other values near these: attenuation and backscatter times log-normal factors, density by less.

        Args:
            sigma: standard deviation of the logarithm of a factor.
            generator: of the random numbers.
        """
        table = {}
        for name, row in self.table.items():
            density, attenuation, backscatter = _factors(3, sigma, generator)
            table[name] = replace(
                row,
                density_kg_m3=row.density_kg_m3 * density**_IMPEDANCE_SHARE,
                attenuation_db_per_cm_mhz=row.attenuation_db_per_cm_mhz * attenuation,
                backscatter=row.backscatter * backscatter,
                source="varied for a simulation",
            )
        (sulcus,) = _factors(1, sigma, generator)
        return HiddenTissues(table, self.sulcus_backscatter * sulcus)

    def medium(self, head: Head) -> Medium:
        """What the tissues are to a wave."""
        names, grid = list(head.maps.fractions), head.maps.grid
        fractions = [volume.data.float() for volume in head.maps.fractions.values()]
        csf = fractions[names.index("csf")]
        share = torch.zeros_like(csf)
        share[csf > 0] = open_share(head.pools, grid, csf > 0)
        channels = mix_tissues(
            fractions,
            names,
            head.maps.surroundings,
            open_fluid=share,
            table=self.table,
            sulcus_backscatter=self.sulcus_backscatter,
        )
        return Medium.from_channels(channels, grid.world_from_voxel)

    def to_dict(self, names: tuple[str, ...]) -> dict[str, object]:
        """Values of some tissues, for JSON."""
        rows = {name: self.table[name] for name in names}
        return {
            "sulcus_backscatter": self.sulcus_backscatter,
            "tissues": {
                name: {
                    "impedance_mrayl": row.impedance_mrayl,
                    "attenuation_db_per_cm_mhz": row.attenuation_db_per_cm_mhz,
                    "backscatter": row.backscatter,
                }
                for name, row in rows.items()
            },
        }


DEFAULT_TISSUES = HiddenTissues(TISSUES)
"""Those that the library renders untrained."""


def open_head(mri: str | os.PathLike[str] | Volume | None = None, contrast: str = "t1") -> Head:
    """Tissue maps of an MRI, classified by its own histogram, or those of the embedded brain.

    Args:
        mri: a volume or its file; by default the embedded brain, which needs the extra ``[demo]``.
        contrast: what the MRI shows, t1, cet1 or t2; t1 stands where the dataset has contrast-enhanced T1.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: for another contrast, and as `Medium.from_mri`.
    """
    if mri is None:
        from diffus.datasets.example import example_brain

        return Head.of_maps(example_brain())
    require_one_of("contrast of the MRI to simulate from", contrast, CHOICES)
    volume = mri if isinstance(mri, Volume) else Volume.load(mri)
    mask = brain_mask(volume, contrast)
    classes = fit_tissue_classes({contrast: volume}, mask)
    fractions, names = classes.fractions({contrast: volume}, mask)
    maps = {
        name: Volume(share, volume.world_from_voxel) for name, share in zip(names, fractions, strict=True)
    }
    return Head.of_maps(TissueMaps(maps), {"cet1" if contrast == "t1" else contrast: volume})


def mri_of(
    head: Head,
    contrast: str,
    shape: tuple[int, int, int],
    world_from_voxel: Float64[Tensor, "4 4"],
    generator: torch.Generator,
) -> Volume:
    """The MRI of a head on a grid, as whole numbers: the given image, or one made from the fractions.

    A made image mixes the usual intensity of each tissue under the contrast
    (`diffus.segmentation.contrasts`), times a smooth bias field, with Rician noise (Gudbjartsson and Patz,
    Magn Reson Med 34, 1995). Outside the brain it is 0, as after the removal of the skull.

    Args:
        head: the patient.
        contrast: cet1 or t2.
        shape: voxels of the grid.
        world_from_voxel: place of the grid.
        generator: of the bias field and the noise.
    """
    if contrast in head.images:
        image = head.images[contrast]
        values = image.resample(shape, world_from_voxel).data
        top = float(image.data.flatten()[:: max(1, image.data.numel() // 10**6)].quantile(0.99))
        return _whole(values * (MRI_SCALE / max(top, 1e-6)), world_from_voxel)
    signal, inside = torch.zeros(shape), torch.zeros(shape)
    row = contrast_named(contrast)
    for name, fraction in head.maps.fractions.items():
        share = fraction.resample(shape, world_from_voxel).data
        signal += share * (row.level(name) if name in row.rising else OTHER_LEVEL[contrast])
        inside += share
    signal *= _bias_field(shape, generator)
    real = signal + NOISE * torch.randn(shape, generator=generator)
    imaginary = NOISE * torch.randn(shape, generator=generator)
    magnitude = torch.hypot(real, imaginary).where(inside >= 0.5, 0)
    return _whole(MRI_SCALE * magnitude, world_from_voxel)


def _box(
    grid: Volume, shape: tuple[int, int, int], world_from_voxel: Float64[Tensor, "4 4"]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Voxels of one grid around another, with a margin."""
    corners = torch.cartesian_prod(*(torch.tensor([0.0, n - 1.0], dtype=torch.float64) for n in shape))
    matrix = grid.voxel_from_world @ world_from_voxel
    index = corners @ matrix[:3, :3].T + matrix[:3, 3]
    margin = torch.tensor([MARGIN_MM / spacing for spacing in grid.spacing_mm])
    lows, highs = index.min(dim=0).values - margin, index.max(dim=0).values + margin + 1
    limits = torch.tensor(grid.shape)
    i, j, k = lows.floor().long().clamp_min(0).minimum(limits).tolist()
    to_i, to_j, to_k = highs.ceil().long().clamp_min(0).minimum(limits).tolist()
    return (i, j, k), (to_i, to_j, to_k)


def _factors(count: int, sigma: float, generator: torch.Generator) -> list[float]:
    return [
        math.exp(value) for value in (sigma * torch.randn(count, generator=generator)).clamp(-1, 1).tolist()
    ]


def _bias_field(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """A ramp with a direction of its own, which is 1 in the middle."""
    slopes = torch.randn(3, generator=generator)
    slopes = BIAS * slopes / slopes.abs().sum()
    field = torch.ones(shape)
    for axis, (size, slope) in enumerate(zip(shape, slopes.tolist(), strict=True)):
        ramp = slope * torch.linspace(-1, 1, size)
        field += ramp.reshape([-1 if other == axis else 1 for other in range(3)])
    return field


def _whole(values: Tensor, world_from_voxel: Float64[Tensor, "4 4"]) -> Volume:
    return Volume(values.round_().clamp_(0, 32767).short(), world_from_voxel)
