"""What an interface does to a wave: reflection and transmission from the impedances on both sides.

Interface k lies between samples k and k + 1. For pressure, from above, ``r = (Z' - Z) / (Z' + Z)``; from
below the sign turns; transmission is ``1 + r`` down and ``1 - r`` up (Kinsler, Fundamentals of Acoustics,
ch. 6). For waves normalised to power both transmissions are ``s = sqrt(1 - r^2)``, and the interface is the
rotation by the angle whose sine is r and whose cosine is s.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def reflection(impedance: Float[Tensor, "*lines samples"]) -> Float[Tensor, "*lines interfaces"]:
    """Pressure reflection coefficient of each interface, as met from above."""
    above, below = impedance[..., :-1], impedance[..., 1:]
    return (below - above) / (below + above)


def transmission(impedance: Float[Tensor, "*lines samples"]) -> Float[Tensor, "*lines interfaces"]:
    """One-way transmission ``s`` of each interface for waves normalised to power.

    Taken from the impedances and not from r, because ``1 - r^2`` in float32 keeps three digits between bone
    and air: ``s = 2 sqrt(Z Z') / (Z + Z')``.
    """
    above, below = impedance[..., :-1], impedance[..., 1:]
    return 2 * above.sqrt() * below.sqrt() / (above + below)


def two_way_transmission(
    impedance: Float[Tensor, "*lines samples"],
) -> Float[Tensor, "*lines interfaces"]:
    """What the way down to interface k and back leaves of the pressure: product over j < k of 1 - r_j^2.

    It is 1 at the first interface. Differentiable twice.
    """
    return _exclusive_product(transmission(impedance) ** 2)


def _exclusive_product(factors: Tensor) -> Tensor:
    products = factors[..., :-1].cumprod(dim=-1)
    return torch.cat([torch.ones_like(factors[..., :1]), products], dim=-1)
