"""The CPU kernels behind PyTorch: differentiable once, shared among threads by blocks of scanlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffus.kernels import run_shared
from diffus.propagation import _numba_lines, _numba_published, layered
from diffus.propagation._simd import LINE_BYTES
from diffus.propagation.checkpoints import CELL_STEPS, FLOOR, rows_kept, steps_between_checkpoints
from diffus.propagation.once import differentiable_once

_WORTH_THREADS = 2**22
"""Cells from which waking other threads costs less than it saves."""


def full_echoes(impedance: Tensor, face: Tensor, loss: Tensor | None, n_times: int) -> Tensor:
    """As `layered.full_echoes`, by the kernels; strong losses by the reference (see `checkpoints`)."""
    every = steps_between_checkpoints(impedance, face, loss, n_times)
    if every is None:
        return layered.full_echoes(impedance, face, loss, n_times)
    lines = impedance.reshape(-1, impedance.shape[-1])
    losses = None if loss is None else loss.reshape(-1, loss.shape[-1])
    return _Full.apply(lines, losses, face, n_times, every).reshape(*impedance.shape[:-1], n_times)


def published_echoes(impedance: Tensor, loss: Tensor | None, n_times: int) -> Tensor:
    """As `layered.published_echoes`, by the kernels."""
    lines = impedance.reshape(-1, impedance.shape[-1])
    echoes = _Published.apply(lines).reshape(*impedance.shape[:-1], impedance.shape[-1] - 1)
    return layered.fit(layered.with_loss(echoes, loss), n_times)


class _Full(torch.autograd.Function):
    """The lattice and its adjoint; ``every`` is 0 where no gradient will be asked for and nothing is kept."""

    @staticmethod
    def forward(
        ctx: Any, impedance: Tensor, loss: Tensor | None, face: Tensor, n_times: int, every: int
    ) -> Tensor:
        ctx.every = every
        padded = -(-n_times // CELL_STEPS) * CELL_STEPS
        lanes = LINE_BYTES // impedance.element_size()
        n_kept = _blocks(impedance) if every else 0
        left_up, left_down = impedance.new_empty(2, n_kept, padded * lanes)
        rows = rows_kept(impedance.shape[1] - 1, padded, every)
        checkpoints = impedance.new_empty(max(n_kept, 1), rows * lanes)
        echoes = impedance.new_empty(impedance.shape[0], n_times)
        kept = (left_up, left_down, checkpoints)
        medium = _arrays(impedance, loss, face)
        _over_blocks(_numba_lines.forward_blocks, echoes, *medium, echoes, *kept, every or CELL_STEPS)
        ctx.save_for_backward(impedance, loss, face, *kept)
        return echoes

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, echoes_bar: Tensor) -> tuple[Tensor | None, ...]:
        impedance, loss, face, *kept = ctx.saved_tensors
        n_lines, n_samples = impedance.shape
        impedance_bar = impedance.new_empty(n_lines, n_samples)
        wants_loss = loss is not None and loss.requires_grad
        flux_bar = impedance.new_empty(n_lines if wants_loss else 0, n_samples - 1)
        face_bar = impedance.new_empty(n_lines)
        bars = tuple(bar.numpy() for bar in (impedance_bar, flux_bar, face_bar))
        medium = _arrays(impedance, loss, face)
        _over_blocks(
            _numba_lines.backward_blocks, echoes_bar, *medium, echoes_bar.contiguous(), *kept, ctx.every, bars
        )
        return impedance_bar, 2 * flux_bar / loss if wants_loss else None, face_bar.sum(), None, None


class _Published(torch.autograd.Function):
    """The published system and its adjoint."""

    @staticmethod
    def forward(ctx: Any, impedance: Tensor) -> Tensor:
        ctx.save_for_backward(impedance)
        echoes = impedance.new_empty(impedance.shape[0], impedance.shape[1] - 1)
        _over_blocks(_numba_published.forward_blocks, echoes, impedance.contiguous(), echoes)
        return echoes

    @staticmethod
    @differentiable_once
    def backward(ctx: Any, echoes_bar: Tensor) -> tuple[Tensor | None, ...]:
        (impedance,) = ctx.saved_tensors
        bar = impedance.new_empty(impedance.shape)
        _over_blocks(
            _numba_published.backward_blocks, echoes_bar, impedance.contiguous(), echoes_bar.contiguous(), bar
        )
        return (bar,)


def _arrays(impedance: Tensor, loss: Tensor | None, face: Tensor) -> tuple[Any, ...]:
    """What the kernels take of the medium: impedance, two-way losses (no rows for none), face, floor."""
    both_ways = impedance.new_empty(0, 1) if loss is None else loss.detach().square().contiguous()
    number = np.dtype(str(impedance.dtype)[6:]).type
    return impedance.detach().contiguous(), both_ways, number(face.detach()), number(FLOOR[impedance.dtype])


def _blocks(lines: Tensor) -> int:
    return -(-lines.shape[0] * lines.element_size() // LINE_BYTES)


def _over_blocks(kernel: Callable[..., Any], work: Tensor, *arguments: Any) -> None:
    """Share the blocks of scanlines among the threads; ``work`` is (B, T)."""
    n_blocks = _blocks(work)
    run_shared(kernel, n_blocks, *arguments, alone=work.numel() * work.shape[1] < _WORTH_THREADS)
