"""Sampled speckle in plain PyTorch: the reference, for every device and every gradient."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from diffus.imaging.gain import SILENCE
from diffus.imaging.point_spread import REACH, PointSpread, plane_bounds
from diffus.imaging.scan_conversion import sample_scanlines
from diffus.imaging.scatterers import ScattererRows, scatterers_in
from diffus.probe import Probe

ROWS_AT_ONCE = 1024


def scatter(
    power: Float[Tensor, "E S N"],
    probe: Probe,
    spread: PointSpread,
    probe_from_cell: Float64[Tensor, "4 4"],
    rows: ScattererRows,
    strength: Float64[Tensor, ""],
    seed: int,
) -> Float[Tensor, "S N 2"]:
    """Real and imaginary part of what all scatterers of some rows of cells send back to one pose.

    With gradients the contributions are formed again in the backward pass, which bounds the memory.

    Args:
        power: expected power scattered from each cell of the image, in each elevation plane.
        probe: where scanlines run.
        spread: profile of pulse and beam.
        probe_from_cell: from lattice coordinates to mm in the probe's frame.
        rows: the cells.
        strength: amplitude of a scatterer, ``1 / sqrt(density)``.
        seed: see `scatterers.hash_cells`.
    """
    field = power.new_zeros(power[0].numel(), 2)
    for cells in rows.cells(ROWS_AT_ONCE):
        arguments = (power, probe, spread, probe_from_cell, cells, strength, seed)
        if torch.is_grad_enabled() and (power.requires_grad or spread.requires_grad):
            place, parts = checkpoint(_contributions, *arguments, use_reentrant=False)  # pyright: ignore
        else:
            place, parts = _contributions(*arguments)
        field = field.index_add(0, place, parts)
    return field.reshape(*power.shape[1:], 2)


class SeenScatterers(NamedTuple):
    """Scatterers that a pose sees.

    Args:
        line: fractional scanline.
        sample: fractional sample.
        per_line: 1 / lateral sigma in scanlines.
        amplitude: of the echo, on the middle of pulse and beam.
        turns: phase of each.
    """

    line: Float64[Tensor, " M"]
    sample: Float64[Tensor, " M"]
    per_line: Float64[Tensor, " M"]
    amplitude: Float[Tensor, " M"]
    turns: Float64[Tensor, " M"]

    @classmethod
    def among(
        cls,
        power: Float[Tensor, "E S N"],
        probe: Probe,
        spread: PointSpread,
        probe_from_cell: Float64[Tensor, "4 4"],
        cells: Int64[Tensor, "C 3"],
        strength: Float64[Tensor, ""],
        seed: int,
    ) -> SeenScatterers:
        """Those of some cells; see `scatter` for the arguments."""
        places, turns = scatterers_in(cells, seed)
        x, y, z = (places @ probe_from_cell[:3, :3].T + probe_from_cell[:3, 3]).unbind(-1)
        line, depth = probe.scanline_coordinates(x, z)
        sample = depth / spread.step_mm - 0.5
        off_plane = y * spread.at(spread.per_elevation_mm, sample)
        seen = spread.sees(line.detach(), depth.detach()) & (
            y.abs() <= spread.at(spread.elevation_reach_mm(), sample)
        )
        line, sample, off_plane, turns = (t[seen] for t in (line, sample, off_plane, turns))
        narrowing = spread.narrowing_at(line)
        cell = spread.at(spread.volume_mm3, sample) / narrowing
        gain = strength * torch.exp(-0.5 * off_plane**2) / cell.sqrt()
        in_planes = sample_scanlines(power, line.to(power), sample.to(power), spread.wraps)
        plane = torch.bucketize(off_plane.detach(), plane_bounds(len(power)).to(off_plane))
        amplitude = gain.to(power) * torch.sqrt(in_planes.gather(0, plane[None])[0] + SILENCE**2)
        return cls(line, sample, narrowing * spread.at(spread.per_line, sample), amplitude, turns)


def phasors(
    turns: Float64[Tensor, "*M"], sample: Float64[Tensor, "*M"], spread: PointSpread, like: Tensor
) -> Float[Tensor, "*M 2"]:
    """Real and imaginary part of echoes from fractional samples, demodulated, of scatterers with phases."""
    depth_mm = (sample + 0.5) * spread.step_mm
    phase = 2 * math.pi * torch.remainder(turns - spread.turns_per_mm * depth_mm, 1.0)
    return torch.stack([phase.cos(), phase.sin()], dim=-1).to(like)


def _contributions(
    power: Float[Tensor, "E S N"],
    probe: Probe,
    spread: PointSpread,
    probe_from_cell: Float64[Tensor, "4 4"],
    cells: Int64[Tensor, "C 3"],
    strength: Float64[Tensor, ""],
    seed: int,
) -> tuple[Int64[Tensor, " places"], Float[Tensor, "places 2"]]:
    """Index in the flat image and complex value of everything that the scatterers of some cells add to it."""
    n_samples = power.shape[2]
    seen = SeenScatterers.among(power, probe, spread, probe_from_cell, cells, strength, seed)
    lines, across = _taps(seen.line, seen.per_line, spread.lines_reached(seen.per_line))
    on_line = seen.sample[:, None]
    if spread.lean_samples is not None:
        on_line = on_line - (lines - seen.line[:, None]) * spread.lean_samples
    reach = (REACH / spread.per_sample.detach()).expand_as(on_line)
    samples, along = _taps(on_line.flatten(), spread.per_sample, reach.flatten())
    samples, along = (t.unflatten(0, on_line.shape) for t in (samples, along))
    if spread.wraps:
        lines = lines % spread.n_scanlines
    lines_within = (lines >= 0) & (lines < spread.n_scanlines)
    samples_within = (samples >= 0) & (samples < n_samples)
    profile = (across * lines_within)[:, :, None] * (along * samples_within)
    echoes = seen.amplitude[:, None, None] * phasors(
        seen.turns[:, None].expand_as(on_line), on_line, spread, power
    )
    parts = echoes[:, :, None] * profile.to(power)[..., None]
    place = lines.clamp(0, spread.n_scanlines - 1)[:, :, None] * n_samples + samples.clamp(0, n_samples - 1)
    return place.flatten(), parts.reshape(-1, 2)


def _taps(
    centre: Float64[Tensor, " M"], per_step: Float64[Tensor, "*M"], reach: Float64[Tensor, " M"]
) -> tuple[Int64[Tensor, "M taps"], Float64[Tensor, "M taps"]]:
    """Whole numbers within reach of each centre, and the Gaussian there; 0 beyond the reach."""
    middle = centre.detach()
    first = (middle - reach).ceil().long()
    count = (middle + reach).floor().long() - first + 1
    offset = torch.arange(int(count.max()) if len(count) else 0, device=centre.device)
    taps = first[:, None] + offset
    distance = (taps - centre[:, None]) * per_step.reshape(-1, 1)
    return taps, torch.exp(-0.5 * distance**2) * (offset < count[:, None])
