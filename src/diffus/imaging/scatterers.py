"""Point scatterers fixed to the tissue: one in each cell of a cubic lattice in world coordinates, made when asked for.

A scatterer sits at a random place of its cell and has unit strength and a random phase, all from a hash of the
seed and the cell's whole-number coordinates. Nothing is stored: the same cell gives the same scatterer on
every device, in every order and in every batch. One in each cell, rather than any number, spreads them more
evenly than chance would, and unit strength adds no spread of its own: a sum of few already looks like a sum of
many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from torch import Tensor

from diffus.imaging.point_spread import PointSpread
from diffus.probe import Probe

_WORD = 0xFFFFFFFF
_FACTOR, _SUMMAND = 1664525, 1013904223
_MAP_NODES = 256
"""Nodes of the coarse map of the field of view along its longer side."""


def hash_cells(cells: Int64[Tensor, "*cells 3"], seed: int) -> Int64[Tensor, "*cells 4"]:
    """Four random 32-bit words for each cell and seed.

    The permutation pcg4d of Jarzynski and Olano, "Hash functions for GPU rendering", Journal of Computer
    Graphics Techniques 9(3), 2020, on unsigned 32-bit words held in int64.

    Args:
        cells: whole-number coordinates.
        seed: taken modulo 2^32.
    """
    x, y, z = (cells & _WORD).unbind(-1)
    words = [x, y, z, torch.full_like(x, seed & _WORD)]
    words = _mixed([(_times(w, torch.full_like(w, _FACTOR)) + _SUMMAND) & _WORD for w in words])
    return torch.stack(_mixed([w ^ (w >> 16) for w in words]), dim=-1)


def _mixed(words: list[Tensor]) -> list[Tensor]:
    x, y, z, w = words
    x = (x + _times(y, w)) & _WORD
    y = (y + _times(z, x)) & _WORD
    z = (z + _times(x, y)) & _WORD
    return [x, y, z, (w + _times(y, z)) & _WORD]


def _times(a: Tensor, b: Tensor) -> Tensor:
    """Low word of a product; as signed words, so that it fits int64."""
    half = 1 << 31
    return (((a ^ half) - half) * ((b ^ half) - half)) & _WORD


def scatterers_in(
    cells: Int64[Tensor, "M 3"], seed: int
) -> tuple[Float64[Tensor, "M 3"], Float64[Tensor, " M"]]:
    """Place of each cell's scatterer in units of the cell's side, and its phase in turns, in [0, 1)."""
    shares = (hash_cells(cells, seed) >> 8).double() * 2.0**-24
    return cells + shares[:, :3], shares[:, 3]


class ScattererRows(NamedTuple):
    """Rows of cells along one axis of the lattice that hold every scatterer a pose can see, and few others.

    Args:
        first: first cell of each row.
        count: cells in each row.
        depth_mm: depth at which each row crosses the image plane.
        drift_mm: how far from that crossing, along the plane, a row's scatterers lie at most.
        axis: the axis of the lattice the rows run along.
    """

    first: Int64[Tensor, "rows 3"]
    count: Int64[Tensor, " rows"]
    depth_mm: Float64[Tensor, " rows"]
    drift_mm: float
    axis: int

    def cells(self, rows_at_once: int) -> Iterator[Int64[Tensor, "M 3"]]:
        """All cells in order, some rows at a time."""
        for start in range(0, len(self.count), rows_at_once):
            first, count = (t[start : start + rows_at_once] for t in (self.first, self.count))
            cells = first.repeat_interleave(count, dim=0)
            ends = count.cumsum(0)
            along = torch.arange(len(cells), device=cells.device) - (ends - count).repeat_interleave(count)
            cells[:, self.axis] += along
            yield cells


def scatterer_rows(
    probe: Probe, spread: PointSpread, probe_from_world: Float64[Tensor, "4 4"], side_mm: float
) -> ScattererRows:
    """The rows of cells that meet the slab which a probe sees.

    Rows run along the axis of the lattice that is steepest to the image plane, so that each crosses the slab
    within a few cells. Their crossings are looked up in a coarse map of the slab's thickness.
    """
    turn, shift = probe_from_world[:3, :3], probe_from_world[:3, 3]
    axis = int(turn[1].abs().argmax())
    others = [i for i in range(3) if i != axis]
    steep = float(turn[1, axis].abs())
    slack = side_mm / 2 * float(turn[1, others].abs().sum())  # of y, by the place within the cell
    thickest = spread.elevation_reach_mm()
    drift = (float(thickest.max()) + slack) / steep * math.sqrt(max(0.0, 1 - steep**2)) + 0.71 * side_mm
    slab = _SlabMap.of(probe, spread, thickest, drift)

    corners = (slab.corners() - shift) @ turn / side_mm
    low, high = (corners[:, others].amin(0).floor().long(), corners[:, others].amax(0).ceil().long())
    u, v = (
        torch.arange(int(a), int(b) + 1, device=turn.device).double() + 0.5
        for a, b in zip(low, high, strict=True)
    )
    step = turn * side_mm

    def over_rows(of_u: Tensor, of_v: Tensor, constant: Tensor) -> Tensor:
        return (of_u * u)[:, None] + (of_v * v + constant)

    # Where each row crosses y = 0, in cells along it and in mm of the plane.
    crossing = over_rows(*(-step[1, others] / step[1, axis]), -shift[1] / step[1, axis])
    x, z = (over_rows(*step[i, others], shift[i]) + step[i, axis] * crossing for i in (0, 2))
    reach = slab.look_up(x, z)
    keep = reach > 0
    crossing, x, z = crossing[keep], x[keep], z[keep]
    half = (reach[keep] + slack) / (steep * side_mm)
    start, stop = (crossing - half).floor().long(), (crossing + half).floor().long()
    where = keep.nonzero()
    first = torch.empty(len(where), 3, dtype=torch.int64, device=turn.device)
    first[:, others] = where + low
    first[:, axis] = start
    return ScattererRows(first, stop - start + 1, probe.scanline_coordinates(x, z)[1], drift, axis)


class _SlabMap(NamedTuple):
    """How far from the image plane scatterers are seen, the most within some distance of each node; 0: nowhere."""

    reach_mm: Float64[Tensor, "nz nx"]
    x_mm: float
    z_mm: float
    spacing_mm: float

    @classmethod
    def of(cls, probe: Probe, spread: PointSpread, thickest: Tensor, drift: float) -> _SlabMap:
        left, right, top, bottom = probe.plane_bounds_mm()
        spacing = max(right - left, bottom - top) / _MAP_NODES
        # Three nodes more than the drift: rounding to a node, and a region's edge between nodes.
        dilation = math.ceil(drift / spacing) + 3
        margin = spread.lateral_reach_mm(probe) + (dilation + 1) * spacing
        device = thickest.device
        x, z = (
            torch.arange(low - margin, high + margin, spacing, dtype=torch.float64, device=device)
            for low, high in ((left, right), (top, bottom))
        )
        line, depth = probe.scanline_coordinates(x[None].expand(len(z), -1), z[:, None].expand(-1, len(x)))
        nearest = (depth / spread.step_mm.detach() - 0.5).round().long().clamp(0, len(thickest) - 1)
        reach = torch.where(spread.sees(line.detach(), depth.detach()), 1.02 * thickest[nearest], 0.0)
        for window in ((1, 2 * dilation + 1), (2 * dilation + 1, 1)):
            padding = (window[0] // 2, window[1] // 2)
            reach = F.max_pool2d(reach[None, None], window, stride=1, padding=padding)[0, 0]
        return cls(reach, float(x[0]), float(z[0]), spacing)

    def corners(self) -> Float64[Tensor, "4 3"]:
        rows, columns = self.reach_mm.shape
        right, bottom = self.x_mm + columns * self.spacing_mm, self.z_mm + rows * self.spacing_mm
        points = [(x, 0.0, z) for x in (self.x_mm, right) for z in (self.z_mm, bottom)]
        return self.reach_mm.new_tensor(points)

    def look_up(self, x_mm: Tensor, z_mm: Tensor) -> Tensor:
        """The map at the nearest node; nothing outside."""
        rows, columns = self.reach_mm.shape
        column = ((x_mm - self.x_mm) / self.spacing_mm).round().long()
        row = ((z_mm - self.z_mm) / self.spacing_mm).round().long()
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        place = row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)
        return torch.where(inside, self.reach_mm.flatten()[place], 0.0)
