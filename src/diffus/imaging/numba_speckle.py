"""`_numba_speckle` behind PyTorch, differentiable once in the power."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from diffus.imaging.point_spread import PointSpread, plane_bounds
from diffus.imaging.scatterers import ScattererRows
from diffus.kernels import run_shared
from diffus.probe import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe
from diffus.propagation.once import differentiable_once
from diffus.scalars import number


def scatter(
    power: Float[Tensor, "E S N"],
    probe: Probe,
    spread: PointSpread,
    probe_from_cell: Float64[Tensor, "4 4"],
    rows: ScattererRows,
    strength: Float64[Tensor, ""],
    seed: int,
) -> Float[Tensor, "S N 2"]:
    """See `speckle_reference.scatter`; without gradients to the probe."""
    spread = spread.detach()
    tables = torch.stack(
        [spread.per_line, spread.per_elevation_mm, spread.volume_mm3, spread.elevation_reach_mm()],
        dim=1,
    )
    pulse = torch.stack([spread.per_sample, spread.step_mm, spread.turns_per_mm, strength])
    kind, geometry = _geometry(probe)
    word = np.uint32(seed & 0xFFFFFFFF)
    arguments = (
        _arrays(rows),
        word,
        probe_from_cell[:3].numpy().copy(),
        kind,
        geometry,
        tables.numpy(),
        spread.narrowing.numpy(),
        pulse.numpy(),
        plane_bounds(len(power)).numpy(),
    )
    return _Scatter.apply(power, arguments, _bands(spread, probe))


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, power: Tensor, arguments: tuple[Any, ...], edges: np.ndarray) -> Tensor:
        from diffus.imaging._numba_speckle import scatter as kernel

        power = power.contiguous()
        ctx.save_for_backward(power)
        ctx.arguments, ctx.edges = arguments, edges
        iq = power.new_empty(*power.shape[1:], 2)
        run_shared(kernel, len(edges) - 1, *arguments, power, edges, iq)
        return iq

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        from diffus.imaging._numba_speckle import gather

        (power,) = ctx.saved_tensors
        n_bands = len(ctx.edges) - 1
        power_bar = power.new_zeros(n_bands, *power.shape)
        run_shared(gather, n_bands, *ctx.arguments, power, ctx.edges, bar.contiguous(), power_bar)
        return power_bar.sum(dim=0), None, None


def _arrays(rows: ScattererRows) -> tuple[Any, ...]:
    """What the kernels take of the rows."""
    slab = rows.slab
    numbers = (slab.x_mm, slab.z_mm, slab.spacing_mm, slab.drift_mm, rows.slack_mm, rows.cells_per_mm)
    arrays = (rows.crossing.numpy(), slab.reach_mm.detach().numpy(), np.array(numbers))
    return (rows.low, rows.size, rows.others, rows.axis, *arrays)


def _bands(spread: PointSpread, probe: Probe) -> np.ndarray:
    """Edges of as many bands of depth as there are threads, with the same work in each."""
    n_bands = min(torch.get_num_threads(), probe.n_samples)
    work = probe.lateral_spacing_mm(probe.sample_depths_mm()).detach() / (
        spread.per_elevation_mm * spread.per_line
    )
    done = (work.cumsum(0) / work.sum()).numpy()
    inner = np.searchsorted(done, np.arange(1, n_bands) / n_bands)
    return np.concatenate([[0], inner, [probe.n_samples]]).astype(np.int64)


def _geometry(probe: Probe) -> tuple[int, np.ndarray]:
    """Kind of scanlines and the numbers of `_numba_speckle._line_and_depth`."""
    from diffus.imaging._numba_scatterers import CIRCLE, LINEAR, SECTOR

    gaps = probe.n_scanlines - 1
    match probe:
        case LinearProbe():
            steered = math.tan(math.radians(number(probe.steering_deg)))
            return LINEAR, np.array([0.0, steered, gaps / number(probe.width_mm), gaps / 2])
        case RadialProbe():
            return CIRCLE, np.array([0.0, number(probe.radius_mm), probe.n_scanlines / (2 * math.pi), 0.0])
        case ConvexProbe():
            radius = number(probe.radius_mm)
            return SECTOR, np.array(
                [-radius, radius, gaps / math.radians(number(probe.field_of_view_deg)), gaps / 2]
            )
        case PhasedProbe():
            per_radian = gaps / math.radians(number(probe.field_of_view_deg))
            steered = math.radians(number(probe.steering_deg)) * per_radian
            return SECTOR, np.array([0.0, 0.0, per_radian, gaps / 2 - steered])
    raise TypeError(f"no geometry for {type(probe).__name__}")
