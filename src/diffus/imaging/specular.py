"""How the echo of an interface falls off with its tilt.

A mirror sends a slanting beam elsewhere. Tissue interfaces are rough: what returns comes from the facets
that happen to face the probe. With facets of Gaussian slopes the echo's amplitude falls as exp(-tan^2(tilt)
/ (4 s^2)), s their rms slope (geometrical optics limit of rough-surface scattering: Barrick, IEEE Trans.
Antennas Propag. 16, 1968). It is stated here by the tilt at which half the amplitude is left. The energy
that goes elsewhere is lost to the scanline.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.propagation.reflection import reflection
from diffus.scalars import Scalar, as_scalar

FLAT = 1e-8
"""Squared gradient, in MRayl^2/mm^2, below which there is no interface to have a tilt: -90 dB over 1 mm."""


class NodeSteps(NamedTuple):
    """How far apart the nodes of scanlines lie.

    Args:
        depth_mm: along a scanline.
        lines_mm: from scanline to scanline, across the beam, at each node.
        planes_mm: where the elevation planes lie; None where there is one, and the tilt across it is not
            known.
        shear: see `Probe.shear`.
    """

    depth_mm: Float[Tensor, ""]
    lines_mm: Float[Tensor, " nodes"]
    planes_mm: Float[Tensor, "E nodes"] | None
    shear: Float[Tensor, ""] | None


def tilted_impedance(
    impedance: Float[Tensor, "B E S nodes"],
    steps: NodeSteps,
    specular_angle_deg: Scalar,
    wraps: bool,
) -> tuple[Float[Tensor, "B E S nodes"], Float[Tensor, "B E S N"]]:
    """A layered medium that reflects what tilted interfaces return, and the loss that makes up the rest.

    Each reflection coefficient r is weakened to ``r' = f r``, f the fall-off, and transmissions are kept:
    the new medium's ``1 - r'^2`` is brought back to ``1 - r^2`` by a loss in the layer behind.

    Args:
        impedance: at the N + 1 nodes of the scanlines of each elevation plane.
        steps: how far apart the nodes lie.
        specular_angle_deg: tilt at which half the amplitude is left.
        wraps: whether the last scanline is a neighbour of the first.

    Returns:
        Impedances with the weakened reflections, and the amplitude (one pass) that each layer leaves.
    """
    r = reflection(impedance)
    weakened = r * fall_off(impedance, steps, specular_angle_deg, wraps)
    ratios = torch.nn.functional.pad(2 * torch.atanh(weakened), (1, 0))
    follows = impedance[..., :1] * torch.exp(ratios.cumsum(dim=-1))
    behind = torch.sqrt((1 - r * r) / (1 - weakened * weakened)).clamp_max(1)
    return follows, torch.nn.functional.pad(behind[..., :-1], (1, 0), value=1.0)


def fall_off(
    impedance: Float[Tensor, "B E S nodes"],
    steps: NodeSteps,
    specular_angle_deg: Scalar,
    wraps: bool,
) -> Float[Tensor, "B E S N"]:
    """Share of the amplitude that each interface returns; see `tilted_impedance`."""
    along = impedance.diff(dim=-1) / steps.depth_mm
    sideways = _between(_lateral_slope(impedance, steps.lines_mm, wraps))
    if steps.shear is not None:
        sideways = sideways - steps.shear * along
    across = sideways**2
    if steps.planes_mm is not None:
        across = across + _between(_elevation_slope(impedance, steps.planes_mm)) ** 2
    tangent_squared = across / (along * along + FLAT)
    return torch.exp(-fall_off_rate(specular_angle_deg, impedance) * tangent_squared)


def fall_off_rate(specular_angle_deg: Scalar, like: Tensor) -> Float[Tensor, ""]:
    """Rate at which the logarithm of the amplitude falls with the squared tangent of the tilt."""
    return math.log(2) / torch.deg2rad(as_scalar(specular_angle_deg, like)).tan() ** 2


def _between(at_nodes: Tensor) -> Tensor:
    return (at_nodes[..., :-1] + at_nodes[..., 1:]) / 2


def _lateral_slope(impedance: Tensor, line_step: Tensor, wraps: bool) -> Tensor:
    """Change for each mm from scanline to scanline: central differences, one-sided at the edges."""
    if impedance.shape[2] == 1:
        return torch.zeros_like(impedance)
    if wraps:
        return (impedance.roll(-1, dims=2) - impedance.roll(1, dims=2)) / (2 * line_step)
    steps = impedance.diff(dim=2)
    inner = (steps[:, :, :-1] + steps[:, :, 1:]) / 2
    return torch.cat([steps[:, :, :1], inner, steps[:, :, -1:]], dim=2) / line_step


def _elevation_slope(impedance: Tensor, planes: Float[Tensor, "E nodes"]) -> Tensor:
    """Change for each mm from plane to plane."""
    slopes = impedance.diff(dim=1) / planes.diff(dim=0)[:, None]
    inner = (slopes[:, :-1] + slopes[:, 1:]) / 2
    return torch.cat([slopes[:, :1], inner, slopes[:, -1:]], dim=1)
