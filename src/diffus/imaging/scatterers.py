"""Point scatterers fixed to the tissue: one in each cell of a cubic lattice in world coordinates.

A scatterer sits at a random place of its cell and has unit strength and a random phase, all from a hash of
the seed and the cell's whole-number coordinates. Nothing is stored: the same cell gives the same scatterer on
every device, in every order and in every batch. One in each cell, rather than any number, spreads them more
evenly than chance would, and unit strength adds no spread of its own: a sum of few already looks like a sum
of many.
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
_MAP_NODES = 160
"""Nodes of the coarse map of the field of view along its longer side, at most."""
_DRIFT_NODES = 8
"""The same in the distance over which the map's maximum is taken."""


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
    """Rows of cells along one axis of the lattice, among which are all those whose scatterers a pose can see.

    Rows run along the axis that is steepest to the image plane, so that each crosses the slab that the probe
    sees within a few cells. Where row (u, v) crosses the plane, how many cells along the row and at which x
    and z in mm, is linear in u and v. A coarse map of the slab's thickness says how far on both sides it
    matters.

    Args:
        axis: which axis the rows run along.
        others: the axes of u and v.
        low: smallest u and v.
        size: how many u and v there are.
        crossing: coefficients of u + 1/2, v + 1/2 and 1, for cells along the row, x and z.
        slab: the map.
        slack_mm: added to the map, for the scatterers' places within their cells.
        cells_per_mm: cells along a row for each mm of distance from the plane.
    """

    axis: int
    others: tuple[int, int]
    low: tuple[int, int]
    size: tuple[int, int]
    crossing: Float64[Tensor, "3 3"]
    slab: SlabMap
    slack_mm: float
    cells_per_mm: float

    @classmethod
    def of(
        cls, probe: Probe, spread: PointSpread, probe_from_world: Float64[Tensor, "4 4"], side_mm: float
    ) -> ScattererRows:
        """The rows of a pose, for cells of some side."""
        turn, shift = probe_from_world[:3, :3], probe_from_world[:3, 3]
        axis = int(turn[1].abs().argmax())
        first, second = (i for i in range(3) if i != axis)
        others = [first, second]
        steep = float(turn[1, axis].abs())
        slack = side_mm / 2 * float(turn[1, others].abs().sum())
        along_plane = math.sqrt(max(0.0, 1 - steep**2)) / steep
        most = float(spread.elevation_reach_mm().max())
        slab = SlabMap.of(probe, spread, (most + slack) * along_plane + 0.71 * side_mm)
        corners = ((slab.corners() - shift) @ turn / side_mm)[:, others]
        low_u, low_v = corners.amin(0).floor().long().tolist()
        high_u, high_v = corners.amax(0).ceil().long().tolist()
        step = torch.cat([turn[:, others] * side_mm, shift[:, None]], dim=1)
        along = -step[1] / (turn[1, axis] * side_mm)
        crossing = torch.stack([along, *(step[i] + turn[i, axis] * side_mm * along for i in (0, 2))])
        size = (high_u - low_u + 1, high_v - low_v + 1)
        per_mm = 1 / (steep * side_mm)
        return cls(axis, (first, second), (low_u, low_v), size, crossing, slab, slack, per_mm)

    def cells(self, rows_at_once: int) -> Iterator[Int64[Tensor, "M 3"]]:
        """All cells in order, some rows at a time."""
        u, v = (
            torch.arange(low, low + size, device=self.crossing.device)
            for low, size in zip(self.low, self.size, strict=True)
        )
        crossing, x, z = (
            (a * (u + 0.5))[:, None] + (b * (v + 0.5) + c) for a, b, c in self.crossing.unbind()
        )
        reach = self.slab.look_up(x, z)
        half = (reach + self.slack_mm) * self.cells_per_mm
        start, stop = (crossing - half).floor().long(), (crossing + half).floor().long()
        for rows in (reach > 0).nonzero().split(rows_at_once):
            iu, iv = rows.unbind(-1)
            count = stop[iu, iv] - start[iu, iv] + 1
            along = torch.arange(int(count.sum()), device=count.device)
            along -= (count.cumsum(0) - count).repeat_interleave(count)
            cells = torch.empty(len(along), 3, dtype=torch.int64, device=count.device)
            for axis, first in zip((*self.others, self.axis), (u[iu], v[iv], start[iu, iv]), strict=True):
                cells[:, axis] = first.repeat_interleave(count)
            cells[:, self.axis] += along
            yield cells


class SlabMap(NamedTuple):
    """How far from the image plane scatterers are seen, in mm: the most within some distance of each node.

    Args:
        reach_mm: on nodes of the image plane; 0 where nothing is seen.
        x_mm: of the first column.
        z_mm: of the first row.
        spacing_mm: of the nodes.
        drift_mm: the distance.
    """

    reach_mm: Float64[Tensor, "nz nx"]
    x_mm: float
    z_mm: float
    spacing_mm: float
    drift_mm: float

    @classmethod
    def of(cls, probe: Probe, spread: PointSpread, drift_mm: float) -> SlabMap:
        """The map of a probe, for scatterers up to ``drift_mm`` from where it is looked up."""
        left, right, top, bottom = probe.plane_bounds_mm()
        spacing = max((right - left) / _MAP_NODES, (bottom - top) / _MAP_NODES, drift_mm / _DRIFT_NODES)
        # Three nodes more than the drift: rounding to a node, and a region's edge between nodes.
        dilation = math.ceil(drift_mm / spacing) + 3
        margin = spread.lateral_reach_mm(probe) + (dilation + 1) * spacing
        thickest = spread.elevation_reach_mm()
        x, z = (
            torch.arange(low - margin, high + margin, spacing, dtype=torch.float64, device=thickest.device)
            for low, high in ((left, right), (top, bottom))
        )
        line, depth = probe.scanline_coordinates(x[None].expand(len(z), -1), z[:, None].expand(-1, len(x)))
        nearest = (depth / spread.step_mm.detach() - 0.5).round().long().clamp(0, len(thickest) - 1)
        reach = torch.where(spread.sees(line.detach(), depth.detach()), 1.02 * thickest[nearest], 0.0)
        for window in ((1, 2 * dilation + 1), (2 * dilation + 1, 1)):
            padding = (window[0] // 2, window[1] // 2)
            reach = F.max_pool2d(reach[None, None], window, stride=1, padding=padding)[0, 0]
        return cls(reach, float(x[0]), float(z[0]), spacing, drift_mm)

    def corners(self) -> Float64[Tensor, "4 3"]:
        """The map's outermost places, in the probe's frame."""
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
