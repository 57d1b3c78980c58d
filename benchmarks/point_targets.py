"""The image of a point against formulas and against simulated arrays, every figure a ratio of widths.

    python benchmarks/point_targets.py [--out benchmarks/results]

Widths are -6 dB widths of the two-way image. Writes ``point_targets.md``.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.oracles.array_field import LinearArray  # noqa: E402
from tests.oracles.point_target import axial_width_mm, focal_width_mm, image_of_one, widths_mm  # noqa: E402

from diffus import ConvexProbe, LinearProbe, PhasedProbe, Probe  # noqa: E402
from diffus.files import write_text  # noqa: E402
from diffus.imaging.beam import elevation_sigma_mm, lateral_sigma_mm  # noqa: E402
from diffus.probe import APODIZATIONS  # noqa: E402

HALF_AMPLITUDE = 2 * math.sqrt(2 * math.log(2))
SHARES = (0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5)
FINE = {"n_scanlines": 161, "n_samples": 3500, "depth_mm": 70.0}
IMAGED: dict[str, Probe] = {
    "linear": LinearProbe(width_mm=16.0, **FINE),
    "linear, steered 25 degrees": LinearProbe(width_mm=16.0, steering_deg=25.0, **FINE),
    "convex": ConvexProbe(radius_mm=40.0, field_of_view_deg=20.0, frequency_mhz=4.0, **FINE),
    "phased": PhasedProbe(
        field_of_view_deg=14.0,
        frequency_mhz=3.0,
        aperture_mm=18.0,
        focus_mm=50.0,
        fractional_bandwidth=0.8,
        **FINE,
    ),
}
ARRAYS: dict[str, LinearProbe] = {
    "6 MHz, F/2.9": LinearProbe(),
    "6 MHz, F/2.9, B = 0.3": LinearProbe(fractional_bandwidth=0.3),
    "6 MHz, F/2": LinearProbe(focus_mm=30.0, aperture_mm=15.0),
    "4 MHz, F/5": LinearProbe(frequency_mhz=4.0, focus_mm=60.0, aperture_mm=12.0),
}
STEERING_DEG = (0.0, 25.0, 40.0)


def image_rows() -> list[str]:
    """Widths on the image of one scatterer at the focus over those of the textbook."""
    rows = ["| probe | axial | lateral |", "|---|---|---|"]
    for name, probe in IMAGED.items():
        focus, wavelength = float(probe.focus_mm), float(probe.wavelength_mm)
        axial, lateral = widths_mm(image_of_one(probe, focus)[0], probe)
        aperture = float(probe.aperture_mm) * float(probe.face_cosines().max())
        axial /= axial_width_mm(wavelength, float(probe.fractional_bandwidth))
        lateral /= focal_width_mm(wavelength, focus, aperture)
        rows.append(f"| {name} | {axial:.3f} | {lateral:.3f} |")
    return rows


def model_width_mm(
    sigma_mm: Callable[[Probe, torch.Tensor], torch.Tensor], probe: Probe, depth_mm: float
) -> float:
    """-6 dB width of a Gaussian profile of the product."""
    return HALF_AMPLITUDE * float(sigma_mm(probe, torch.tensor([depth_mm], dtype=torch.float64)))


def lateral_rows() -> list[str]:
    """The product's lateral widths over those of the simulated arrays."""
    rows = _heading("probe | window | receive | steered")
    for (name, base), dynamic, window, steering in product(
        ARRAYS.items(), (True, False), APODIZATIONS, STEERING_DEG
    ):
        options = {"apodization": window, "dynamic_receive": dynamic, "steering_deg": steering}
        probe = base.with_options(**options)
        array = LinearArray.of(probe)
        ratios = []
        for share in SHARES:
            depth = share * float(probe.focus_mm)
            ours = model_width_mm(lateral_sigma_mm, probe, depth)
            ratios.append(ours / array.lateral_width_mm(depth, ours))
        receive = "dynamic" if dynamic else "fixed"
        rows.append(_row(f"{name} | {window} | {receive} | {steering:.0f}", ratios))
    return rows


def elevation_rows() -> list[str]:
    """The product's slice widths over those of a lens: an aperture as high as the elements, fixed focus."""
    rows = _heading("lens")
    for frequency, lens, height in ((6.0, 40.0, 7.0), (4.0, 60.0, 10.0), (9.0, 20.0, 4.0)):
        probe = LinearProbe(frequency_mhz=frequency, elevation_focus_mm=lens, elevation_aperture_mm=height)
        array = LinearArray(frequency, float(probe.fractional_bandwidth), height, lens, dynamic_receive=False)
        ratios = []
        for share in SHARES:
            ours = model_width_mm(elevation_sigma_mm, probe, share * lens)
            ratios.append(ours / array.lateral_width_mm(share * lens, ours))
        rows.append(_row(f"{frequency:g} MHz, {height:g} mm high, focus {lens:g} mm", ratios))
    return rows


def _heading(first: str) -> list[str]:
    columns = f"| {first} | " + " | ".join(f"{share:g}" for share in SHARES) + " | off |"
    return [columns, "|" + "---|" * (columns.count("|") - 1)]


def _row(first: str, ratios: list[float]) -> str:
    within = sum(abs(ratio - 1) > 0.15 for ratio in ratios)
    return f"| {first} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + f" | {within} |"


def main() -> None:
    """Measure, print, and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    out = parser.parse_args().out
    sections = [
        ("One scatterer on the image, at the focus, over the textbook's widths", image_rows()),
        ("Lateral widths over those of a simulated array, by depth over focus", lateral_rows()),
        ("Slice widths over those of a simulated lens, by depth over the lens's focus", elevation_rows()),
    ]
    lines = ["# Point targets", "", "Written by `benchmarks/point_targets.py`: ratios of -6 dB widths."]
    lines += [
        "The arrays are summed over elements and frequencies, in `tests/oracles/array_field.py`.",
        "Column *off* counts the depths that are more than 15 % off.",
    ]
    for title, rows in sections:
        lines += ["", f"## {title}", "", *rows]
    text = "\n".join(lines) + "\n"
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "point_targets.md", text)


if __name__ == "__main__":
    main()
