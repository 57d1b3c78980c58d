"""Soft tissue classes of an MRI: a Gaussian mixture with partial volume on the volume's own histogram.

Beside its pure classes the mixture has components for voxels that two classes share: Gaussians at equal
steps along the line between both means (a discrete form of the mixel density of Santago and Gage, IEEE TMI
12, 1993). The fraction of a class in a voxel is its expectation over all components, so a voxel on the
border of CSF and cortex holds some of both instead of passing for something else.

One ambiguity no histogram can solve: on T1 and T2 a voxel between CSF and white matter looks like grey
matter, and on FLAIR one between CSF and grey matter may look like white. Where CSF borders on tissue this
is grey matter, but for the ventricles. So CSF shares voxels with grey matter, except on a rim about the
deep bodies of CSF where white matter is near too: there it shares them with white matter, and no false
cortex lines the ventricles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from diffus.segmentation.classes import CSF, GREY, WHITE, BrightClass, TissueClasses, check_volumes
from diffus.segmentation.contrasts import BASE_CLASSES, contrast_named
from diffus.segmentation.fluid import CoarseBrain, deep_pools, fluid_intensity
from diffus.segmentation.gaussians import PartialVolumeMixture, fit_mixture
from diffus.segmentation.grid import coarsening_factors
from diffus.segmentation.intensity import fit_normalisation, spread_over
from diffus.segmentation.ventricles import WORKING_SPACING_MM
from diffus.volume import Volume

LEAST_VOXELS = 1000
"""Fewer voxels than this make no histogram."""

SAMPLES = 10_000
"""Voxels that the mixture is fitted on: the mean of a class is known to a hundredth of its spread."""


def fit_tissue_classes(volumes: Mapping[str, Volume], mask: Volume) -> TissueClasses:
    """Fit tissue classes to one or more contrasts of a brain, jointly; always the same for the same input.

    Args:
        volumes: the MRI by contrast (names of `contrasts.CONTRASTS`), all on one grid.
        mask: non-zero inside the brain, on that grid.

    Raises:
        ValueError: for no volume or an unknown contrast, when a volume lies on another grid than the mask
            or is constant inside it, or when the mask holds too few voxels.
    """
    check_volumes(volumes, mask)
    mask = Volume(mask.data != 0, mask.world_from_voxel)
    count = int(mask.data.sum())
    if count < LEAST_VOXELS:
        raise ValueError(
            f"the mask holds {count} voxels, at least {LEAST_VOXELS} are needed "
            "to tell tissues by their histogram"
        )
    normalisations = tuple(fit_normalisation(volume, mask) for volume in volumes.values())
    chosen = spread_over(mask.data, SAMPLES)
    values = [n.at(volume, chosen) for n, volume in zip(normalisations, volumes.values(), strict=True)]
    samples = torch.stack(values, dim=1)
    contrasts = [contrast_named(name) for name in volumes]
    levels = [[contrast.level(tissue) for contrast in contrasts] for tissue in BASE_CLASSES]
    # CSF borders on white matter in ventricles alone, and there the fractions are taken without grey matter.
    pairs = ((CSF, GREY), (GREY, WHITE))
    means = torch.tensor(levels, dtype=torch.float64)
    coarse = CoarseBrain.of(volumes, mask, normalisations)
    base, fluid = torch.ones(len(samples), dtype=torch.bool), None
    # The first fit does not know the level of CSF, so less is asked of what it calls CSF.
    for level in (0.3, 0.5, 0.5):
        mixture = fit_mixture(samples[base], means, pairs, {CSF: fluid} if fluid else None)
        bright = _bright_classes(mixture, [contrast.above for contrast in contrasts])
        base = torch.stack([b.fraction(samples) == 0 for b in bright] + [torch.ones_like(base)]).all(dim=0)
        csf = mixture.fractions(coarse.features)[:, CSF]
        core = coarse.fluid_core(csf, level)
        means, fluid = mixture.means, fluid_intensity(core, volumes, mask, normalisations) or fluid
    pools, factors = deep_pools(csf, coarse.brain), coarsening_factors(mask, WORKING_SPACING_MM)
    return TissueClasses(tuple(volumes), normalisations, mixture, bright, pools, factors)


def _bright_classes(mixture: PartialVolumeMixture, above: list[str | None]) -> tuple[BrightClass, ...]:
    """From 2.5 standard deviations above the brightest base class on, full at 4: beyond its noise.

    Where the classes are very narrow, a share of the span between darkest and brightest class takes the
    place of their deviation: bias that is left over must not pass for a lesion.
    """
    classes = []
    for channel, name in enumerate(above):
        if name is not None:
            means = mixture.means[:, channel]
            top = int(means.argmax())
            deviation = math.sqrt(float(mixture.covariances[top, channel, channel]))
            unit = max(deviation, 0.05 * float(means.max() - means.min()))
            mean = float(means[top])
            classes.append(BrightClass(name, channel, mean + 2.5 * unit, mean + 4 * unit))
    return tuple(classes)
