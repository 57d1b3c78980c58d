"""The brain in a head: a mask found without training, for any named contrast.

The way: (1) average to a coarse grid of about 2 mm; (2) take the level of brain tissue from a ball around the
middle of the upper head; (3) threshold, erode until the brain hangs together and nothing else hangs on it,
keep the largest piece, close it over sulci and ventricles; (4) flood from this core and from the far
outside by a watershed whose crest is the darkest sheet between brain and scalp (CSF and skull), which holds
back leaks into dura, eyes and muscle; (5) take the tissue within the brain's basin, close and fill it, drop
thin strips (nerves, vessels, the cord), and smooth. The erosion and closing of (3) and (5) are those of the
Brain Surface Extractor (Shattuck et al., NeuroImage 13, 2001), the watershed is in the spirit of Hahn and
Peitgen (MICCAI 2000), and the robust range and the level that splits tissue from CSF are those of BET
(Smith, Human Brain Mapping 17, 2002).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from diffus.checks import require_one_of
from diffus.segmentation import morphology
from diffus.segmentation.contrasts import CONTRASTS
from diffus.segmentation.grid import Factors, average_down, coarsening_factors, sample_up_mask
from diffus.volume import Volume

COARSE_MM = 2.0
"""Spacing at which a head is worked on."""

CUT_OUT_MM = 100.0
"""A volume smaller than this along every axis is a piece of a head, cut out around an ultrasound field. It is
worked on at half the spacing and with half of every radius, because nothing of the size of a brain is in
it."""

PARTIAL_MM = 150.0
"""A volume smaller than this along any axis need not hold a whole brain, so its volume is not judged."""

TISSUE_LEVEL = 0.4
"""Where tissue begins, between dark (0) and the median of brain (1); BET's default is 0.5 of the local
maximum."""

CORE_RADII_MM = (5.0, 6.0, 7.0)
"""Erosions tried in turn, until the brain comes loose from the scalp."""

BRAIN_ML = (350.0, 2300.0)
"""Volumes between which a brain with its sulci lies: an infant's, and an adult's with room to spare."""

STRIPPED_SHARE = 0.93
"""Share of the foreground that is brain, from which on the volume counts as stripped of its skull."""

HINT = "give a brain mask made elsewhere (mask=), or crop the volume to the brain"


@dataclass(frozen=True)
class _Levels:
    """Intensities of a head: robust minimum, start of tissue, upper quartile and end of brain tissue."""

    dark: float
    tissue: float
    bright: float
    ceiling: float


def brain_mask(volume: Volume, contrast: str = "t1") -> Volume:
    """Find the brain: cortex, sulcal and ventricular CSF, cerebellum and the upper brain stem.

    Takes a few seconds, and little memory beside the mask. Works on whole heads, defaced heads, pieces of a
    head and volumes already stripped of their skull, whose own outline is returned. Not for fetuses and
    small animals.

    Args:
        volume: the MRI, with millimetre spacing.
        contrast: what kind of image it is, a name of `contrasts.CONTRASTS`.

    Returns:
        A boolean volume on the same grid.

    Raises:
        ValueError: for an unknown contrast, a constant volume, or when no brain is found.
    """
    require_one_of("contrast", contrast, CONTRASTS)
    is_cut_out = max(volume.extent_mm) < CUT_OUT_MM
    scale = 0.5 if is_cut_out else 1.0
    factors = coarsening_factors(volume, COARSE_MM * scale)
    coarse = average_down(volume, factors)
    levels = _levels(coarse, contrast)
    found = _find(coarse, levels, scale, whole=min(volume.extent_mm) >= PARTIAL_MM)
    if is_cut_out:
        found = _fill_cut_ventricles(found)
    outline = _stripped_outline(volume, coarse, found, factors)
    if outline is None:
        soft = morphology.smooth(found.float(), coarse.spacing_mm, 2.0 * scale)
        outline = sample_up_mask(soft, factors, volume.shape)
    return Volume(outline, volume.world_from_voxel)


def _find(coarse: Volume, levels: _Levels, scale: float, whole: bool) -> Bool[Tensor, "I J K"]:
    seen = "no solid tissue"
    for radius_mm in CORE_RADII_MM:
        core = _core(coarse, levels, radius_mm * scale, scale)
        if not bool(core.any()):
            break
        found = _refine(coarse, core, levels, scale)
        volume_ml = float(found.sum()) * float(torch.tensor(coarse.spacing_mm).prod()) / 1000
        if volume_ml > 0 and (not whole or BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]):
            return found
        seen = f"the largest piece of tissue has {volume_ml:.0f} ml"
    size = " x ".join(f"{extent:.0f}" for extent in coarse.extent_mm)
    expected = f"{BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} ml"
    raise ValueError(f"no brain found in the {size} mm volume: {seen}, expected {expected}; {HINT}")


def _levels(coarse: Volume, contrast: str) -> _Levels:
    """Robust range and the level of brain, from a ball around the middle of the upper head."""
    data = coarse.data
    sample = data[data != data.min()]
    if sample.numel() < 2 or float(sample.min()) == float(sample.max()):
        sample = data.flatten()
    dark, top = _quantiles(sample, (0.02, 0.98))
    if not top > dark:
        raise ValueError(
            f"no brain found: the volume is constant ({dark:g}) apart from its background; {HINT}"
        )
    head = data > dark + 0.1 * (top - dark)
    ball = _upper_head_ball(coarse, head)
    median, upper, highest = _quantiles(data[ball], (0.5, 0.75, 0.95))
    # Fat and veins lie above brain on T1 and FLAIR; on T2 the brightest is CSF, which is to be kept.
    ceiling = torch.inf if contrast == "t2" else dark + 1.4 * (highest - dark)
    return _Levels(dark, dark + TISSUE_LEVEL * (median - dark), upper, ceiling)


def _upper_head_ball(coarse: Volume, head: Bool[Tensor, "I J K"]) -> Bool[Tensor, "I J K"]:
    """Voxels of the head near the middle of its upper 140 mm, so that a neck does not pull it down."""
    world_from_voxel = coarse.world_from_voxel
    position = head.nonzero().double() @ world_from_voxel[:3, :3].T + world_from_voxel[:3, 3]
    height = position[:, 2]
    step = 2.0
    area_mm2 = torch.bincount(((height - height.min()) / step).long()) * float(
        torch.tensor(coarse.spacing_mm).prod() / step
    )
    slices = (area_mm2 > 1000.0).nonzero()
    top = height.min() + step * float(slices[-1] if len(slices) else len(area_mm2))
    centre = position[height > top - 140.0].mean(dim=0)
    radius = min(50.0, 0.4 * max(coarse.extent_mm))
    near = (position - centre).norm(dim=1) < radius
    ball = torch.zeros_like(head)
    ball[head] = near
    return ball if bool(near.any()) else head


def _core(coarse: Volume, levels: _Levels, radius_mm: float, scale: float) -> Bool[Tensor, "I J K"]:
    """The brain without its thin parts, closed over sulci and ventricles."""
    spacing = coarse.spacing_mm
    tissue = (coarse.data > levels.tissue) & (coarse.data < levels.ceiling)
    seed = morphology.largest_component(morphology.erode(tissue, spacing, radius_mm))
    if not bool(seed.any()):
        return seed
    regrown = morphology.dilate(seed, spacing, radius_mm + 0.5 * scale) & tissue
    return morphology.open_largest(morphology.close(regrown, spacing, 9.0 * scale), spacing, 8.0 * scale)


def _refine(
    coarse: Volume, core: Bool[Tensor, "I J K"], levels: _Levels, scale: float
) -> Bool[Tensor, "I J K"]:
    """From the core out to the cortex, held back by the dark sheet of CSF and skull."""
    spacing = coarse.spacing_mm
    tissue = (coarse.data > levels.tissue) & (coarse.data < levels.ceiling)
    inside = morphology.erode(core, spacing, 2.0 * scale) | (core & tissue)
    outside = morphology.distance_to(core, spacing) > 8.0 * scale
    relief = -morphology.smooth(coarse.data.clamp(max=levels.bright), spacing, 1.0 * scale)
    basin = morphology.watershed(relief, inside, outside)
    basin = morphology.open_largest(basin, spacing, 4.0 * scale)
    cortex = morphology.open_largest(tissue & basin, spacing, 3.0 * scale) | (core & basin)
    closed = morphology.close(cortex, spacing, 8.0 * scale) & (basin | core)
    return morphology.fill_holes(morphology.open_largest(closed, spacing, 8.0 * scale))


def _fill_cut_ventricles(found: Bool[Tensor, "I J K"]) -> Bool[Tensor, "I J K"]:
    """Fill small dark pieces that only the border of the field keeps from being holes: cut ventricles."""
    labels, sizes = morphology.components(~found)
    small = (sizes < 0.02 * found.numel()).nonzero()[:, 0] + 1
    return found | torch.isin(labels, small.to(labels.dtype))


def _stripped_outline(
    volume: Volume, coarse: Volume, found: Bool[Tensor, "a b c"], factors: Factors
) -> Bool[Tensor, "I J K"] | None:
    """The outline of a volume stripped of its skull: all that is not background, if that is brain."""
    background = coarse.data == volume.data.min()
    if float(background.float().mean()) < 0.05:
        return None
    filled = morphology.fill_holes(~background)
    if float((found & filled).sum()) < STRIPPED_SHARE * float(filled.sum()):
        return None
    # A coarse voxel counts as foreground when any fine one in it does, so the fine outline is taken from the
    # fine voxels and the coarse grid only says what lies within it.
    deep = morphology.erode(filled, coarse.spacing_mm, 2 * max(coarse.spacing_mm)) & filled
    outline = sample_up_mask(deep.float(), factors, volume.shape)
    return outline.logical_or_(volume.data != volume.data.min())


def _quantiles(values: Tensor, levels: tuple[float, ...]) -> list[float]:
    thinned = values.flatten()[:: max(1, values.numel() // 200_000)]
    return torch.quantile(thinned, torch.tensor(levels)).tolist()
