"""The reference: what a layered medium sends back, in plain PyTorch on any device, differentiable twice.

The medium is cut into layers of equal travel time (Goupillaud). Layer k lies between interface k - 1 and
interface k; layer 0 lies between the face and interface 0. To pass a layer down and up again takes one step,
and of that the whole step is booked on the way up. Interface 0 is heard at time 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.propagation.reflection import reflection, transmission, two_way_transmission

Impedance = Float[Tensor, "*lines samples"]
Loss = Float[Tensor, "*lines interfaces"]
Echoes = Float[Tensor, "*lines times"]


def primary_echoes(impedance: Impedance, loss: Loss | None, n_times: int) -> Echoes:
    """Single reflections: ``e_k = r_k prod_{j<k} (1 - r_j^2)``, times the loss down and up."""
    echoes = reflection(impedance) * two_way_transmission(impedance)
    return fit(with_loss(echoes, loss), n_times)


def published_echoes(impedance: Impedance, loss: Loss | None, n_times: int) -> Echoes:
    """The answer of the DiffUS paper's system (arXiv 2508.06768, eq. of its section 2) cut off at each depth.

    The paper has no delays and reflects by +r from both sides:
    ``d_k = r_k g_k + (1 - r_k) d_{k+1}`` and ``g_{k+1} = (1 + r_k) g_k + r_k d_{k+1}``, with ``g_0 = 1`` and
    nothing coming from below the last interface. Echo k is ``d_0`` of the medium cut off below interface k.
    Where the paper solves a dense system for each k, the stack above the cut is kept here as what it does
    to a wave from below: it reflects ``seen`` of it, and ``passed`` is its transmission up times down. The
    loss multiplies echo k by what the layers 0 ... k take from a wave on its way down and up, as the paper's
    code multiplies the finished answer by a factor of depth.
    """
    coefficients = reflection(impedance).unbind(dim=-1)
    seen = torch.zeros_like(coefficients[0])
    passed = torch.ones_like(seen)
    returned = torch.zeros_like(seen)
    echoes = []
    for r in coefficients:
        ringing = 1 / (1 - seen * r)
        returned = returned + passed * r * ringing
        echoes.append(returned)
        passed = passed * (1 - r * r) * ringing * ringing
        seen = r + (1 - r * r) * seen * ringing
    return fit(with_loss(torch.stack(echoes, dim=-1), loss), n_times)


def full_echoes(impedance: Impedance, face: Tensor, loss: Loss | None, n_times: int) -> Echoes:
    """All internal reflections, exactly, for as long as is listened.

    One interface turns the wave g that comes from above and the wave w that comes from below into
    ``d = r g + s w`` (up) and ``g' = s g - r w`` (down), both normalised to power, which in the first medium
    cancels from the ratio of received to emitted pressure. With n = k + 2 t all interfaces of one parity are
    reached at once, so that a step is one operation over scanlines and interfaces. Interfaces that the
    pulse has not reached, and those that cannot be heard any more, are left out.

    Args:
        impedance: samples along each scanline.
        face: 0-d, what the face sends back of a wave that returns to it.
        loss: amplitude that each layer leaves of a wave in one pass.
        n_times: how long to listen.
    """
    shape, n_interfaces = impedance.shape[:-1], impedance.shape[-1] - 1
    lines_last = impedance.reshape(-1, n_interfaces + 1)
    parity = (slice(0, None, 2), slice(1, None, 2))
    r_all, s_all = reflection(lines_last).T, transmission(lines_last).T
    both_ways = (
        None if loss is None else (loss * loss).expand(*shape, n_interfaces).reshape(-1, n_interfaces).T
    )
    r = [r_all[which].contiguous() for which in parity]
    s = [s_all[which].contiguous() for which in parity]
    q = None if both_ways is None else [both_ways[which].contiguous() for which in parity]
    down = up = r_all.new_zeros(0, r_all.shape[1])
    source = torch.ones_like(r_all[:1])
    received = []
    for step in range(2 * n_times - 1):
        odd = step % 2
        deepest = min(step, n_interfaces - 1, 2 * (n_times - 1) - step)
        active = (deepest - odd) // 2 + 1
        if not odd:
            down = torch.cat([source, down])
        g, w = down[:active], _lengthened(up, active)
        r_now, s_now = r[odd][:active], s[odd][:active]
        up = r_now * g + s_now * w
        down = s_now * g - r_now * w
        if q is not None:
            up = up * q[odd][:active]
        if not odd:
            received.append(up[:1])
            source = face * up[:1]
            up = up[1:]
    return torch.cat(received).T.reshape(*shape, n_times)


def _lengthened(waves: Tensor, size: int) -> Tensor:
    missing = size - waves.shape[0]
    if missing <= 0:
        return waves[:size]
    return torch.cat([waves, waves.new_zeros(missing, waves.shape[1])])


def with_loss(echoes: Tensor, loss: Tensor | None) -> Tensor:
    """Echo k times what the layers 0 ... k leave of a wave on its way down and up."""
    return echoes if loss is None else echoes * (loss * loss).expand_as(echoes).cumprod(dim=-1)


def fit(echoes: Tensor, n_times: int) -> Tensor:
    """The first times, or all and silence after them."""
    silent = n_times - echoes.shape[-1]
    return echoes[..., :n_times] if silent <= 0 else torch.nn.functional.pad(echoes, (0, silent))
