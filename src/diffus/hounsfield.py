"""From CT numbers to acoustic values."""

from __future__ import annotations

import torch
import torch.nn.functional as F
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
_GAS_BELOW_HU = -150.0
"""No tissue without gas has a CT number below this; fat reaches down to about -120."""

# Attenuation and backscatter between the CT numbers of known tissues: air, fat, soft tissue and the two kinds
# of bone. CT numbers: fat -100, organs 40 to 60, cancellous bone 300 to 400, cortical bone 1000 and more
# (Bushberg, The Essential Physics of Medical Imaging).
_KNOTS = (
    (-1000.0, "air"),
    (-250.0, "air"),  # bubbles of any size take all there is
    (-150.0, "fat"),
    (-60.0, "fat"),
    (20.0, "muscle"),
    (120.0, "muscle"),
    (350.0, "cancellous_bone"),
    (1000.0, "cortical_bone"),
)
# Bile, urine and CSF measure 0 to 10 HU, but so do noise and every border between fat and muscle; an
# unenhanced kidney measures 12 to 25.
_FLUID_HU = (-8.0, 10.0)
_FLUID_EDGE_HU = 4.0
_FLUID_NOISE_HU = 25.0


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
    """Speed of sound in m/s in tissue without gas: (rho + 349) / 0.893 where it is soft (Mast 2000, as in
    k-Wave), 1.33 rho + 167 in bone (ITRUSST, Marquet et al. 2009).
    """
    soft = (density + 349) / 0.893
    bone = 1.33 * density + 167
    return torch.where(hounsfield < _BONE_FROM_HU, soft, torch.maximum(soft, bone))


def impedance_from_hounsfield(hounsfield: Float[Tensor, "*voxels"]) -> Float[Tensor, "*voxels"]:
    """Impedance in MRayl.

    Below -150 HU a voxel holds gas, of a share that grows linearly to 1 at -1000 HU. By Wood's law (A. B.
    Wood, A Textbook of Sound, 1930) densities and compressibilities of a mixture of gas and liquid add by
    volume: a few percent of gas make it as soft as gas, so that the surface of a bubble reflects as it
    should, however coarse the voxels.
    """
    tissue_hu = hounsfield.clamp_min(_GAS_BELOW_HU)
    density = density_from_hounsfield(tissue_hu)
    speed = speed_from_density(density, tissue_hu)
    gas = ((_GAS_BELOW_HU - hounsfield) / (_GAS_BELOW_HU + 1000)).clamp(0, 1)
    air = TISSUES["air"]
    mixed_density = torch.lerp(density, torch.full_like(density, air.density_kg_m3), gas)
    softness = 1 / (air.density_kg_m3 * air.speed_m_s**2)
    compressibility = torch.lerp(1 / (density * speed**2), torch.full_like(density, softness), gas)
    return torch.sqrt(mixed_density / compressibility) * 1e-6


def fluid_share(hounsfield: Float[Tensor, "I J K"]) -> Float[Tensor, "I J K"]:
    """How surely each voxel lies in fluid, from 0 to 1: uniform surroundings with the CT number of fluid.

    Mean and standard deviation over 3 x 3 x 3 voxels decide: the mean of noise over fluid stays within -8 to
    10 HU, and a border between fat and muscle, which passes these numbers too, varies by more than 25 HU.
    """
    mean = _box(hounsfield)
    deviation = (_box(hounsfield**2) - mean**2).clamp_min(0).sqrt()
    low, high = _FLUID_HU
    inside = ((mean - low) / _FLUID_EDGE_HU + 0.5).clamp(0, 1) * ((high - mean) / _FLUID_EDGE_HU + 0.5).clamp(
        0, 1
    )
    return inside * ((_FLUID_NOISE_HU - deviation) / _FLUID_EDGE_HU + 0.5).clamp(0, 1)


def acoustic_from_hounsfield(
    hounsfield: Float[Tensor, "*voxels"], fluid: Float[Tensor, "*voxels"] | None = None
) -> Float[Tensor, "*voxels 3"]:
    """Impedance (MRayl), attenuation (dB/cm/MHz) and relative backscatter of CT numbers.

    Args:
        hounsfield: CT numbers.
        fluid: share of fluid in each voxel (`fluid_share`), which attenuates and scatters as water does.
    """
    impedance = impedance_from_hounsfield(hounsfield)
    knots = hounsfield.new_tensor([hu for hu, _ in _KNOTS])
    values = hounsfield.new_tensor(
        [(TISSUES[t].attenuation_db_per_cm_mhz, TISSUES[t].backscatter) for _, t in _KNOTS]
    )
    right = torch.bucketize(hounsfield, knots).clamp(1, len(_KNOTS) - 1)
    weight = ((hounsfield - knots[right - 1]) / (knots[right] - knots[right - 1])).clamp(0, 1)[..., None]
    attenuation_and_backscatter = torch.lerp(values[right - 1], values[right], weight)
    if fluid is not None:
        water = TISSUES["water"]
        of_water = hounsfield.new_tensor([water.attenuation_db_per_cm_mhz, water.backscatter])
        attenuation_and_backscatter = torch.lerp(attenuation_and_backscatter, of_water, fluid[..., None])
    return torch.cat([impedance[..., None], attenuation_and_backscatter], dim=-1)


def _box(values: Float[Tensor, "I J K"]) -> Float[Tensor, "I J K"]:
    """Mean over 3 x 3 x 3 voxels, those of the border repeated beyond it."""
    padded = F.pad(values[None, None], (1, 1, 1, 1, 1, 1), mode="replicate")
    return F.avg_pool3d(padded, 3, stride=1)[0, 0]
