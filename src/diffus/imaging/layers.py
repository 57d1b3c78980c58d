"""From the medium along scanlines to what the waves meet: layers that reflect, weaken and scatter."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from diffus.imaging.gain import layer_loss
from diffus.imaging.specular import tilted_impedance
from diffus.probe import Probe
from diffus.propagation import resolve_backend, two_way_transmission
from diffus.scanline_sampling import ScanlineMedium, node_steps
from diffus.settings import RenderSettings


class Layers(NamedTuple):
    """What `diffus.propagation.echoes` needs of scanlines, and what their scatterers send back.

    Args:
        impedance: at the N + 1 nodes, with reflections as tilted interfaces return them.
        passes: amplitude that each layer leaves of a wave in one pass.
        power: expected scattered power of each cell, with the two-way transmission through the interfaces
            above and the two-way attenuation; None without scatterers.
    """

    impedance: Float[Tensor, "B E S nodes"]
    passes: Float[Tensor, "B E S N"]
    power: Float[Tensor, "B E S N"] | None


def layers(lines: ScanlineMedium, probe: Probe, settings: RenderSettings) -> Layers:
    """The layers of scanlines.

    Cell k lies between nodes k and k + 1, with interface k in its middle. Interfaces fall off with their tilt
    (`diffus.imaging.specular`) unless the settings say otherwise or the propagation is the published one.
    Scatterers add as powers: a cell has the mean square of the backscatter at its two nodes.

    Differentiable in the medium, and in the fields of probe and settings that are continuous. The backend
    ``"numba"`` does it in one pass on the CPU and is differentiable once; all others are the reference.

    Raises:
        ValueError: when the backend cannot serve the medium.
    """
    tilted = settings.specular_angle_deg is not None and settings.propagation != "published"
    if resolve_backend(settings.backend, lines.impedance) == "numba":
        from diffus.imaging.numba_layers import layers as in_one_pass

        return Layers(*in_one_pass(lines, probe, settings, tilted))
    loss = layer_loss(lines.attenuation, probe, settings)
    impedance, passes = lines.impedance, loss
    if settings.specular_angle_deg is not None and tilted:
        steps = node_steps(probe, impedance)
        impedance, behind = tilted_impedance(impedance, steps, settings.specular_angle_deg, probe.wraps)
        passes = loss * behind
    if settings.speckle == "none":
        return Layers(impedance, passes, None)
    reach = two_way_transmission(lines.impedance) * loss.cumprod(dim=-1) ** 2
    density = (lines.backscatter[..., :-1] ** 2 + lines.backscatter[..., 1:] ** 2) / 2
    return Layers(impedance, passes, density * reach**2)
