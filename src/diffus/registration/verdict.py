"""Whether a registration is to be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.medium import Medium
from diffus.probe import Probe
from diffus.registration.motion import sector_points

VERDICTS = ("converged", "ambiguous", "out_of_view")
LEAST_TISSUE = 0.15
"""Share of the sector that must hold tissue of the volume; with less the frame is taken to look past it."""
CHANCE = 5.0
"""Standard deviations that unrelated images reach when thousands of poses are tried."""
LEAST_EXPLAINED = 1 / 3
"""Share of the attainable correlation below which a pose does not explain the image, however unlikely chance
is. In the capture-range study (benchmarks/capture_range.py) poses within 1 mm had 0.41 and more, even from
one contrast to another; of those more than 3 mm off a quarter had less than this."""
LEAST_LEAD = 12.0
"""How far behind, in twice the logarithm of the likelihood, a rival pose must be: the 99.5th percentile of
chi-square with six degrees of freedom is 18.5, that with one 7.9."""
WORST_SIGMA_MM = 1.0
"""Standard deviation of the worst direction above which the image leaves the pose open."""
_UNIT = "in twice the log-likelihood"
_TISSUE = 0.1
_HIGH = 0.9


def verdict_of(
    correlation: float,
    attainable: float,
    structures: float,
    behind: Sequence[float],
    worst_sigma_mm: float,
    tissue: float,
) -> tuple[str, str]:
    """The verdict and its reason in words.

    Args:
        correlation: at the best pose, in the last stage.
        attainable: what it would be if only speckle told the images apart.
        structures: independent structures in the frame, which say what correlation chance reaches.
        behind: how far behind each other pose is, in twice the logarithm of the likelihood.
        worst_sigma_mm: standard deviation of the direction that is determined worst.
        tissue: share of the sector that holds tissue, at the initial or the best pose, the smaller of both.

    Returns:
        ``converged``, ``ambiguous`` or ``out_of_view``; and why.
    """
    if tissue < LEAST_TISSUE:
        return "out_of_view", f"only {tissue:.0%} of the sector holds tissue of the volume"
    least = chance_correlation(structures)
    if correlation < least:
        found = f"correlation {correlation:.2f} at best, chance reaches {least:.2f}"
        return "ambiguous", f"no pose within reach explains the image: {found}"
    if correlation < LEAST_EXPLAINED * attainable:
        found = f"correlation {correlation:.2f} at best, were the medium right it would be {attainable:.2f}"
        return "ambiguous", f"no pose within reach explains the image: {found}"
    lead = min(behind, default=math.inf)
    if lead < LEAST_LEAD:
        apart = f"{lead:.1f} behind {_UNIT}, {LEAST_LEAD:g} expected"
        return "ambiguous", f"another pose is nearly as likely: {apart}"
    if worst_sigma_mm > WORST_SIGMA_MM:
        return "ambiguous", f"one direction is open: standard deviation {worst_sigma_mm:.1f} mm"
    ahead = "no other pose comes near"
    if not math.isinf(lead):
        ahead = f"any other pose is {lead:.0f} behind {_UNIT}"
    return "converged", f"correlation {correlation:.2f} (chance reaches {least:.2f}); {ahead}"


def chance_correlation(structures: float) -> float:
    """Correlation that unrelated images reach when searched, by Fisher's transform (Biometrika 1915).

    Args:
        structures: independent numbers in them, after Bartlett (JRSS 1935).
    """
    return math.tanh(CHANCE / math.sqrt(structures))


def tissue_share(medium: Medium, probe: Probe, world_from_probe: Float64[Tensor, "B 4 4"]) -> float:
    """Share of the sectors that lies in tissue: where it scatters a tenth of what tissue usually does."""
    points = sector_points(probe)
    index_from_probe = medium.voxel_from_world @ world_from_probe
    index = points @ index_from_probe[:, :3, :3].mT + index_from_probe[:, None, :3, 3]
    nearest = index.round().long()
    last = torch.tensor(medium.shape) - 1
    inside = ((nearest >= 0) & (nearest <= last)).all(dim=-1)
    i, j, k = nearest.clamp(torch.zeros(3, dtype=torch.long), last).unbind(-1)
    scatters = medium.backscatter.detach().cpu()
    sparse = scatters.flatten()[:: max(1, scatters.numel() // 200_000)]
    usual = torch.quantile(sparse[sparse > 0.01 * sparse.max()], _HIGH) if bool((sparse > 0).any()) else 1.0
    return float((inside & (scatters[i, j, k] > _TISSUE * usual)).double().mean())
