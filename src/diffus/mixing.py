"""From tissue fractions to acoustic values, voxel by voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_one_of
from diffus.tissues import SULCUS_BACKSCATTER, TISSUES, Tissue

CHANNELS = ("impedance", "attenuation", "backscatter")
"""The order of a medium's channels."""


def mix_tissues(
    fractions: Sequence[Float[Tensor, "*voxels"]],
    names: Sequence[str],
    surroundings: str,
    *,
    open_fluid: Float[Tensor, "*voxels"] | None = None,
    table: Mapping[str, Tissue] = TISSUES,
    sulcus_backscatter: float = SULCUS_BACKSCATTER,
) -> Float[Tensor, "*voxels 3"]:
    """Mix the table's values by volume fraction.

    Impedance and attenuation mix linearly. Scattered power adds, so backscatter mixes as the root of the mean
    square. Where CSF and grey matter share a voxel there is a sulcus with its pia-arachnoid: the product of
    both fractions, scaled to 1 at half and half, times ``sulcus_backscatter`` is an amplitude whose power
    adds.

    Args:
        fractions: volume fraction of each tissue, each of the same shape.
        names: the tissue of each fraction, a name of the table.
        surroundings: tissue that fills what the fractions leave of a voxel.
        open_fluid: share of each voxel's CSF that lies in a ventricle or cavity, which no pia lines
            (`diffus.segmentation.open_fluid`).
        table: tissue values by name.
        sulcus_backscatter: backscatter of a voxel half CSF, half grey matter.

    Raises:
        ValueError: for a tissue that is not in the table.
    """
    for name in (*names, surroundings):
        require_one_of("tissue", name, table)
    rest = table[surroundings]
    channels = fractions[0].new_empty(*fractions[0].shape, 3)
    impedance = torch.full_like(fractions[0], rest.impedance_mrayl)
    attenuation = torch.full_like(fractions[0], rest.attenuation_db_per_cm_mhz)
    power = torch.full_like(fractions[0], rest.backscatter**2)
    for fraction, name in zip(fractions, names, strict=True):
        row = table[name]
        impedance += fraction * (row.impedance_mrayl - rest.impedance_mrayl)
        attenuation += fraction * (row.attenuation_db_per_cm_mhz - rest.attenuation_db_per_cm_mhz)
        power += fraction * (row.backscatter**2 - rest.backscatter**2)
    if "csf" in names and "grey_matter" in names:
        lining = (
            4 * sulcus_backscatter * fractions[names.index("csf")] * fractions[names.index("grey_matter")]
        )
        if open_fluid is not None:
            lining = lining * (1 - open_fluid)
        power += lining**2
    channels[..., 0], channels[..., 1] = impedance, attenuation
    channels[..., 2] = power.clamp_min_(0).sqrt_()
    return channels
