"""Draws the pictures of ultrasound for people who know MRI: ``python docs/physics.py``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import diffus
from diffus import TISSUES, LinearProbe, Medium, Probe, RenderSettings, Volume, plot
from diffus.imaging.beam import axial_sigma_mm, lateral_sigma_mm

PICTURES = Path(__file__).parent / "pictures"
FWHM = math.sqrt(8 * math.log(2))
SLOPE, BLOOD_MM_S = 0.6, 400.0
"""Of the vessel in the image, and the speed of blood in it."""
COLOURS = ("#1565c0", "#ef6c00", "#2e7d32", "#6a1b9a")


def contrast() -> Figure:
    """One plane of the embedded brain: MRI, the three maps of the medium, and the frame."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    medium, probe = Medium.from_tissue_maps(brain), diffus.preset("craniotomy")
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    figure = Figure(figsize=(15, 3.5), layout="constrained")
    axes = figure.subplots(1, 5, sharex=True, sharey=True)
    plot.fan_slice(brain.image, probe, at, ax=axes[0], margin_mm=3.0, title="MRI (T1)")
    units = {"impedance": "MRayl", "attenuation": "dB/cm/MHz", "backscatter": "dB"}
    for ax, (name, unit) in zip(axes[1:4], units.items(), strict=True):
        shown = ax.imshow(**_in_plane(medium.volume(name), probe, at, decibel=unit == "dB"))
        ax.plot(*probe.outline_mm().T, color="#ffd54f", linewidth=1.2)
        figure.colorbar(shown, ax=ax, orientation="horizontal", shrink=0.85, label=unit)
        ax.set(title=name, xlabel="lateral x (mm)")
    frame = diffus.render(medium, probe, at, RenderSettings(speckle="sampled"))
    plot.bmode(frame, ax=axes[4], decibel_bar=False, title="B-mode, 6 MHz")
    for ax in axes:
        ax.set_anchor("N")
    return figure


def interfaces() -> Figure:
    """How strongly boundaries echo, what depth costs, and how wide pulse and beam are."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    echo, loss, width = figure.subplots(1, 3)
    pairs = (
        ("brain", "air"),
        ("brain", "cortical_bone"),
        ("water", "brain"),
        ("brain", "dura"),
        ("csf", "grey_matter"),
        ("grey_matter", "white_matter"),
        ("liver", "kidney"),
    )
    level = [20 * math.log10(abs(_reflection(*pair))) for pair in pairs]
    names = [f"{a} to {b}".replace("_", " ") for a, b in pairs]
    echo.barh(names, np.array(level) + 60, left=-60, color=COLOURS[0])
    for row, value in enumerate(level):
        echo.text(value + 0.8, row, f"{round(value):d}", va="center", fontsize=8)
    echo.set(xlim=(-60, 8), xlabel="echo in dB below a perfect plane reflector", title="reflection")
    echo.invert_yaxis()

    depth = np.linspace(0, 15, 200)
    for colour, frequency in zip(COLOURS, (2.5, 5.0, 7.5, 10.0), strict=True):
        loss.plot(depth, -2 * 0.6 * frequency * depth, color=colour, label=f"{frequency:g} MHz")
    loss.axhline(-90, color="black", linestyle="--", linewidth=0.8)
    loss.text(0.2, -88, "of the order of what a receiver still hears", fontsize=8)
    loss.set(xlim=(0, 15), ylim=(-120, 0), xlabel="depth (cm)", ylabel="both ways (dB)")
    loss.set_title("attenuation, 0.6 dB/cm/MHz")
    loss.legend(fontsize=8, loc="upper right")

    millimetres = torch.linspace(2, 100, 300, dtype=torch.float64)
    for colour, frequency in zip(COLOURS, (2.5, 5.0, 7.5, 10.0), strict=True):
        probe = LinearProbe(
            width_mm=40.0, depth_mm=100.0, frequency_mhz=frequency, focus_mm=40.0, aperture_mm=14.0
        )
        lateral = FWHM * lateral_sigma_mm(probe, millimetres)
        axial = FWHM * float(axial_sigma_mm(probe, millimetres))
        width.plot(millimetres, lateral, color=colour, label=f"{frequency:g} MHz")
        width.axhline(axial, color=colour, linestyle=":")
    width.text(2, 0.06, "across: lines; along: dotted", fontsize=8)
    width.set(xlim=(0, 100), yscale="log", ylim=(0.05, 30), xlabel="depth (mm)", ylabel="-6 dB width (mm)")
    width.set_title("resolution, focus at 40 mm")
    width.legend(fontsize=8, loc="upper right")
    return figure


def speckle() -> Figure:
    """A cyst in uniform tissue: the mean image, one arrangement of scatterers, and its statistics."""
    medium = _phantom(_cyst)
    probe = LinearProbe(width_mm=36.0, depth_mm=40.0, frequency_mhz=6.0, focus_mm=20.0, aperture_mm=12.0)
    here = torch.eye(4, dtype=torch.float64)
    figure = Figure(figsize=(13, 4), layout="constrained")
    mean, one, chances = figure.subplots(1, 3)
    settings = RenderSettings(tgc_db_per_cm=6.0, gain_db=8.0, noise_db=None)
    plot.bmode(diffus.render(medium, probe, here, settings), ax=mean, decibel_bar=False)
    mean.set_title("expected: the mean over all arrangements")
    frame = diffus.render(medium, probe, here, settings.with_options(speckle="sampled"))
    plot.bmode(frame, ax=one, decibel_bar=False, title="sampled: one arrangement")
    envelope = frame.envelope[0] / diffus.render(medium, probe, here, settings).envelope[0]
    depths = probe.sample_depths_mm()
    values = envelope[:70, (depths > 5) & (depths < 38)].flatten().numpy()
    grid = np.linspace(0, 3.5, 200)
    chances.hist(values, bins=70, range=(0, 3.5), density=True, color="#b0bec5", label="left of the cyst")
    chances.plot(grid, 2 * grid * np.exp(-(grid**2)), color=COLOURS[1], label="Rayleigh")
    ratio = values.mean() / values.std()
    chances.set(xlabel="envelope over its root mean square", ylabel="density", xlim=(0, 3.5))
    chances.set_title(f"mean / deviation: {ratio:.2f} (Rayleigh: 1.91)")
    chances.legend()
    return figure


def modes() -> Figure:
    """A-line, B-mode, M-mode and colour Doppler of the same phantom, with a vessel in it."""
    probe = LinearProbe(
        width_mm=36.0, depth_mm=40.0, n_scanlines=128, frequency_mhz=5.0, focus_mm=22.0, aperture_mm=12.0
    )
    here = torch.eye(4, dtype=torch.float64)
    settings = RenderSettings(speckle="sampled", tgc_db_per_cm=5.0, gain_db=8.0)
    figure = Figure(figsize=(17, 4.2), layout="constrained")
    line, image, motion, flow = figure.subplots(1, 4)

    frame = diffus.render(_phantom(_vessel), probe, here, settings)
    signal = diffus.receive(_phantom(_vessel), probe, here, settings, sampling_rate_mhz=40.0)
    depth = signal.times_us() * 1.54 / 2
    made_up = 10 ** (5.0 * depth / 10 / 20)
    line.plot(signal.rf()[0, 64] * made_up, depth, color="#90a4ae", linewidth=0.5, label="RF")
    line.plot(signal.envelope()[0, 64] * made_up, depth, color=COLOURS[1], linewidth=1.0, label="envelope")
    line.set(ylim=(40, 0), xlabel="echo, depth made up for", ylabel="depth z (mm)", title="A-line: x = 0")
    line.legend(loc="lower right", fontsize=8)
    plot.bmode(frame, ax=image, decibel_bar=False, title="B-mode: all lines")
    image.axvline(0, color=COLOURS[1], linewidth=0.8, linestyle=":")

    seconds = torch.linspace(0, 2.5, 200, dtype=torch.float64)
    beat = torch.zeros(200, 6, dtype=torch.float64)
    beat[:, 5] = -1.2 * torch.sin(2 * math.pi * 1.1 * seconds).clamp_min(0) ** 3
    narrow = probe.with_options(width_mm=2.0, n_scanlines=9)
    lines = torch.cat(
        [
            diffus.render(_phantom(_vessel), narrow, diffus.pose.exp(part), settings).scanlines[:, 4]
            for part in beat.split(25)
        ]
    )
    motion.imshow(lines.T, cmap="gray", extent=(0, 2.5, 40, 0), aspect="auto", vmin=0, vmax=1)
    motion.set(xlabel="time (s)", ylabel="depth z (mm)", title="M-mode: one line over time")

    plot.bmode(frame, ax=flow, decibel_bar=False, title="colour Doppler: blood runs up at 40 cm/s")
    _colour_flow(flow, probe, here, figure)
    return figure


def _colour_flow(ax: Axes, probe: LinearProbe, here: Tensor, figure: Figure) -> None:
    """Velocity from the phase between pulses (Kasai et al. 1985), where the vessel is."""
    interval_us = 100.0
    pushed = torch.zeros(8, 6, dtype=torch.float64)
    # Blood runs up the vessel, towards the probe: the same as a probe that runs down it.
    step = torch.arange(8) * BLOOD_MM_S * interval_us * 1e-6 / math.hypot(1, SLOPE)
    pushed[:, 3], pushed[:, 5] = step, SLOPE * step
    settings = RenderSettings(speckle="sampled", noise_db=None)
    blood = diffus.receive(_phantom(_vessel, blood_alone=True), probe, diffus.pose.exp(pushed), settings).iq
    still = diffus.receive(_phantom(_vessel), probe, here, settings).iq
    # What stands still is the mean over pulses: a wall filter takes it away.
    pulses = still + blood
    moving = pulses - pulses.mean(0)
    lag = (moving[1:] * moving[:-1].conj()).mean(0)
    kernel = torch.ones(1, 1, 9, 25) / (9 * 25)

    def smooth(values: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(values[None, None], kernel, padding=(4, 12))[0, 0]

    phase = torch.atan2(smooth(lag.imag), smooth(lag.real))
    frequency = float(probe.frequency_mhz)
    velocity = phase * 1.54 / (4 * math.pi * frequency * interval_us) * 1e5  # cm/s
    power = smooth(lag.abs())
    shown = np.ma.masked_where((power < 0.15 * power.max()).numpy().T, velocity.numpy().T)
    half = float(probe.width_mm) / 2
    drawn = ax.imshow(shown, cmap="RdBu_r", vmin=-30, vmax=30, extent=(-half, half, 40, 0))
    figure.colorbar(drawn, ax=ax, shrink=0.8, label="towards the probe (cm/s)")


def _cyst(x: Tensor, z: Tensor) -> Tensor:
    """Signed distance in mm to a round cyst, positive inside."""
    return 6 - ((x - 6) ** 2 + (z - 20) ** 2).sqrt()


def _vessel(x: Tensor, z: Tensor) -> Tensor:
    """Signed distance in mm to the wall of a slanting vessel, positive inside."""
    return 4 - (z - 20 - SLOPE * x).abs() / math.hypot(1, SLOPE)


def _phantom(inside: Callable[[Tensor, Tensor], Tensor], *, blood_alone: bool = False) -> Medium:
    """Liver with blood in it; or the blood alone, and nothing around it that scatters."""
    spacing = 0.4
    x, z = torch.arange(-24.0, 24.4, spacing), torch.arange(-4.0, 44.0, spacing)
    share = torch.sigmoid(inside(*torch.meshgrid(x, z, indexing="ij")) / 0.25)[..., None]
    tissue, blood = (torch.tensor(TISSUES[name].acoustic) for name in ("liver", "blood"))
    if blood_alone:
        tissue, blood = blood * torch.tensor([1.0, 1.0, 0.0]), blood * torch.tensor([1.0, 1.0, 4.0])
    plane = tissue + share * (blood - tissue)
    affine = torch.diag(torch.tensor([spacing, 8.0, spacing, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-24.0, -8.0, -4.0])
    return Medium.from_channels(plane[:, None].repeat(1, 3, 1, 1), affine)


def _in_plane(volume: Volume, probe: Probe, at: Tensor, *, decibel: bool) -> dict[str, Any]:
    """A map of the medium in the plane of the probe, as ``imshow`` takes it."""
    left, right, top, bottom = (
        edge + grow for edge, grow in zip(probe.plane_bounds_mm(), (-3, 3, -3, 3), strict=True)
    )
    x, z = torch.arange(left, right, 0.5), torch.arange(top, bottom, 0.5)
    grid_z, grid_x = torch.meshgrid(z, x, indexing="ij")
    points = torch.stack([grid_x, torch.zeros_like(grid_x), grid_z], dim=-1).double()
    values = volume.sample(diffus.pose.transform_points(at, points.reshape(-1, 3)).float()).reshape(
        grid_x.shape
    )
    if decibel:
        values = 20 * values.clamp_min(1e-6).log10()
    low, high = torch.quantile(values, torch.tensor([0.02, 0.999])).tolist()
    return {"X": values, "extent": (left, right, bottom, top), "cmap": "viridis", "vmin": low, "vmax": high}


def _reflection(above: str, below: str) -> float:
    first, second = TISSUES[above].impedance_mrayl, TISSUES[below].impedance_mrayl
    return (second - first) / (second + first)


def main() -> None:
    """Write every picture."""
    plot.save_figure(contrast(), PICTURES / "physics_contrast.png", dpi=68)
    plot.save_figure(interfaces(), PICTURES / "physics_interfaces.png", dpi=75)
    plot.save_figure(speckle(), PICTURES / "physics_speckle.png", dpi=75)
    plot.save_figure(modes(), PICTURES / "physics_modes.png", dpi=62)


if __name__ == "__main__":
    main()
