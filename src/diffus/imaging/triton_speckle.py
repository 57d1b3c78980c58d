"""`_triton_speckle` behind PyTorch: sampled speckle on a CUDA GPU.

Scatterers are found, placed and given their echoes by PyTorch on the same device, as in the reference. The
kernels do what is many times more: the samples that each of them reaches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from diffus.imaging import _triton_speckle
from diffus.imaging.point_spread import REACH, PointSpread
from diffus.imaging.scatterers import ScattererRows
from diffus.imaging.speckle_reference import SeenScatterers, phasors
from diffus.probe import Probe

_deposit: Any = _triton_speckle.deposit
_gather: Any = _triton_speckle.gather
_FORM = {"SCATTERERS": 4, "SAMPLES": 16, "num_warps": 1}
_ROWS_AT_ONCE = 1 << 16
"""Rows of cells, which bounds the memory."""
_BITS = 62
"""Of the sums; one more is the sign."""


def scatter(
    power: Float[Tensor, "E S N"],
    probe: Probe,
    spread: PointSpread,
    probe_from_cell: Float64[Tensor, "4 4"],
    rows: ScattererRows,
    strength: Float64[Tensor, ""],
    seed: int,
) -> Float[Tensor, "S N 2"]:
    """See `speckle_reference.scatter`; without gradients to the probe.

    On a CUDA device, or on the CPU by Triton's interpreter. The same bits on every run. Differentiable twice
    in the power.
    """
    spread = spread.detach()
    field = power.new_zeros(*power.shape[1:], 2)
    for cells in rows.cells(_ROWS_AT_ONCE):
        echoes, reached = _echoes(power, probe, spread, probe_from_cell, cells, strength, seed)
        if len(echoes):
            field = field + _Deposit.apply(echoes, reached)
    return field


class _Reached(NamedTuple):
    """Where scatterers are, and how far they are seen; see `_triton_speckle.deposit`."""

    line: Float64[Tensor, " M"]
    per_line: Float64[Tensor, " M"]
    lines_reached: Float64[Tensor, " M"]
    sample: Float64[Tensor, " M"]
    per_sample: Float64[Tensor, ""]
    samples_reached: Float64[Tensor, ""]
    shape: tuple[int, int]
    wraps: bool


def _echoes(
    power: Float[Tensor, "E S N"],
    probe: Probe,
    spread: PointSpread,
    probe_from_cell: Float64[Tensor, "4 4"],
    cells: Int64[Tensor, "C 3"],
    strength: Float64[Tensor, ""],
    seed: int,
) -> tuple[Float[Tensor, "M 2"], _Reached]:
    """Complex echo of each scatterer that is seen, and what it reaches."""
    seen = SeenScatterers.among(power, probe, spread, probe_from_cell, cells, strength, seed)
    reached = _Reached(
        seen.line.detach(),
        seen.per_line,
        spread.lines_reached(seen.per_line),
        seen.sample.detach(),
        spread.per_sample,
        REACH / spread.per_sample,
        (power.shape[1], power.shape[2]),
        spread.wraps,
    )
    return seen.amplitude[:, None] * phasors(seen.turns, reached.sample, spread, power), reached


class _Deposit(torch.autograd.Function):
    """From echoes (M, 2) to the image (S, N, 2): linear, so that the adjoint's adjoint is this again."""

    @staticmethod
    def forward(ctx: Any, echoes: Tensor, reached: _Reached) -> Tensor:
        ctx.reached = reached
        # No place gets more than all echoes at their strongest.
        bound = echoes.abs().amax().double() * len(echoes)
        exponent = torch.frexp(bound).exponent.clamp_min(-60).double()
        sums = torch.zeros(2, *reached.shape, dtype=torch.int64, device=echoes.device)
        _launch(_deposit, reached, echoes.contiguous(), torch.exp2(_BITS - exponent), sums)
        # NaN and infinite echoes cannot be told in whole numbers: they make the image NaN.
        unit = torch.exp2(exponent - _BITS) + 0 * bound
        return (sums * unit).to(echoes).permute(1, 2, 0).contiguous()

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> Any:
        return _Gather.apply(bars[0], ctx.reached), None


class _Gather(torch.autograd.Function):
    """The adjoint of `_Deposit`."""

    @staticmethod
    def forward(ctx: Any, bar: Tensor, reached: _Reached) -> Tensor:
        ctx.reached = reached
        echoes_bar = bar.new_empty(len(reached.line), 2)
        _launch(_gather, reached, bar.contiguous(), echoes_bar)
        return echoes_bar

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> Any:
        return _Deposit.apply(bars[0], ctx.reached), None


def _launch(kernel: Any, reached: _Reached, first: Tensor, *others: Tensor) -> None:
    """Run a kernel on all scatterers, on the device of the tensors."""
    *places, shape, wraps = reached
    count = len(reached.line)
    with torch.cuda.device_of(first):
        kernel[(-(-count // _FORM["SCATTERERS"]),)](
            first, *places, *others, count, *shape, WRAPS=wraps, **_FORM
        )
