"""From CT numbers to acoustic values."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.tissues import TISSUES

# k-Wave's hounsfield2density: (upper limit of x = HU + 1000, slope, intercept) of each piece.
_DENSITY_PIECES = (
    (930.0, 1.025793065681423, -5.680404011488714),
    (1098.0, 0.9082709691264, 103.6151457847139),
    (1260.0, 0.5108369316599, 539.9977189228704),
    (float("inf"), 0.6625370912451, 348.8555178455294),
)
_BONE_FROM_HU = 260.0
"""From here on k-Wave's density law is that of bone (x = 1260)."""
_AIR_BELOW_HU = -700.0

# Attenuation and backscatter between the CT numbers of known tissues: air, fat, water, soft tissue and the
# two kinds of bone. CT numbers: fat -100, water 0, organs 40 to 60, cancellous bone 300 to 400, cortical bone
# 1000 and more (Bushberg, The Essential Physics of Medical Imaging). The fall to fluid around 0 HU is kept
# narrow: bile, urine and CSF measure 0 to 15, and organs more than 30.
_KNOTS = (
    (-1000.0, "air"),
    (-700.0, "air"),
    (-150.0, "fat"),
    (-60.0, "fat"),
    (0.0, "water"),
    (12.0, "water"),
    (35.0, "muscle"),
    (120.0, "muscle"),
    (350.0, "cancellous_bone"),
    (1000.0, "cortical_bone"),
)


def density_from_hounsfield(hounsfield: Float[Tensor, "*voxels"]) -> Float[Tensor, "*voxels"]:
    """Density in kg/m3, not below that of air.

    Source: k-Wave, hounsfield2density (Schneider et al. 1996 as fitted by Mast 2000).
    """
    x = hounsfield + 1000
    density = torch.empty_like(x)
    lower = -float("inf")
    for upper, slope, intercept in _DENSITY_PIECES:
        piece = (x >= lower) & (x < upper)
        density[piece] = slope * x[piece] + intercept
        lower = upper
    return density.clamp_min_(TISSUES["air"].density_kg_m3)


def speed_from_density(
    density: Float[Tensor, "*voxels"], hounsfield: Float[Tensor, "*voxels"]
) -> Float[Tensor, "*voxels"]:
    """Speed of sound in m/s: (rho + 349) / 0.893 in soft tissue (Mast 2000, as in k-Wave), 1.33 rho + 167 in
    bone (ITRUSST, Marquet et al. 2009), that of air in air.
    """
    soft = (density + 349) / 0.893
    bone = 1.33 * density + 167
    speed = torch.where(hounsfield < _BONE_FROM_HU, soft, torch.maximum(soft, bone))
    return torch.where(hounsfield < _AIR_BELOW_HU, TISSUES["air"].speed_m_s, speed)


def acoustic_from_hounsfield(hounsfield: Float[Tensor, "*voxels"]) -> Float[Tensor, "*voxels 3"]:
    """Impedance (MRayl), attenuation (dB/cm/MHz) and relative backscatter of CT numbers."""
    density = density_from_hounsfield(hounsfield)
    impedance = density * speed_from_density(density, hounsfield) * 1e-6
    knots = torch.tensor([hu for hu, _ in _KNOTS], dtype=hounsfield.dtype)
    values = torch.tensor(
        [(TISSUES[t].attenuation_db_per_cm_mhz, TISSUES[t].backscatter) for _, t in _KNOTS], dtype=hounsfield.dtype
    )
    right = torch.bucketize(hounsfield, knots).clamp(1, len(_KNOTS) - 1)
    weight = ((hounsfield - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0, 1)[..., None]
    attenuation_and_backscatter = torch.lerp(values[right - 1], values[right], weight)
    return torch.cat([impedance[..., None], attenuation_and_backscatter], dim=-1)
