"""`_numba_layers` behind PyTorch, differentiable once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from diffus.imaging.gain import nepers_per_unit
from diffus.imaging.specular import fall_off_rate
from diffus.keeping import kept
from diffus.kernels import run_shared
from diffus.probe import Probe
from diffus.propagation.once import differentiable_once
from diffus.scalars import Scalar
from diffus.scanline_sampling import ScanlineMedium, node_steps
from diffus.settings import RenderSettings


def layers(
    lines: ScanlineMedium, probe: Probe, settings: RenderSettings, tilted: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Impedance, passes and power; see `diffus.imaging.layers.layers`.

    Args:
        lines: the medium along scanlines.
        probe: where the scanlines lie.
        settings: how tissue attenuates and interfaces fall off.
        tilted: whether they do.
    """
    impedance, backscatter = lines.impedance, lines.backscatter
    if settings.speckle == "none":
        backscatter = backscatter[:0]
    geometry = _geometry(
        probe, settings.attenuation_exponent, settings.specular_angle_deg if tilted else None
    )
    how = (tilted, probe.wraps)
    follows, passes, power = _Layers.apply(impedance, lines.attenuation, backscatter, *geometry, how)
    return follows if tilted else impedance, passes, power if len(backscatter) else None


class _Geometry(NamedTuple):
    """What the kernels need of probe and settings.

    Args:
        numbers: nepers of a layer for a unit of attenuation, 1 / depth step, shear, rate of the fall-off.
        per_line: 1 / distance from scanline to scanline at each node.
        per_plane: 1 / distance from plane to plane at each node; no rows for one plane.
    """

    numbers: Float64[Tensor, " 4"]
    per_line: Float64[Tensor, " nodes"]
    per_plane: Float64[Tensor, "gaps nodes"]


@kept
def _geometry(probe: Probe, attenuation_exponent: Scalar, specular_angle_deg: Scalar | None) -> _Geometry:
    double = torch.empty(0, dtype=torch.float64)
    nepers, nothing = nepers_per_unit(probe, attenuation_exponent, double), double.new_zeros(())
    if specular_angle_deg is None:
        return _Geometry(torch.stack([nepers, nothing, nothing, nothing]), double, double.new_empty(0, 0))
    steps = node_steps(probe, double)
    shear = nothing if steps.shear is None else steps.shear
    rate = fall_off_rate(specular_angle_deg, double)
    numbers = torch.stack([nepers, 1 / steps.depth_mm, shear, rate])
    per_line = 1 / steps.lines_mm
    per_plane = (
        per_line.new_empty(0, len(per_line)) if steps.planes_mm is None else 1 / steps.planes_mm.diff(dim=0)
    )
    return _Geometry(numbers, per_line, per_plane)


class _Layers(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        impedance: Tensor,
        attenuation: Tensor,
        backscatter: Tensor,
        numbers: Tensor,
        per_line: Tensor,
        per_plane: Tensor,
        how: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        from diffus.imaging._numba_layers import layers_forward

        medium = tuple(t.contiguous() for t in (impedance, attenuation, backscatter))
        geometry = tuple(t.contiguous() for t in (numbers, per_line, per_plane))
        follows = torch.empty_like(medium[0]) if how[0] else medium[0].new_empty(0, *impedance.shape[1:])
        passes = impedance.new_empty(*impedance.shape[:-1], impedance.shape[-1] - 1)
        power = torch.empty_like(passes) if len(backscatter) else passes.new_empty(0, *passes.shape[1:])
        run_shared(layers_forward, passes[..., 0].numel(), *medium, *geometry, *how, follows, passes, power)
        ctx.how = how
        ctx.save_for_backward(*medium, *geometry)
        return follows, passes, power

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        from diffus.imaging._numba_layers_adjoint import layers_adjoint, neighbours_adjoint

        impedance, attenuation, backscatter, *geometry = ctx.saved_tensors
        n_lines = impedance[..., 0].numel()
        medium_bars = tuple(torch.empty_like(t) for t in (impedance, attenuation, backscatter))
        tilted, wraps = ctx.how
        has_planes = tilted and impedance.shape[1] > 1
        lateral_bar = torch.empty_like(impedance[: len(impedance) if tilted else 0])
        elevation_bar = torch.empty_like(impedance[: len(impedance) if has_planes else 0])
        wants = ctx.needs_input_grad[3:6]
        numbers_bar = geometry[0].new_zeros(n_lines if wants[0] else 0, 4)
        line_bar = geometry[0].new_zeros(n_lines if wants[1] else 0, impedance.shape[-1])
        plane_bar = geometry[0].new_zeros(n_lines if wants[2] else 0, 2, impedance.shape[-1])
        out = (*medium_bars, lateral_bar, elevation_bar, numbers_bar, line_bar, plane_bar)
        given = tuple(bar.detach().contiguous().numpy() for bar in bars)
        saved = (impedance, attenuation, backscatter, *geometry)
        run_shared(layers_adjoint, n_lines, *saved, *ctx.how, given, tuple(t.numpy() for t in out))
        if tilted:
            slopes = (lateral_bar, elevation_bar, *geometry[1:])
            run_shared(neighbours_adjoint, n_lines, *slopes, wraps, medium_bars[0])
        by_plane = None
        if wants[2]:
            # A scanline gives to the gap below its plane and to that above.
            per_plane = plane_bar.reshape(*impedance.shape[:3], 2, -1).sum(dim=(0, 2))
            by_plane = per_plane[:-1, 1] + per_plane[1:, 0]
        return (
            *medium_bars,
            numbers_bar.sum(dim=0) if wants[0] else None,
            line_bar.sum(dim=0) if wants[1] else None,
            by_plane,
            None,
        )
