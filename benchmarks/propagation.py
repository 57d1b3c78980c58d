"""Speed of `diffus.propagation`, every figure a ratio within one run on two CPU threads.

    python benchmarks/propagation.py [--out benchmarks/results]

Ratios are medians over rounds in which both sides take turns, so that a machine that is busy or slows down
does so for both; the share of peak is that of the best round of each. Writes ``propagation.md``.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.oracles.media import random_medium  # noqa: E402
from tests.oracles.published_dense import published_echoes, published_solution  # noqa: E402

from diffus.files import write_text  # noqa: E402
from diffus.propagation import echoes  # noqa: E402
from diffus.propagation._numba import compiled  # noqa: E402
from diffus.propagation._simd import LINE_BYTES, add_product, load, store  # noqa: E402

THREADS = 2
FLOPS_A_CELL = 6
"""Three fused multiply-adds; the plain form of the rotation, four products and two sums, counts the same."""
CHAINS = 10


def seconds(work: Callable[[], object], repeats: int = 1) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def ratio(slow: Callable[[], object], fast: Callable[[], object], rounds: int, repeats: int = 1) -> float:
    """How many times longer ``slow`` takes: the median over rounds in which both take turns."""
    slow()
    fast()
    return median(seconds(slow) / seconds(fast, repeats) for _ in range(rounds))


def growth(model: str, n_lines: int) -> float:
    """Exponent of N in the time, fitted over 128 ... 2,048; at each N the best of several rounds."""
    sizes = [128, 256, 512, 1024, 2048]
    media = {n: medium(n_lines, n) for n in sizes}
    best = dict.fromkeys(sizes, math.inf)
    for _ in range(7):
        for n, impedance in media.items():
            spent = seconds(lambda z=impedance: echoes(z, model=model), repeats=1 + 2048 // n)
            best[n] = min(best[n], spent)
    return float(np.polyfit(np.log(sizes), np.log([best[n] for n in sizes]), 1)[0])


def medium(n_lines: int, n_interfaces: int) -> Tensor:
    """Tissue with contrasts up to 5 %, float32."""
    return random_medium(n_interfaces, 0.05, (n_lines,), torch.float32)


def forward(impedance: Tensor, backend: str) -> Callable[[], object]:
    """Echoes alone."""
    return lambda: echoes(impedance, backend=backend)


def forward_and_backward(impedance: Tensor, backend: str) -> Callable[[], object]:
    """Echoes and the gradient to the impedance of a weighted sum over them."""
    tracked = impedance.clone().requires_grad_()
    weights = torch.randn(impedance.shape[0], impedance.shape[1] - 1)

    def work() -> object:
        return torch.autograd.grad(echoes(tracked, backend=backend), tracked, weights)

    return work


@compiled
def multiply_add(numbers, rounds):
    """Ten chains of fused multiply-adds that never leave the registers: what the machine can do."""
    a, b = load(numbers, 0), load(numbers, 1)
    c0, c1, c2, c3, c4 = (
        load(numbers, 2),
        load(numbers, 3),
        load(numbers, 4),
        load(numbers, 5),
        load(numbers, 6),
    )
    c5, c6, c7, c8, c9 = (
        load(numbers, 7),
        load(numbers, 8),
        load(numbers, 9),
        load(numbers, 10),
        load(numbers, 11),
    )
    for _ in range(rounds):
        c0, c1 = add_product(a, c0, b), add_product(a, c1, b)
        c2, c3 = add_product(a, c2, b), add_product(a, c3, b)
        c4, c5 = add_product(a, c4, b), add_product(a, c5, b)
        c6, c7 = add_product(a, c6, b), add_product(a, c7, b)
        c8, c9 = add_product(a, c8, b), add_product(a, c9, b)
    store(numbers, 2, c0)
    store(numbers, 3, c1)
    store(numbers, 4, c2)
    store(numbers, 5, c3)
    store(numbers, 6, c4)
    store(numbers, 7, c5)
    store(numbers, 8, c6)
    store(numbers, 9, c7)
    store(numbers, 10, c8)
    store(numbers, 11, c9)


def share_of_peak(n_lines: int, n: int, rounds: int = 31) -> float:
    """Counted flops of the lattice a second over those of the loop above, both on all threads."""
    impedance, loop_rounds = medium(n_lines, n), 1_000_000
    lanes = LINE_BYTES // 4
    numbers = [np.full(12 * lanes, 1e-3, dtype=np.float32) for _ in range(THREADS)]
    pool = ThreadPoolExecutor(THREADS)

    def peak() -> None:
        list(pool.map(lambda mine: multiply_add(mine, loop_rounds), numbers))

    cells = n_lines * sum(min(n, n - t) for t in range(n))
    loop_flops = THREADS * loop_rounds * CHAINS * lanes * 2
    lattice = forward(impedance, "numba")
    times = [(seconds(peak), seconds(lattice)) for _ in range(rounds)]
    best_peak, best_lattice = (min(column) for column in zip(*times, strict=True))
    return cells * FLOPS_A_CELL / loop_flops * best_peak / best_lattice


MEMORY = """
import ctypes, torch
from benchmarks.propagation import forward, forward_and_backward, medium
torch.set_num_threads({threads})
work = {{"forward": forward, "both": forward_and_backward}}[{which!r}]
work(medium(17, 20), "numba")()
run = work(medium(256, 2048), "numba")
ctypes.CDLL(None).malloc_trim(0)  # so that nothing freed before is used again unseen
open("/proc/self/clear_refs", "w").write("5")
status = lambda name: int(open("/proc/self/status").read().split(name + ":")[1].split()[0])
before = status("VmRSS")
run()
print(status("VmHWM") - before)
"""


def extra_memory_mb() -> float:
    """Peak memory of forward and backward over that of forward alone, each in a process of its own."""
    peaks = {}
    for which in ("forward", "both"):
        code = MEMORY.format(threads=THREADS, which=which)
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks[which] = int(run.stdout)
    return (peaks["both"] - peaks["forward"]) / 1024


def dense_ratio() -> float:
    """The paper's algorithm, a dense solve for each depth in float32, over the full response."""
    impedance = medium(64, 128)
    plain = impedance.numpy()

    def dense() -> object:
        return published_echoes(plain, lambda z: published_solution(z, np.float32))

    return ratio(dense, forward(impedance, "numba"), rounds=3, repeats=300)


def on_a_gpu() -> list[tuple[str, str, str, bool | None]]:
    """Triton on 4,096 scanlines x 512, where a GPU is at hand."""
    work = "Triton, 4,096 x 512, against the PyTorch reference on the same GPU"
    if not torch.cuda.is_available():
        return [(work, "reported", "no CUDA GPU at hand", None)]
    impedance = medium(4096, 512).cuda()

    def synchronised(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            work()
            torch.cuda.synchronize()

        return run

    fast, slow = (synchronised(forward(impedance, name)) for name in ("triton", "torch"))
    times = ratio(slow, fast, rounds=11)
    frames = 1 / median(seconds(fast) for _ in range(21))
    return [(work, "reported", f"{times:,.0f} times, {frames:,.0f} frames a second", None)]


def table() -> list[tuple[str, str, str, bool | None]]:
    """Work, target, what was reached, whether that is enough."""
    rows: list[tuple[str, str, str, bool | None]] = []

    def add(work: str, target: float, reached: float, form: str, *, least: bool) -> None:
        enough = reached >= target if least else reached <= target
        bound = ("at least " if least else "at most ") + form.format(target)
        rows.append((work, bound, form.format(reached), enough))
        print(*rows[-1], sep=" | ", flush=True)

    image = medium(256, 512)
    full, both = forward(image, "numba"), forward_and_backward(image, "numba")
    add("full, 64 x 128, Numba against the dense algorithm", 1e4, dense_ratio(), "{:,.0f} times", least=True)
    for model, n_lines, target in (("full", 256, 2.1), ("primary", 1024, 1.1), ("published", 256, 1.1)):
        add(f"growth of {model} with N", target, growth(model, n_lines), "exponent {:.2f}", least=False)
    against = ratio(forward(image, "torch"), full, rounds=9)
    add("full, 256 x 512, Numba against PyTorch, forward", 5, against, "{:.1f} times", least=True)
    against = ratio(forward_and_backward(image, "torch"), both, rounds=5)
    add("the same, forward and backward", 10, against, "{:.1f} times", least=True)
    add("share of peak, 256 x 512", 15, 100 * share_of_peak(256, 512), "{:.0f} %", least=True)
    add("share of peak, 256 x 2,048", 15, 100 * share_of_peak(256, 2048, rounds=7), "{:.0f} %", least=True)
    add(
        "forward and backward against forward, 256 x 512",
        3.2,
        ratio(both, full, 61),
        "{:.2f} times",
        least=False,
    )
    add("extra memory of the backward pass, 256 x 2,048", 32, extra_memory_mb(), "{:.1f} MB", least=False)
    return rows + on_a_gpu()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    out = parser.parse_args().out
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    lines = [
        "# Propagation: speed",
        "",
        f"Written by `benchmarks/propagation.py`: {THREADS} CPU threads, float32, ratios within one run.",
        "",
        "| work | must reach | reached | |",
        "|---|---|---|---|",
    ]
    verdict = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {work} | {bound} | {reached} | {verdict[ok]} |" for work, bound, reached, ok in table()]
    path = write_text(out / "propagation.md", "\n".join(lines) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
