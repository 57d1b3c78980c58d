"""How the kernels find the way back through layers that lose energy.

Without loss a cell is a rotation, and the adjoint finds the waves of earlier times again by undoing one step
after the other, with nothing kept but what left the lattice. A layer that leaves q of a wave both ways is
undone by 1 / q, and so is the rounding in it: after m steps it may have grown by ``(1 / q)^m``. Therefore the
waves going up are kept every so many steps that this stays in bounds, and are set right from there. In soft
tissue that is once in hundreds of steps; the memory grows with the decibels that the worst layer would take
over the whole listening time, not with the square of the number of interfaces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

CELL_STEPS = 8
"""Time steps that the kernels keep in flight; checkpoints lie between those."""
FLOOR = {torch.float32: 1e-25, torch.float64: 1e-200}
"""Two-way loss under which nothing is heard: 500 dB, far under the noise of the arithmetic, yet a number."""
_GROWTH = {torch.float32: 1e2, torch.float64: 1e6}
"""How much rounding may grow between two checkpoints."""


def steps_between_checkpoints(
    impedance: Tensor, face: Tensor, loss: Tensor | None, n_times: int
) -> int | None:
    """A multiple of ``CELL_STEPS``; 0 where no gradient will be asked for.

    None where even ``CELL_STEPS`` are too many, a layer taking 5 dB both ways in float32 or 15 dB in float64:
    then the reference must compute.
    """
    inputs = (impedance, face, loss)
    if not (torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)):
        return 0
    longest = (n_times // CELL_STEPS + 1) * CELL_STEPS
    if loss is None:
        return longest
    growth = _GROWTH[impedance.dtype]
    decay = -2 * math.log(max(float(loss.detach().amin()), 1e-30))
    steps = longest if decay * longest <= math.log(growth) else int(math.log(growth) / decay)
    return steps // CELL_STEPS * CELL_STEPS or None


def rows_kept(n_interfaces: int, n_times: int, every: int) -> int:
    """Waves kept of one scanline: at each checkpoint, as far down as they can still be heard."""
    return sum(min(n_interfaces, n_times - t) for t in range(every, n_times, every)) if every else 0
