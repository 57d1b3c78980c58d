"""The published system on the CPU: the recursion of `layered.published_echoes`, a block at a time."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from diffus.kernels import compiled
from diffus.propagation._numba_lines import packed, unpack
from diffus.propagation._simd import LINE_BYTES


@compiled
@no_type_check
def _recursion(columns, lanes, echoes, r, seen, passed):
    """Fill, for each interface and lane, the echo, r, and the state of the stack above the interface."""
    one = columns.dtype.type(1)
    mirror, returned = np.zeros(lanes, columns.dtype), np.zeros(lanes, columns.dtype)
    through = np.ones(lanes, columns.dtype)
    for k in range(r.size // lanes):
        for lane in range(lanes):
            i = k * lanes + lane
            above, below = columns[i], columns[i + lanes]
            c = (below - above) / (below + above)
            r[i], seen[i], passed[i] = c, mirror[lane], through[lane]
            ringing = one / (one - mirror[lane] * c)
            returned[lane] += through[lane] * c * ringing
            echoes[i] = returned[lane]
            power = one - c * c
            through[lane] *= power * ringing * ringing
            mirror[lane] = c + power * mirror[lane] * ringing


@compiled
@no_type_check
def forward_blocks(impedance, echoes, blocks):
    """Echoes (B, N) of some blocks of scanlines; ``blocks`` is a half-open interval."""
    n = echoes.shape[1]
    lanes = LINE_BYTES // impedance.itemsize
    received, r, seen, passed = (
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
    )
    for block in range(blocks[0], blocks[1]):
        _recursion(packed(impedance, block, lanes), lanes, received, r, seen, passed)
        unpack(received, echoes, block, lanes)


@compiled
@no_type_check
def backward_blocks(impedance, echoes_bar, impedance_bar, blocks):
    """Gradient to the impedance (B, N + 1) of some blocks, from that to the echoes (B, N)."""
    n = echoes_bar.shape[1]
    lanes = LINE_BYTES // impedance.itemsize
    one, two = impedance.dtype.type(1), impedance.dtype.type(2)
    received, r, seen, passed = (
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
        np.empty(n * lanes, impedance.dtype),
    )
    for block in range(blocks[0], blocks[1]):
        columns = packed(impedance, block, lanes)
        bars = packed(echoes_bar, block, lanes)
        _recursion(columns, lanes, received, r, seen, passed)
        returned_bar, passed_bar = np.zeros(lanes, impedance.dtype), np.zeros(lanes, impedance.dtype)
        seen_bar = np.zeros(lanes, impedance.dtype)
        for k in range(n - 1, -1, -1):
            for lane in range(lanes):
                i = k * lanes + lane
                c, mirror, through = r[i], seen[i], passed[i]
                ringing = one / (one - mirror * c)
                power = one - c * c
                returned_bar[lane] += bars[i]
                from_passed, from_seen = passed_bar[lane] * ringing, seen_bar[lane]
                power_bar = from_passed * through * ringing + from_seen * mirror * ringing
                ringing_bar = (
                    through * (returned_bar[lane] * c + two * from_passed * power)
                    + from_seen * power * mirror
                ) * (ringing * ringing)
                direct = returned_bar[lane] * through * ringing + from_seen
                r[i] = (direct - two * c * power_bar + ringing_bar * mirror) * power / two
                passed_bar[lane] = returned_bar[lane] * c * ringing + from_passed * power * ringing
                seen_bar[lane] = from_seen * power * ringing + ringing_bar * c
        for lane in range(lanes):
            columns[lane] = -r[lane] / columns[lane]
            columns[n * lanes + lane] = r[(n - 1) * lanes + lane] / columns[n * lanes + lane]
        for i in range(lanes, n * lanes):
            columns[i] = (r[i - lanes] - r[i]) / columns[i]
        unpack(columns, impedance_bar, block, lanes)
