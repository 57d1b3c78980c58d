"""Layers of scanlines on the CPU, a scanline at a time, and the way back.

With the impedances Z and Z' on both sides of an interface and ``f = exp(-rate tan^2(tilt))``: reflection
``r = (Z' - Z) / (Z' + Z)``, transmitted power ``s^2 = 4 Z Z' / (Z + Z')^2``, weakened reflection
``r' = f r``. The impedance that goes with r' is the running product of ``(1 + r') / (1 - r')``, which is
``exp(2 artanh r')``, and the loss behind the interface is ``sqrt(s^2 / (1 - r'^2))``.

Everything is computed in float64 and stored as the medium is. Loops run along depth and touch few arrays
each, so that the compiler finds vectors in them; running products stand in loops of their own.
"""

from __future__ import annotations

import math
from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging._numba_exponential import exponential
from diffus.imaging.specular import FLAT
from diffus.kernels import compiled


@compiled
@no_type_check
def layers_forward(
    impedance,
    attenuation,
    backscatter,
    numbers,
    per_line,
    per_plane,
    tilted,
    wraps,
    follows,
    passes,
    power,
    lines,
):
    """Fill follows (B, E, S, N + 1), passes and power (B, E, S, N) of some scanlines.

    Args:
        impedance: (B, E, S, N + 1).
        attenuation: the same.
        backscatter: the same, or without poses where nothing scatters; then power has none either.
        numbers: nepers of a layer for a unit of attenuation, 1 / depth step, shear, rate of the fall-off.
        per_line: (N + 1,) 1 / distance from scanline to scanline.
        per_plane: (E - 1, N + 1) 1 / distance from plane to plane.
        tilted: whether interfaces fall off with their tilt; if not, follows has no poses.
        wraps: whether the last scanline is a neighbour of the first.
        follows: impedance with the weakened reflections.
        passes: what each layer leaves of a wave in one pass.
        power: expected scattered power.
        lines: first and last but one, counted over B, E and S.
    """
    n_nodes = impedance.shape[3]
    n = n_nodes - 1
    room = np.empty((7, n_nodes))
    loss, through, reflected, fall = room[0], room[1], room[2], room[3]
    for line in range(lines[0], lines[1]):
        at = place(line, impedance)
        z = impedance[at]
        losses(attenuation[at], numbers[0], loss)
        interfaces(z, reflected, through)
        if tilted:
            node_slopes(impedance, at, per_line, per_plane, wraps, room[4], room[5])
            fall_off(z, room[4], room[5], numbers, fall, room[6])
            weaken(reflected, through, fall, room[4], room[5])
            target, ratio, behind = follows[at], room[4], room[5]
            level = float(z[0])
            target[0] = level
            for k in range(n):
                level *= ratio[k]
                target[k + 1] = level
            target = passes[at]
            target[0] = loss[0]
            for k in range(1, n):
                target[k] = loss[k] * behind[k - 1]
        else:
            target = passes[at]
            for k in range(n):
                target[k] = loss[k]
        if len(power) > 0:
            reach(loss, through, room[4])
            scatters, target, left = backscatter[at], power[at], room[4]
            for k in range(n):
                low, high = float(scatters[k]), float(scatters[k + 1])
                target[k] = 0.5 * (low * low + high * high) * left[k]


@njit(inline="always")
@no_type_check
def place(line, values):
    """Pose, plane and scanline of a scanline counted over all."""
    n_planes, n_lines = values.shape[1], values.shape[2]
    return line // (n_planes * n_lines), line // n_lines % n_planes, line % n_lines


@njit(inline="always")
@no_type_check
def neighbours(s, n_lines, wraps):
    """The scanlines on both sides, and the share of their difference that is the step to one scanline."""
    if wraps:
        return (s - 1) % n_lines, (s + 1) % n_lines, 0.5
    low, high = max(s - 1, 0), min(s + 1, n_lines - 1)
    return low, high, 1.0 / max(high - low, 1)


@njit(inline="always")
@no_type_check
def plane_shares(e, n_planes):
    """Shares of the slopes towards the plane below and the plane above in that of a plane."""
    if e == 0:
        return 0.0, 1.0
    return (1.0, 0.0) if e == n_planes - 1 else (0.5, 0.5)


@njit(inline="always")
@no_type_check
def losses(attenuation, nepers, loss):
    """What each layer leaves of a wave in one pass; layer 0 is half a step thick."""
    for k in range(len(loss)):
        loss[k] = exponential(-nepers * attenuation[k])
    loss[0] = math.sqrt(loss[0])


@njit(inline="always")
@no_type_check
def interfaces(z, reflected, through):
    """Reflection and transmitted power of each interface."""
    for k in range(len(z) - 1):
        above, below = float(z[k]), float(z[k + 1])
        inverse = 1.0 / (above + below)
        reflected[k] = (below - above) * inverse
        through[k] = 4.0 * above * below * inverse * inverse


@njit(inline="always")
@no_type_check
def node_slopes(impedance, at, per_line, per_plane, wraps, lateral, elevation):
    """Change of the impedance for each mm from scanline to scanline and from plane to plane, at nodes."""
    b, e, s = at
    low, high, share = neighbours(s, impedance.shape[2], wraps)
    before, after = impedance[b, e, low], impedance[b, e, high]
    for k in range(len(lateral)):
        lateral[k] = share * (after[k] - before[k]) * per_line[k]
    n_planes = impedance.shape[1]
    if n_planes == 1:
        elevation[:] = 0.0
        return
    down, up = plane_shares(e, n_planes)
    own, below, above = (
        impedance[at],
        impedance[b, max(e - 1, 0), s],
        impedance[b, min(e + 1, n_planes - 1), s],
    )
    gap_below, gap_above = per_plane[max(e - 1, 0)], per_plane[min(e, n_planes - 2)]
    for k in range(len(elevation)):
        elevation[k] = down * (own[k] - below[k]) * gap_below[k] + up * (above[k] - own[k]) * gap_above[k]


@njit(inline="always")
@no_type_check
def fall_off(z, lateral, elevation, numbers, fall, tangent):
    """Share of its amplitude that each interface returns, and the squared tangent of its tilt."""
    per_depth, shear, rate = numbers[1], numbers[2], numbers[3]
    for k in range(len(z) - 1):
        along = (z[k + 1] - z[k]) * per_depth
        sideways = 0.5 * (lateral[k] + lateral[k + 1]) - shear * along
        across = 0.5 * (elevation[k] + elevation[k + 1])
        tangent[k] = (sideways * sideways + across * across) / (along * along + FLAT)
    for k in range(len(z) - 1):
        fall[k] = exponential(-rate * tangent[k])


@njit(inline="always")
@no_type_check
def weaken(reflected, through, fall, ratio, behind):
    """Ratio of the impedances of each weakened interface, and what is left behind it."""
    for k in range(len(reflected) - 1):
        weakened = fall[k] * reflected[k]
        inverse = 1.0 / ((1.0 - weakened) * (1.0 + weakened))
        ratio[k] = (1.0 + weakened) * (1.0 + weakened) * inverse
        behind[k] = min(math.sqrt(through[k] * inverse), 1.0)


@njit(inline="always")
@no_type_check
def reach(loss, through, shares):
    """Power that comes back from each cell of what it scatters."""
    left = 1.0
    for k in range(len(shares) - 1):
        square = loss[k] * loss[k]
        left *= square * square
        shares[k] = left
        left *= through[k] * through[k]
