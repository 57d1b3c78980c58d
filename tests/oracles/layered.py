"""What a layered medium sends back, three times over, each from its own physics; float64, slow, NumPy only.

None of these shares a formula with the product: one solves the boundary conditions of all interfaces at
each frequency, one steps Newton's and Hooke's laws on a staggered grid, the rest are series on paper.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_banded


def frequency_domain(impedance, n_times, loss=None, face=0.0, damping=1e-14, periods=5):
    """Continuity of pressure and velocity at every interface, one linear system a frequency.

    Unknowns: in layer k the pressure ``a_k`` of the wave going down, at the layer's top, and ``b_k`` of the
    wave going up, at its bottom, in the order a_0, b_0, a_1, b_1, ... Each pass of a layer multiplies by its
    loss and by half a step's delay. The signal is damped (z inside the unit circle), so that after
    ``periods`` times the length listened to, what wraps around has fallen to ``damping``.
    """
    z = np.asarray(impedance, dtype=np.float64)
    n = len(z) - 1
    passes = np.ones(n) if loss is None else np.asarray(loss, dtype=np.float64)
    period = periods * n_times
    radius = damping ** (1 / period)
    even, odd = np.arange(1, 2 * n, 2), np.arange(2, 2 * n + 1, 2)  # rows: pressure, velocity of interface k
    spectrum = np.empty(period, dtype=np.complex128)
    for m in range(period):
        step = radius * np.exp(-2j * np.pi * m / period)
        one_way = np.append(passes * np.sqrt(step), 0.0)  # nothing comes up through the last medium
        bands = np.zeros((5, 2 * n + 1), dtype=np.complex128)  # bands[2 + row - column, column]

        def place(rows, columns, values, bands=bands):
            bands[2 + rows - columns, columns] = values

        place(0, 0, 1.0)
        place(0, 1, -face * one_way[0])
        emitted = np.zeros(2 * n + 1, dtype=np.complex128)
        emitted[0] = 1.0
        down, up = one_way[:-1], one_way[1:]
        place(even, even - 1, down)
        place(even, even, 1.0)
        place(even, even + 1, -1.0)
        place(even[:-1], even[:-1] + 2, -up[:-1])
        place(odd, even - 1, down / z[:-1])
        place(odd, even, -1 / z[:-1])
        place(odd, even + 1, -1 / z[1:])
        place(odd[:-1], even[:-1] + 2, up[:-1] / z[1:-1])
        waves = solve_banded((2, 2), bands, emitted)
        spectrum[m] = waves[1] * one_way[0] / step  # the first round trip is time 0
    return np.fft.ifft(spectrum).real[:n_times] / radius ** np.arange(n_times)


def finite_differences(impedance, n_times):
    """Pressure and velocity on a staggered grid with dt = dx / c, the step at which the scheme is exact.

    A layer is one cell, so that its round trip is two time steps. With c = 1 a cell's bulk modulus and its
    density are both Z; the density between two cells is the mean of both. A pulse that fills one cell is
    sent down from the cell above layer 0 and is back in it three steps later from interface 0. The first
    and the last medium are too long to answer from their ends in time.
    """
    z = np.asarray(impedance, dtype=np.float64)
    steps = 2 * n_times + 1
    cells = np.concatenate([np.full(steps, z[0]), z[:-1], np.full(steps, z[-1])])
    source = steps - 1
    density = (cells[:-1] + cells[1:]) / 2
    pressure, velocity = np.zeros(len(cells)), np.zeros(len(cells) + 1)
    pressure[source] = 1.0
    velocity[source + 1] = 1.0 / z[0]  # half a step later; with this sign all of the pulse goes down
    received = []
    for step in range(1, steps + 1):
        pressure -= cells * np.diff(velocity)
        velocity[1:-1] -= np.diff(pressure) / density
        if step >= 3 and step % 2:
            received.append(pressure[source])
    return np.array(received)


def slab(z_outside, z_slab, z_behind, thickness, n_times):
    """A slab of ``thickness`` layers behind one layer of ``z_outside``: the series of its multiples."""
    first = (z_slab - z_outside) / (z_slab + z_outside)
    second = (z_behind - z_slab) / (z_behind + z_slab)
    echo = np.zeros(n_times)
    echo[0] = first
    bounce = 0
    while (bounce + 1) * thickness < n_times:
        echo[(bounce + 1) * thickness] = (1 - first**2) * second * (-first * second) ** bounce
        bounce += 1
    return echo
