"""What happens to a wave along one scanline, in numbers: what `diffus.plot.scanline` draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus import pose
from diffus.checks import require_one_of, require_shape
from diffus.imaging.gain import SILENCE, layer_loss
from diffus.imaging.layers import layers
from diffus.medium import Medium
from diffus.probe import Probe
from diffus.propagation import MODELS, echoes, reflection, two_way_transmission
from diffus.render import DEFAULT_SETTINGS, over_planes, render
from diffus.scalars import number
from diffus.scanline_sampling import ScanlineMedium, sample_scanline_medium
from diffus.settings import RenderSettings


@dataclass(frozen=True, eq=False)
class ScanlineCurves:
    """One scanline of one pose, as the renderer takes it. Over a thick slice, means of its planes.

    Args:
        index: of the scanline.
        node_depths_mm: where the medium is sampled, N + 1 nodes.
        depths_mm: of the N cells; interface k lies in the middle of cell k, between nodes k and k + 1.
        impedance: at the nodes, MRayl.
        reflection: pressure reflection coefficient of each interface, met from above and straight on.
        echoes: by model of propagation, the amplitude that each cell sends back, with attenuation and
            the fall-off of tilted interfaces, before pulse and beam; in units of the echo of a perfect
            plane reflector. The published model is no echo train (`diffus.propagation.echoes`).
        attenuation_db: what absorption takes on the way to each cell and back.
        transmission: share of the pressure that the interfaces above let through, both ways.
        envelope: what the renderer makes of it, in units of the echo of a perfect plane reflector.
        displayed: the same after TGC, gain and compression, in [0, 1].
    """

    index: int
    node_depths_mm: Float64[Tensor, " nodes"]
    depths_mm: Float64[Tensor, " N"]
    impedance: Float[Tensor, " nodes"]
    reflection: Float[Tensor, " N"]
    echoes: dict[str, Float[Tensor, " N"]]
    attenuation_db: Float[Tensor, " N"]
    transmission: Float[Tensor, " N"]
    envelope: Float[Tensor, " N"]
    displayed: Float[Tensor, " N"]

    def echoes_db(self, model: str) -> Float[Tensor, " N"]:
        """Magnitude of the echoes of one model in dB below a perfect plane reflector; -240 for none.

        Raises:
            ValueError: for a model that was not computed.
        """
        require_one_of("model", model, self.echoes)
        return 20 * torch.log10(self.echoes[model].abs().clamp_min(SILENCE))

    def envelope_db(self) -> Float[Tensor, " N"]:
        """The envelope in dB below a perfect plane reflector."""
        return 20 * torch.log10(self.envelope.clamp_min(SILENCE))


@torch.no_grad()
def scanline_curves(
    medium: Medium,
    probe: Probe,
    world_from_probe: Float[Tensor, "*B 4 4"] | Any,
    index: int | None = None,
    settings: RenderSettings = DEFAULT_SETTINGS,
) -> ScanlineCurves:
    """Follow the wave of one scanline.

    Args:
        medium: what the wave travels through.
        probe: whose scanline.
        world_from_probe: one pose, (4, 4) or (1, 4, 4).
        index: of the scanline, counted from the end when negative; by default the middle one.
        settings: how envelope and displayed values are computed. Echoes are computed by all models.

    Raises:
        ValueError: for several poses, a scanline that the probe has not, and as `diffus.render`.
    """
    poses = pose.as_batch(world_from_probe)
    require_shape("world_from_probe", poses.shape, "(4, 4), one pose", len(poses) == 1)
    line = _checked_index(index, probe.n_scanlines)
    frame = render(medium, probe, poses, settings)
    lines = sample_scanline_medium(medium, probe, poses, settings.backend)
    loss = layer_loss(lines.attenuation, probe, settings)
    received = {model: _echoes(lines, probe, settings, model) for model in MODELS}

    def one(values: Float[Tensor, "B E S n"]) -> Float[Tensor, " n"]:
        return over_planes(values, lines)[0, line].cpu()

    nodes = torch.arange(probe.n_samples + 1, dtype=torch.float64) * number(probe.sample_spacing_mm)
    return ScanlineCurves(
        line,
        nodes,
        probe.sample_depths_mm().detach(),
        one(lines.impedance),
        one(reflection(lines.impedance)),
        {model: one(values) for model, values in received.items()},
        one(-2 * 20 * torch.log10(loss).cumsum(dim=-1)),
        one(two_way_transmission(lines.impedance)),
        frame.envelope[0, line].cpu(),
        frame.scanlines[0, line].cpu(),
    )


def _checked_index(index: int | None, count: int) -> int:
    if index is None:
        return count // 2
    if not -count <= index < count:
        raise ValueError(f"scanline {index}: the probe has {count}, give an index from 0 to {count - 1}")
    return index % count


def _echoes(
    lines: ScanlineMedium, probe: Probe, settings: RenderSettings, model: str
) -> Float[Tensor, "B E S N"]:
    """Echoes of the layers that the renderer would make for this model."""
    chosen = settings.with_options(propagation=model)
    impedance, passes, _ = layers(lines, probe, chosen)
    return echoes(
        impedance,
        model=model,
        face_reflection=settings.face_reflection,
        loss=passes,
        backend=settings.backend,
    )
