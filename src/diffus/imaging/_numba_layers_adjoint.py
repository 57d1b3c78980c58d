"""The way back through `_numba_layers`, a scanline at a time.

Products are taken back through their logarithms: the gradient to the logarithm of a factor is the sum of the
results behind it times the gradients to them. Reflection and transmitted power depend on the impedances
through ``u = log(Z' / Z)`` alone, ``dr = s^2 / 2 du`` and ``d log s^2 = -r du``.

Gradients that a scanline gives to its neighbours are left with it and fetched by `neighbours_adjoint`, so
that no scanline writes to another's place.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from numba import njit

from diffus.imaging._numba_layers import (
    fall_off,
    interfaces,
    losses,
    neighbours,
    node_slopes,
    place,
    plane_shares,
    reach,
    weaken,
)
from diffus.imaging.specular import FLAT
from diffus.kernels import compiled


@compiled
@no_type_check
def layers_adjoint(
    impedance, attenuation, backscatter, numbers, per_line, per_plane, tilted, wraps, bars, out, lines
):
    """Gradients of some scanlines, from those to follows, passes and power (``bars``).

    ``out`` are filled: gradients to impedance, attenuation and backscatter (B, E, S, N + 1); to the lateral
    and the elevational slopes at the nodes (the same, or without poses where there are none); and for each
    scanline to the four numbers (L, 4), to per_line (L, N + 1) and to the gaps below and above its plane
    (L, 2, N + 1), without rows where they are not wanted. That to the impedance lacks the neighbours' part,
    see `neighbours_adjoint`. The other arguments are those of `layers_forward`.
    """
    n_nodes = impedance.shape[3]
    n = n_nodes - 1
    room = np.zeros((17, n_nodes))
    loss, through, reflected = room[0], room[1], room[2]
    loss_bar, through_bar, shares = room[7], room[8], room[11]
    for line in range(lines[0], lines[1]):
        at = place(line, impedance)
        losses(attenuation[at], numbers[0], loss)
        interfaces(impedance[at], reflected, through)
        first = 0.0
        if tilted:
            first = _waves_adjoint(impedance, at, numbers, per_line, per_plane, wraps, room, bars)
        else:
            given = bars[1][at]
            for k in range(n):
                loss_bar[k] = given[k] * loss[k]
                through_bar[k] = 0.0
        if len(bars[2]) > 0:
            reach(loss, through, shares)
            _power_adjoint(backscatter[at], shares, bars[2][at], out[2][at], loss_bar, through_bar)
        _losses_adjoint(numbers[0], loss_bar, out[1][at])
        if len(out[5]) > 0:
            out[5][line, 0] = -_dot_of_layers(attenuation[at], loss_bar)
        if tilted:
            _tilt_adjoint(impedance, at, numbers, wraps, room, out, line)
        else:
            log_bar = room[13]
            for k in range(n):
                log_bar[k] = -through_bar[k] * reflected[k]
        _impedance_adjoint(impedance[at], first, numbers[1], room[13], room[14], out[0][at])


@njit(inline="always")
@no_type_check
def _waves_adjoint(impedance, at, numbers, per_line, per_plane, wraps, room, bars):
    """From follows and passes to losses, ratios and what is left behind; to the first impedance, returned."""
    z, (loss, through, reflected, fall, tangent, lateral, elevation) = impedance[at], room[:7]
    loss_bar, through_bar, ratio_bar, behind_bar, ratio, behind, _, level = room[7:15]
    node_slopes(impedance, at, per_line, per_plane, wraps, lateral, elevation)
    fall_off(z, lateral, elevation, numbers, fall, tangent)
    weaken(reflected, through, fall, ratio, behind)
    first = _follows_adjoint(z[0], ratio, bars[0][at], level, ratio_bar)
    _passes_adjoint(loss, behind, bars[1][at], loss_bar, behind_bar)
    for k in range(len(z) - 1):
        through_bar[k] = 0.5 * behind_bar[k]
    return first


@njit(inline="always")
@no_type_check
def _tilt_adjoint(impedance, at, numbers, wraps, room, out, line):
    """From the weakened interfaces to the slopes at the nodes, and to what these were made with."""
    z, (_, through, reflected, fall, tangent, lateral, elevation) = impedance[at], room[:7]
    through_bar, ratio_bar, behind_bar = room[8:11]
    log_bar, along_bar, sideways_bar, across_bar = room[13:]
    lateral_bar, elevation_bar, numbers_bar, line_bar, plane_bar = out[3:]
    _weaken_adjoint(reflected, through, fall, ratio_bar, behind_bar, through_bar, log_bar, across_bar)
    if len(numbers_bar) > 0:
        numbers_bar[line, 3] = -_dot(tangent, across_bar)
    _tangent_adjoint(z, lateral, elevation, tangent, numbers, across_bar, sideways_bar, along_bar)
    if len(numbers_bar) > 0:
        _numbers_adjoint(z, numbers, along_bar, sideways_bar, numbers_bar[line])
    _to_nodes(sideways_bar, lateral_bar[at])
    if len(line_bar) > 0:
        _line_adjoint(impedance, at, wraps, lateral_bar[at], line_bar[line])
    if len(elevation_bar) > 0:
        _to_nodes(across_bar, elevation_bar[at])
    if len(plane_bar) > 0:
        _plane_adjoint(impedance, at, elevation_bar[at], plane_bar[line])


@njit(inline="always")
@no_type_check
def _impedance_adjoint(z, first, per_depth, log_bar, along_bar, target):
    """From the interfaces' logarithms and slopes to the nodes on both sides."""
    n = len(z) - 1
    target[0] = first - log_bar[0] / z[0] - per_depth * along_bar[0]
    target[n] = log_bar[n - 1] / z[n] + per_depth * along_bar[n - 1]
    for k in range(1, n):
        steep = per_depth * (along_bar[k - 1] - along_bar[k])
        target[k] = (log_bar[k - 1] - log_bar[k]) / z[k] + steep


@compiled
@no_type_check
def neighbours_adjoint(lateral_bar, elevation_bar, per_line, per_plane, wraps, impedance_bar, lines):
    """Add to impedance_bar (B, E, S, N + 1) of some scanlines what the slopes of their neighbours give."""
    _, n_planes, n_lines, n_nodes = impedance_bar.shape
    for line in range(lines[0], lines[1]):
        at = place(line, impedance_bar)
        b, e, s = at
        target = impedance_bar[at]
        for step in range(-1, 2):
            m = (s + step) % n_lines if wraps else s + step
            if m < 0 or m >= n_lines:
                continue
            low, high, share = neighbours(m, n_lines, wraps)
            sign = share * ((high == s) - (low == s))
            if wraps and abs(step) == 1:
                sign = -step * share  # on a ring of two a scanline is its neighbour on both sides
            given = lateral_bar[b, e, m]
            if sign != 0.0:
                for k in range(n_nodes):
                    target[k] += sign * given[k] * per_line[k]
        if len(elevation_bar) == 0:
            continue
        for m in range(max(e - 1, 0), min(e + 2, n_planes)):
            down, up = plane_shares(m, n_planes)
            to_down = down * ((m == e) - (m - 1 == e))
            to_up = up * ((m + 1 == e) - (m == e))
            below, above = per_plane[max(m - 1, 0)], per_plane[min(m, n_planes - 2)]
            given = elevation_bar[b, m, s]
            for k in range(n_nodes):
                target[k] += given[k] * (to_down * below[k] + to_up * above[k])


@njit(inline="always")
@no_type_check
def _follows_adjoint(first, ratio, bar, level, ratio_bar):
    """Gradients to the logarithms of the ratios; that to the first impedance is returned."""
    n = len(ratio) - 1
    reached = float(first)
    for k in range(n):
        reached *= ratio[k]
        level[k] = reached
    total = 0.0
    for k in range(n - 1, -1, -1):
        total += bar[k + 1] * level[k]
        ratio_bar[k] = total
    return bar[0] + total / first


@njit(inline="always")
@no_type_check
def _passes_adjoint(loss, behind, bar, loss_bar, behind_bar):
    """Gradients to the logarithms of the losses and of what is left behind the interfaces."""
    n = len(loss) - 1
    loss_bar[0] = bar[0] * loss[0]
    for k in range(1, n):
        loss_bar[k] = bar[k] * loss[k] * behind[k - 1]
    for k in range(n - 1):
        behind_bar[k] = loss_bar[k + 1]
    behind_bar[n - 1] = 0.0


@njit(inline="always")
@no_type_check
def _power_adjoint(scatters, shares, bar, scatters_bar, loss_bar, through_bar):
    """Fill the gradient to the backscatter, and add those to the logarithms of losses and transmissions."""
    n = len(shares) - 1
    total, before = 0.0, 0.0
    for k in range(n - 1, -1, -1):
        through_bar[k] += 2.0 * total
        low, high = float(scatters[k]), float(scatters[k + 1])
        total += 0.5 * (low * low + high * high) * shares[k] * bar[k]
        loss_bar[k] += 4.0 * total
    for k in range(n):
        given = shares[k] * bar[k]
        scatters_bar[k] = scatters[k] * (before + given)
        before = given
    scatters_bar[n] = scatters[n] * before


@njit(inline="always")
@no_type_check
def _losses_adjoint(nepers, loss_bar, attenuation_bar):
    n = len(loss_bar) - 1
    for k in range(n):
        attenuation_bar[k] = -nepers * loss_bar[k]
    attenuation_bar[0] *= 0.5
    attenuation_bar[n] = 0.0


@njit(inline="always")
@no_type_check
def _weaken_adjoint(reflected, through, fall, ratio_bar, behind_bar, through_bar, log_bar, fall_bar):
    """Gradients to ``log(Z' / Z)`` with the fall-off held, and to the logarithm of the fall-off."""
    for k in range(len(reflected) - 1):
        weakened = fall[k] * reflected[k]
        inverse = 1.0 / ((1.0 - weakened) * (1.0 + weakened))
        bar = (2.0 * ratio_bar[k] + behind_bar[k] * weakened) * inverse
        fall_bar[k] = weakened * bar
        log_bar[k] = 0.5 * through[k] * fall[k] * bar - reflected[k] * through_bar[k]


@njit(inline="always")
@no_type_check
def _tangent_adjoint(z, lateral, elevation, tangent, numbers, fall_bar, sideways_bar, along_bar):
    """Gradients to the slopes at the interfaces; that across the planes takes the place of fall_bar."""
    per_depth, shear, rate = numbers[1], numbers[2], numbers[3]
    for k in range(len(z) - 1):
        along = (z[k + 1] - z[k]) * per_depth
        sideways = 0.5 * (lateral[k] + lateral[k + 1]) - shear * along
        across = 0.5 * (elevation[k] + elevation[k + 1])
        bar = -2.0 * rate * fall_bar[k] / (along * along + FLAT)
        sideways_bar[k] = bar * sideways
        along_bar[k] = -bar * (tangent[k] * along + shear * sideways)
        fall_bar[k] = bar * across


@njit(inline="always")
@no_type_check
def _to_nodes(bar, nodes_bar):
    """From interfaces to the nodes whose mean they took."""
    n = len(bar) - 1
    nodes_bar[0], nodes_bar[n] = 0.5 * bar[0], 0.5 * bar[n - 1]
    for k in range(1, n):
        nodes_bar[k] = 0.5 * (bar[k - 1] + bar[k])


@njit(inline="always")
@no_type_check
def _dot(one, other):
    total = 0.0
    for k in range(len(one) - 1):
        total += one[k] * other[k]
    return total


@njit(inline="always")
@no_type_check
def _dot_of_layers(attenuation, loss_bar):
    return _dot(attenuation, loss_bar) - 0.5 * attenuation[0] * loss_bar[0]


@njit(inline="always")
@no_type_check
def _numbers_adjoint(z, numbers, along_bar, sideways_bar, out):
    """Gradients to 1 / depth step and to the shear."""
    steep, sheared = 0.0, 0.0
    for k in range(len(z) - 1):
        step = float(z[k + 1]) - float(z[k])
        steep += along_bar[k] * step
        sheared -= sideways_bar[k] * step * numbers[1]
    out[1], out[2] = steep, sheared


@njit(inline="always")
@no_type_check
def _line_adjoint(impedance, at, wraps, given, out):
    b, e, s = at
    low, high, share = neighbours(s, impedance.shape[2], wraps)
    before, after = impedance[b, e, low], impedance[b, e, high]
    for k in range(len(given)):
        out[k] = share * given[k] * (after[k] - before[k])


@njit(inline="always")
@no_type_check
def _plane_adjoint(impedance, at, given, out):
    b, e, s = at
    n_planes = impedance.shape[1]
    down, up = plane_shares(e, n_planes)
    own, below, above = (
        impedance[at],
        impedance[b, max(e - 1, 0), s],
        impedance[b, min(e + 1, n_planes - 1), s],
    )
    for k in range(len(given)):
        out[0, k] = down * given[k] * (own[k] - below[k])
        out[1, k] = up * given[k] * (above[k] - own[k])
