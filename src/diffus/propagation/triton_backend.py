"""The CUDA kernels behind PyTorch: differentiable once.

What is linear in the number of interfaces (coefficients before, gradients after) is left to PyTorch on the
same device; the kernels do what is quadratic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffus.propagation import _triton, layered
from diffus.propagation.checkpoints import CELL_STEPS, FLOOR, rows_kept, steps_between_checkpoints
from diffus.propagation.once import differentiable_once
from diffus.propagation.reflection import reflection, transmission

published_echoes = layered.published_echoes
"""Linear in the number of interfaces: the reference."""

_march: Any = _triton.march
_march_back: Any = _triton.march_back
_FIRST, _MARGIN = 8, 16
"""Place of interface 0, and places in all that are no interface."""
_LANES = 32
"""Scanlines of one program: a warp, so that every one of a GPU's many processors has one."""


def full_echoes(impedance: Tensor, face: Tensor, loss: Tensor | None, n_times: int) -> Tensor:
    """As `layered.full_echoes`, by the kernels; strong losses as in the CPU's."""
    every = steps_between_checkpoints(impedance, face, loss, n_times)
    if every is None:
        return layered.full_echoes(impedance, face, loss, n_times)
    lines = impedance.reshape(-1, impedance.shape[-1])
    losses = None if loss is None else loss.reshape(-1, loss.shape[-1])
    return _Full.apply(lines, losses, face, n_times, every).reshape(*impedance.shape[:-1], n_times)


class _Full(torch.autograd.Function):
    """The lattice and its adjoint."""

    @staticmethod
    def forward(
        ctx: Any, impedance: Tensor, loss: Tensor | None, face: Tensor, n_times: int, every: int
    ) -> Tensor:
        up, down, *_ = _coefficients(impedance, loss, face)
        n_interfaces, lines = impedance.shape[1] - 1, up.shape[1]
        padded = -(-n_times // CELL_STEPS) * CELL_STEPS
        rows = rows_kept(n_interfaces, padded, every)
        received, exits = up.new_empty(2, padded, lines)
        checkpoints = up.new_empty(max(rows, 1), lines)
        _launch(
            _march,
            up,
            down,
            torch.zeros_like(up),
            received,
            exits,
            checkpoints,
            n_interfaces,
            padded,
            every if rows else 0,
            lines,
        )
        ctx.sizes = (n_interfaces, n_times, padded, every if rows else 0, rows)
        ctx.save_for_backward(impedance, loss, face, received, exits, checkpoints)
        return received[:n_times, : impedance.shape[0]].T.contiguous()

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, echoes_bar: Tensor) -> tuple[Tensor | None, ...]:
        impedance, loss, face, received, exits, checkpoints = ctx.saved_tensors
        n_interfaces, n_times, padded, every, rows = ctx.sizes
        up, down, s, ratio, reach = _coefficients(impedance, loss, face)
        n_lines, lines = impedance.shape[0], up.shape[1]
        bar = torch.zeros_like(received)
        bar[:n_times, :n_lines] = echoes_bar.T
        waves, waves_bar, down_up, up_down = torch.zeros(4, *up.shape, dtype=up.dtype, device=up.device)
        _launch(
            _march_back,
            up,
            down,
            waves,
            waves_bar,
            received,
            exits,
            bar,
            checkpoints,
            down_up,
            up_down,
            n_interfaces,
            padded,
            every,
            rows,
            lines,
        )
        face_bar = up_down[_FIRST - 1, :n_lines].sum()
        inside = slice(_FIRST, _FIRST + n_interfaces)
        from_above = reach * down_up[inside, :n_lines]
        from_below = up_down[inside, :n_lines] / reach
        turned = torch.nn.functional.pad(s * (from_above - from_below) / 2, (0, 0, 1, 1))
        impedance_bar = (turned[:-1] - turned[1:]).T / impedance
        if loss is None:
            return impedance_bar, None, face_bar, None, None
        flux = (ratio * (from_above + from_below)).flip(0).cumsum(0).flip(0)
        return impedance_bar, 2 * flux.T / loss, face_bar, None, None


def _launch(kernel: Any, up: Tensor, *arguments: Any) -> None:
    """Run a kernel on all lines, a few a program, on the tensors' own device."""
    with torch.cuda.device_of(up):
        kernel[(up.shape[1] // _LANES,)](up, *arguments, LANES=_LANES, num_warps=1, num_stages=1)


def _coefficients(impedance: Tensor, loss: Tensor | None, face: Tensor) -> tuple[Tensor, ...]:
    """R and P of each place and line (see `_numba`), then s, r / s and Q of each interface and line."""
    n_lines, n_interfaces = impedance.shape[0], impedance.shape[1] - 1
    r, s = reflection(impedance).T, transmission(impedance).T
    reach = torch.ones_like(r)
    if loss is not None:
        left = loss.square().cumprod(dim=1).T
        floor = FLOOR[impedance.dtype]
        r, reach = torch.where(left >= floor, r, 0), left.clamp_min(floor)
    lines = -(-n_lines // _LANES) * _LANES
    up, down = impedance.new_zeros(2, n_interfaces + _MARGIN, lines)
    inside = slice(_FIRST, _FIRST + n_interfaces)
    up[inside, :n_lines] = r * reach
    down[inside, :n_lines] = r / ((1 + s) * reach)
    down[_FIRST - 1] = -face / 2
    return up, down, s, r / s, reach
