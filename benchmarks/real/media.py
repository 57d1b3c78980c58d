"""Media of the rendered frames, with a tissue table that a candidate may change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from diffus import Medium, Tissue, TissueMaps, Volume
from diffus.datasets import example_brain
from diffus.mixing import mix_tissues
from diffus.segmentation import brain_mask, fit_tissue_classes
from diffus.tissues import TISSUES

from .candidate import Candidate

MRI = {"cet1": "resect/Case24-T1-inUS-0.5mm.nii.gz", "flair": "resect/Case24-FLAIR-inUS-0.5mm.nii.gz"}
"""Case 24 by contrast; the T1 is contrast-enhanced."""


def brain_medium(candidate: Candidate) -> Medium:
    """The embedded brain."""
    return _brain_medium(tuple(candidate.backscatter.items()), candidate.sulcus_backscatter)


@lru_cache(maxsize=1)
def _brain_medium(backscatter: tuple[tuple[str, float], ...], sulcus_backscatter: float) -> Medium:
    return Medium.from_tissue_maps(brain_maps(), _table(dict(backscatter)), sulcus_backscatter)


@cache
def brain_maps() -> TissueMaps:
    """Tissue maps of the embedded brain, read once."""
    return example_brain()


def case24_medium(data: Path, contrast: str, candidate: Candidate) -> Medium:
    """Case 24 from one contrast, as `Medium.from_mri` makes it but with the candidate's table."""
    fractions, names, open_fluid, affine = _case24_classes(data, contrast)
    channels = mix_tissues(
        fractions,
        names,
        "water",
        open_fluid=open_fluid,
        table=_table(candidate.backscatter),
        sulcus_backscatter=candidate.sulcus_backscatter,
    )
    return Medium.from_channels(channels, affine)


@cache
def _case24_classes(data: Path, contrast: str) -> tuple[list[Tensor], tuple[str, ...], Tensor, Tensor]:
    volumes = {contrast: Volume.load(data / MRI[contrast])}
    mask = _case24_mask(data)
    classes = fit_tissue_classes(volumes, mask)
    everything = slice(0, mask.shape[0])
    fractions, names = classes.fractions(volumes, mask, everything)
    return fractions, names, classes.open_fluid(mask, everything), mask.world_from_voxel


@cache
def _case24_mask(data: Path) -> Volume:
    mask = brain_mask(Volume.load(data / MRI["cet1"]), "cet1")
    return Volume((mask.data != 0).to(torch.uint8), mask.world_from_voxel)


def _table(backscatter: Mapping[str, float]) -> dict[str, Tissue]:
    changed = {name: replace(TISSUES[name], backscatter=value) for name, value in backscatter.items()}
    return TISSUES | changed
