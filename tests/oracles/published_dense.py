"""The DiffUS paper's system as published (arXiv 2508.06768): one dense solve for each truncation depth."""

from __future__ import annotations

import numpy as np


def published_solution(impedance, dtype: type = np.float64):
    """Waves [g_0, d_0, g_1, d_1, ...] of the whole medium, with the published sign: +r from both sides.

    Rows, in the paper's order: ``g_0 = 1``; for each interface ``d = r g + (1 - r) d'`` and
    ``g' = (1 + r) g + r d'``; no wave from below the last medium.
    """
    return _solve(np.asarray(impedance, dtype=dtype), sign_from_below=1.0)


def physical_solution(impedance):
    """The same system with the right sign, -r from below."""
    return _solve(np.asarray(impedance, dtype=np.float64), sign_from_below=-1.0)


def published_echoes(impedance, solution=published_solution):
    """``d_0`` of the medium cut off below interface 0, 1, ..., N - 1, each from its own dense solve."""
    depths = range(2, np.shape(impedance)[-1] + 1)
    return np.stack([solution(np.asarray(impedance)[..., :depth])[..., 1] for depth in depths], axis=-1)


def _solve(impedance, sign_from_below):
    r = (impedance[..., 1:] - impedance[..., :-1]) / (impedance[..., 1:] + impedance[..., :-1])
    n = r.shape[-1]
    size = 2 * (n + 1)
    system = np.zeros((*r.shape[:-1], size, size), dtype=r.dtype)
    right = np.zeros((*r.shape[:-1], size, 1), dtype=r.dtype)
    system[..., 0, 0] = system[..., -1, -1] = 1
    right[..., 0, 0] = 1
    for k in range(n):
        above_down, above_up, below_down, below_up = range(2 * k, 2 * k + 4)
        system[..., below_down, below_down] = 1
        system[..., below_down, above_down] = -(1 + r[..., k])
        system[..., below_down, below_up] = -sign_from_below * r[..., k]
        system[..., above_up, above_up] = 1
        system[..., above_up, above_down] = -r[..., k]
        system[..., above_up, below_up] = -(1 - r[..., k])
    return np.linalg.solve(system, right)[..., 0]
