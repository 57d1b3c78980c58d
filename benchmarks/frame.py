"""What a frame costs: by stage, against the reference, in full dress, with its gradient; memory and import.

Times are medians over alternating runs, printed as milliseconds and as a ratio to a baseline measured in the
same run: `torch.nn.functional.grid_sample` of the same three maps at the same points, forward only.

    python benchmarks/frame.py [--quick]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

import diffus
from diffus.imaging.formation import expected_intensity, interface_amplitude, magnitude
from diffus.imaging.gain import compress
from diffus.render import VALUES_KEPT, echo_strengths, over_planes
from diffus.scanline_sampling import sample_scanline_medium, scanline_index

RESULTS = Path(__file__).parent / "results" / "frame.md"
SIZES = ((192, 512), (256, 256))


def median_ms(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median time of each function, run in turn so that drift of the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 2):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def stages(medium: diffus.Medium, probe: diffus.Probe, at: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Each stage alone on the results of the ones before, then the whole, then the baseline."""
    settings = diffus.RenderSettings()
    poses, sampled = at[None], settings.with_options(speckle="sampled")
    lines = sample_scanline_medium(medium, probe, poses)
    echo, power = echo_strengths(lines, probe, settings)
    assert power is not None
    mean_power = over_planes(power, lines)
    envelope = magnitude(expected_intensity(interface_amplitude(echo, probe), mean_power, probe))
    frame = diffus.render(medium, probe, at, settings)
    index = scanline_index(medium, probe, poses)
    # grid_sample wants (x, y, z) of the last, middle and first index, from -1 to 1.
    scale = 2 / (torch.tensor(medium.shape, dtype=index.dtype) - 1)
    points = (index * scale - 1).flip(-1).reshape(1, 1, *index.shape[2:])
    channels_first = medium.channels.permute(3, 0, 1, 2)[None].contiguous()

    def forward_backward() -> None:
        tangent = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        diffus.render(medium, probe, diffus.pose.perturb(at, tangent), settings).scanlines.sum().backward()

    return {
        "baseline: grid_sample": lambda: F.grid_sample(channels_first, points, align_corners=True),
        "sampling": lambda: sample_scanline_medium(medium, probe, poses),
        "propagation": lambda: echo_strengths(lines, probe, settings),
        "pulse and beam": lambda: expected_intensity(interface_amplitude(echo, probe), mean_power, probe),
        "TGC and compression": lambda: compress(envelope, probe, settings),
        "scan conversion to 512 x 512": lambda: frame.cartesian(shape=(512, 512)),
        "forward (without scan conversion)": lambda: diffus.render(medium, probe, at, settings),
        "forward + backward to the pose": forward_backward,
        "forward, sampled speckle": lambda: diffus.render(medium, probe, at, sampled),
    }


def frame_table(repeats: int) -> list[str]:
    """Rows for each size and number of threads."""
    medium, at = example()
    rows = ["| scanlines x samples | threads | stage | ms | ratio to baseline |", "|---|---|---|---|---|"]
    for n_scanlines, n_samples in SIZES:
        probe = diffus.preset("craniotomy").with_options(n_scanlines=n_scanlines, n_samples=n_samples)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            times = median_ms(stages(medium, probe, at), repeats)
            baseline = times["baseline: grid_sample"]
            rows += [
                f"| {n_scanlines} x {n_samples} | {threads} | {name} | {ms:.2f} | {ms / baseline:.2f} |"
                for name, ms in times.items()
            ]
    return rows


def against_the_reference(repeats: int) -> list[str]:
    """The frame of 256 x 256 with all internal reflections: forward, and with its gradient to the pose."""
    medium, at = example()
    probe = diffus.preset("craniotomy").with_options(n_scanlines=256, n_samples=256)
    torch.set_num_threads(2)

    def run(backend: str, gradient: bool) -> None:
        settings = diffus.RenderSettings(backend=backend)
        tangent = torch.zeros(6, dtype=torch.float64, requires_grad=gradient)
        shown = diffus.render(medium, probe, diffus.pose.perturb(at, tangent), settings).scanlines
        if gradient:
            shown.sum().backward()

    names = {
        "reference, forward": partial(run, "torch", False),
        "kernels, forward": partial(run, "auto", False),
        "kernels, forward + backward": partial(run, "auto", True),
    }
    times = median_ms(dict(names), max(3, repeats // 3))
    reference, forward, both = times.values()
    return [
        f"256 x 256, full propagation, two threads: reference {reference:.1f} ms, kernels {forward:.1f} ms, "
        f"**ratio {reference / forward:.1f}** (asked: 5 or more); forward + backward {both:.1f} ms, "
        f"**{both / forward:.2f} times forward** (asked: 3 or less)."
    ]


def full_dress(repeats: int) -> list[str]:
    """192 x 512 with five elevation planes, sampled speckle and a Cartesian image of 512 x 512."""
    medium, at = example()
    probe = diffus.preset("craniotomy").with_options(n_scanlines=192, n_samples=512)
    torch.set_num_threads(2)

    def run(planes: int, speckle: str) -> None:
        settings = diffus.RenderSettings(speckle=speckle)
        diffus.render(medium, probe.with_options(n_elevation=planes), at, settings).cartesian(
            shape=(512, 512)
        )

    kinds = [(planes, speckle) for speckle in ("expected", "sampled") for planes in (1, 5)]
    times = median_ms({f"{p} {s}": partial(run, p, s) for p, s in kinds}, repeats)
    rows = ["| speckle | elevation planes | ms | frames a second |", "|---|---|---|---|"]
    return rows + [
        f"| {s} | {p} | {times[f'{p} {s}']:.1f} | {1e3 / times[f'{p} {s}']:.1f} |" for p, s in kinds
    ]


def example() -> tuple[diffus.Medium, torch.Tensor]:
    """The embedded brain and a pose on it."""
    brain = diffus.datasets.example_brain()
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    return diffus.Medium.from_tissue_maps(brain), at


def batch_growth(repeats: int) -> list[str]:
    """Time against the number of poses: proportional at most."""
    medium, at = example()
    probe = diffus.preset("craniotomy").with_options(n_scanlines=128, n_samples=256)
    torch.set_num_threads(2)
    batches = (1, 2, 4, 8)
    poses = {b: at.repeat(b, 1, 1) for b in batches}
    functions: dict[str, Callable[[], object]] = {
        str(b): partial(diffus.render, medium, probe, poses[b]) for b in batches
    }
    times = median_ms(functions, repeats)
    rows = ["| poses | ms | ratio to one pose |", "|---|---|---|"]
    return rows + [f"| {b} | {times[str(b)]:.2f} | {times[str(b)] / times['1']:.2f} |" for b in batches]


MEMORY = """
import resource, sys
import torch
torch.set_num_threads(2)
import diffus
medium = diffus.Medium.from_mri(diffus.Volume.load(sys.argv[1]), "t1")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(peak, medium.channels.numel() * 4, *medium.shape)
"""
BATCH = """
import resource, sys
import torch
torch.set_num_threads(2)
import diffus
poses, cap = int(sys.argv[1]), float(sys.argv[2])
brain = diffus.datasets.example_brain()
medium = diffus.Medium.from_tissue_maps(brain)
at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
probe = diffus.preset("craniotomy")
settings = diffus.RenderSettings(max_memory_mb=cap or None)
def run(n):
    tangents = torch.zeros(n, 6, dtype=torch.float64, requires_grad=True)
    poses = diffus.pose.perturb(at.expand(n, 4, 4), tangents)
    diffus.render(medium, probe, poses, settings).scanlines.sum().backward()
run(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(poses)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
IMPORT = """
import time
import torch
start = time.perf_counter()
import diffus
print(time.perf_counter() - start)
"""


RETURNED = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""Makes the C library give freed memory back at once, so that peaks are those of the program."""


def _python(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | RETURNED,
    )
    return done.stdout.split()


def memory_rows() -> list[str]:
    """Peak memory of the whole way from the head's file to its medium, in a process of its own."""
    data = Path(__file__).parents[2] / "shared" / "data" / "mri" / "hanke_sub02_T1_0.7mm.nii.gz"
    if not data.is_file():
        return [f"Peak memory was not measured: {data.name} is not at hand."]
    peak, medium, *shape = (int(word) for word in _python(MEMORY, str(data)))
    over = (peak - medium) / 1e9
    return [
        f"Peak memory of a {' x '.join(map(str, shape))} head, file to medium, whole process: "
        f"{peak / 1e9:.2f} GB; the float32 medium is {medium / 1e9:.2f} GB of it, "
        f"the rest {over:.2f} GB (limit 1.00 GB): ratio to the medium {peak / medium:.2f}."
    ]


def batch_memory_rows() -> list[str]:
    """Peak memory of a batch with its gradient, and under a cap."""
    nodes = 192 * 513 * 2  # one elevation plane and the sum over planes
    peaks = {
        (poses, cap): int(_python(BATCH, str(poses), str(cap))[0])
        for poses, cap in ((12, 0), (24, 0), (48, 0), (48, 100))
    }
    rows = ["| poses, 192 x 512 | max_memory_mb | peak above one pose, MB |", "|---|---|---|"]
    rows += [f"| {poses} | {cap or 'none'} | {peak / 1e6:.0f} |" for (poses, cap), peak in peaks.items()]
    growth = (peaks[48, 0] - peaks[24, 0]) / 24 / nodes / 4
    return [*rows, "", f"Growth: {growth:.0f} float32 values a node (`VALUES_KEPT` takes {VALUES_KEPT})."]


def import_rows(repeats: int) -> list[str]:
    """Import time of diffus itself, after torch."""
    seconds = statistics.median(float(_python(IMPORT)[0]) for _ in range(repeats))
    return [f"Import of diffus after torch: {seconds * 1e3:.0f} ms (limit 500 ms)."]


def main() -> None:
    """Measure, print, and keep the table for the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions, results not written")
    quick = parser.parse_args().quick
    repeats = 3 if quick else 15
    # First of all: a child's peak begins at what its parent holds.
    memory = [*batch_memory_rows(), "", *memory_rows()]
    lines = [
        f"`python benchmarks/frame.py`, {torch.__version__}, {torch.get_num_threads()} threads at most.",
        "",
        *frame_table(repeats),
        "",
        *against_the_reference(repeats),
        "",
        *full_dress(repeats),
        "",
        *batch_growth(repeats),
        "",
        *memory,
        "",
        *import_rows(3 if quick else 5),
    ]
    print("\n".join(lines))
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
