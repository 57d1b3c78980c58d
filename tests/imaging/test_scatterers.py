"""Scatterers: the hash, the lattice, and that nothing that can be seen is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numba import njit
from scipy import stats
from tests.imaging.speckle_scenes import IDENTITY, OBLIQUE, SMALL

from diffus import Probe
from diffus.imaging import _numba_scatterers as kernels
from diffus.imaging.point_spread import PointSpread
from diffus.imaging.scatterers import ScattererRows, hash_cells, scatterers_in

CELLS = torch.tensor([[0, 0, 0], [1, 0, 0], [-1, 5, -70000], [123456, -654321, 77], [2**31 - 1, -(2**31), 9]])


def pcg4d(cells: np.ndarray, seed: int) -> np.ndarray:
    """The published hash in NumPy's 32-bit arithmetic, which wraps round by itself."""
    columns = [cells[:, i].astype(np.int64).astype(np.uint32) for i in range(3)]
    v = [
        c * np.uint32(1664525) + np.uint32(1013904223)
        for c in (*columns, np.full(len(cells), seed, np.uint32))
    ]
    for turn in range(2):
        if turn:
            v = [c ^ (c >> np.uint32(16)) for c in v]
        for target, (a, b) in enumerate(((1, 3), (2, 0), (0, 1), (1, 2))):
            v[target] = v[target] + v[a] * v[b]
    return np.stack(v, axis=-1)


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_hash_is_the_published_one(seed: int) -> None:
    with np.errstate(over="ignore"):
        assert np.array_equal(hash_cells(CELLS, seed).numpy(), pcg4d(CELLS.numpy(), seed).astype(np.int64))


def test_seed_counts_modulo_a_word() -> None:
    assert torch.equal(hash_cells(CELLS, -1), hash_cells(CELLS, 2**32 - 1))
    assert not torch.equal(hash_cells(CELLS, 0), hash_cells(CELLS, 1))


def test_kernel_makes_the_same_scatterers_bit_for_bit() -> None:
    shares = kernels._shares

    @njit
    def shares_of(cells, seed):
        out = np.empty((cells.shape[0], 4))
        for n in range(cells.shape[0]):
            out[n, 0], out[n, 1], out[n, 2], out[n, 3] = shares(cells[n, 0], cells[n, 1], cells[n, 2], seed)
        return out

    places, turns = scatterers_in(CELLS[:4], 7)
    expected = torch.cat([places - CELLS[:4], turns[:, None]], dim=1)
    given = torch.from_numpy(shares_of(CELLS[:4].numpy(), np.uint32(7)))
    assert torch.allclose(
        given, expected, rtol=0, atol=2e-11
    )  # places lose bits where the cell's number is added
    assert torch.equal(given[:, 3], turns)


def test_kernel_angles_and_phasors_are_those_of_the_library() -> None:
    angle, phasor = kernels._angle, kernels._phasor

    @njit
    def evaluate(x, z, turns):
        out = np.empty((3, x.size))
        for n in range(x.size):
            out[0, n] = angle(x[n], z[n], np.sqrt(x[n] ** 2 + z[n] ** 2))
            out[1, n], out[2, n] = phasor(turns[n])
        return out

    around = np.linspace(-np.pi, np.pi, 10007)[1:-1]
    radius = np.geomspace(1e-6, 1e3, around.size)
    turns = np.linspace(-700.3, 3.1, around.size)
    given = evaluate(radius * np.sin(around), radius * np.cos(around), turns)
    assert given[0] == pytest.approx(around, abs=2e-13)
    assert given[1] == pytest.approx(np.cos(2 * np.pi * turns), abs=2e-11)
    assert given[2] == pytest.approx(np.sin(2 * np.pi * turns), abs=2e-11)
    assert evaluate(np.zeros(1), np.zeros(1), np.zeros(1))[0, 0] == 0


def test_places_and_phases_are_even_and_neighbours_independent() -> None:
    side = torch.arange(-16, 16)
    cells = torch.cartesian_prod(side, side, side)
    places, turns = scatterers_in(cells, 3)
    shares = torch.cat([places - cells, turns[:, None]], dim=1).numpy()
    for column in shares.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    columns = np.concatenate([shares, np.roll(shares, 1, axis=0), np.roll(shares, 32, axis=0)], axis=1)
    correlation = np.corrcoef(columns.T) - np.eye(12)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(len(cells))


def brute_force(
    probe: Probe, spread: PointSpread, probe_from_world: torch.Tensor, side: float
) -> torch.Tensor:
    """Every cell of a box around the fan whose scatterer is seen."""
    reach = 16 + float(spread.elevation_reach_mm().max())
    centre = torch.linalg.inv(probe_from_world)[:3] @ torch.tensor([0.0, 0, 5, 1], dtype=torch.float64)
    ranges = [torch.arange(int((c - reach) / side), int((c + reach) / side)) for c in centre.tolist()]
    cells = torch.cartesian_prod(*ranges)
    places, _ = scatterers_in(cells, 0)
    x, y, z = (places * side @ probe_from_world[:3, :3].T + probe_from_world[:3, 3]).unbind(-1)
    line, depth = probe.scanline_coordinates(x, z)
    thickness = spread.at(spread.elevation_reach_mm(), depth / spread.step_mm - 0.5)
    return cells[spread.sees(line, depth) & (y.abs() <= thickness)]


@pytest.mark.parametrize("side", [0.8, 1.7])
@pytest.mark.parametrize("at", [IDENTITY[0], OBLIQUE[0]], ids=["straight", "oblique"])
@pytest.mark.parametrize("kind", SMALL)
def test_rows_hold_every_scatterer_that_is_seen(kind: str, at: torch.Tensor, side: float) -> None:
    probe = SMALL[kind]
    spread, probe_from_world = PointSpread.of(probe), torch.linalg.inv(at)
    seen = {tuple(cell) for cell in brute_force(probe, spread, probe_from_world, side).tolist()}
    rows = ScattererRows.of(probe, spread, probe_from_world, side)
    listed = [tuple(cell) for cells in rows.cells(50) for cell in cells.tolist()]
    assert len(listed) == len(set(listed))
    assert len(seen) > 50
    assert seen <= set(listed)


def test_rows_hold_little_else() -> None:
    probe = SMALL["convex"].with_options(depth_mm=40.0, n_scanlines=60, n_samples=200)
    spread, probe_from_world = PointSpread.of(probe), torch.linalg.inv(OBLIQUE[0])
    rows = ScattererRows.of(probe, spread, probe_from_world, 0.5)
    cells = torch.cat(list(rows.cells(1000)))
    places, _ = scatterers_in(cells, 0)
    x, y, z = (places * 0.5 @ probe_from_world[:3, :3].T + probe_from_world[:3, 3]).unbind(-1)
    line, depth = probe.scanline_coordinates(x, z)
    thickness = spread.at(spread.elevation_reach_mm(), depth / spread.step_mm - 0.5)
    share = (spread.sees(line, depth) & (y.abs() <= thickness)).double().mean()
    assert share > 0.4
