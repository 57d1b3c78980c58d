"""The live viewer over loopback: from a request to its pixels at the client, updates a second, memory.

The server runs in a process of its own, as `diffus view` does, with the example brain and a sector of
192 x 512; the client here moves the probe. Latencies are printed beside the time of the same picture made
without a server (`diffus.render`, scan conversion and grey levels) in a thread like the server's, measured in
turn with them, and as the ratio of the two.

    python benchmarks/viewer.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from websockets.sync.client import ClientConnection, connect

import diffus
from diffus.viewer import RealVolume, ViewerScene, ViewerServer
from diffus.viewer.pictures import rendered_picture, unpacked
from diffus.viewer.requests import view_of
from diffus.viewer.threads import worker

RESULTS = Path(__file__).parent / "results" / "viewer.md"
HAND_S = 1 / 120
"""Between two events of a mouse that is being dragged."""
LEAST_UPDATES = 15
WARM_UP = 10


def example(with_real: bool = False) -> ViewerScene:
    """The embedded brain, and its T1 in place of a real ultrasound volume."""
    brain = diffus.datasets.example_brain()
    assert brain.image is not None
    at = diffus.on_surface(brain.mask, (0.0, -15.0, 15.0), "left")
    probe = diffus.preset("craniotomy").with_options(n_scanlines=192, n_samples=512)
    real = RealVolume(brain.image) if with_real else None
    return ViewerScene(brain.image, diffus.Medium.from_tissue_maps(brain), probe, at, ultrasound=real)


def serve(pipe: Connection, with_real: bool) -> None:
    """The server's process: says where it is, and ends when told to."""
    with tempfile.TemporaryDirectory() as out, ViewerServer(example(with_real), out, port=0) as server:
        pipe.send((server.port, server.token))
        pipe.recv()


@contextmanager
def connected(with_real: bool = False) -> Iterator[tuple[ClientConnection, int]]:
    """A live connection to a server in another process, and the number of that process."""
    context = mp.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there, with_real))
    process.start()
    try:
        port, token = here.recv()
        address = f"ws://127.0.0.1:{port}/live?token={token}"
        with connect(address, max_size=None, compression=None, proxy=None) as live:
            assert process.pid is not None
            yield live, process.pid
    finally:
        here.send("end")
        process.join(20)


def request(scene: ViewerScene, number: int) -> str:
    """A probe that slides and turns, never twice at one place."""
    tangent = torch.tensor([0.02 * (number % 300), 0.01, 0.0, 0.01 * (number % 500), 0.0, 0.0])
    at = diffus.pose.perturb(scene.world_from_probe, tangent.double())
    return json.dumps({"type": "render", "id": number, "pose": at.flatten().tolist()})


def pixels(live: ClientConnection) -> int:
    """The number of the next rendered picture."""
    while True:
        received = live.recv(timeout=30)
        assert isinstance(received, bytes), received
        header, _ = unpacked(received)
        if header["type"] == "frame":
            return header["id"]


def latencies(live: ClientConnection, scene: ViewerScene, repeats: int) -> tuple[list[float], list[float]]:
    """Milliseconds from request to pixels, and of the same picture without a server, in turn."""
    over_loopback, bare = [], []
    with worker("bare") as alone:
        for number in range(repeats + WARM_UP):
            text = request(scene, number)
            over_loopback.append(milliseconds(lambda text=text: answered(live, text)))
            bare.append(alone.submit(milliseconds, partial(bare_picture, scene, text)).result())
    return over_loopback[WARM_UP:], bare[WARM_UP:]


def answered(live: ClientConnection, text: str) -> int:
    """Ask, and wait for the pixels."""
    live.send(text)
    return pixels(live)


def bare_picture(scene: ViewerScene, text: str) -> None:
    """What the server makes of a request, without the server."""
    rendered_picture(scene, view_of(json.loads(text), scene))


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def dragged(live: ClientConnection, scene: ViewerScene, seconds: float) -> tuple[float, list[float], float]:
    """Updates a second under a hand that moves all the time, their ages in ms, and the share left out."""
    texts = [request(scene, number) for number in range(int(seconds / HAND_S))]
    sent = [0.0] * len(texts)

    def move() -> None:
        begin = time.perf_counter()
        for number, text in enumerate(texts):
            time.sleep(max(0.0, begin + number * HAND_S - time.perf_counter()))
            sent[number] = time.perf_counter()
            live.send(text)

    hand = threading.Thread(target=move)
    began = time.perf_counter()
    hand.start()
    ages, found = [], -1
    while found != len(texts) - 1:
        found = pixels(live)
        ages.append((time.perf_counter() - sent[found]) * 1e3)
    took = time.perf_counter() - began
    hand.join()
    return len(ages) / took, ages, 1 - len(ages) / len(texts)


def resident_mb(process: int) -> float:
    """Resident memory of a process, from Linux's own account."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS: this benchmark reads memory as Linux tells it")


def worked_ms(process: int) -> float:
    """Processor time of a process so far, which other programs on the machine do not lengthen."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e3


def long_use(
    live: ClientConnection, scene: ViewerScene, process: int, updates: int
) -> tuple[float, float, float]:
    """Many updates, one after another: resident memory of the server before and after, its work for each."""
    for number in range(200):
        answered(live, request(scene, number))
    before, worked = resident_mb(process), worked_ms(process)
    for number in range(updates):
        answered(live, request(scene, number))
    return before, resident_mb(process), (worked_ms(process) - worked) / updates


def percentile_95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def table(quick: bool) -> list[str]:
    """Everything that is measured, as lines of Markdown."""
    scene = example()
    repeats, seconds, updates = (30, 2.0, 200) if quick else (100, 5.0, 2000)
    rows = [
        "| | request to pixels, ms: median | 95th percentile | bare, ms: median | 95th percentile | ratio |",
        "|---|---|---|---|---|---|",
    ]
    more = []
    for name, with_real in (("rendered alone", False), ("with the slice of a real volume", True)):
        with connected(with_real) as (live, process):
            there, bare = latencies(live, scene, repeats)
            rate, ages, left_out = dragged(live, scene, seconds)
            rows.append(
                f"| {name} | {statistics.median(there):.1f} | {percentile_95(there):.1f} "
                f"| {statistics.median(bare):.1f} | {percentile_95(bare):.1f} "
                f"| {statistics.median(there) / statistics.median(bare):.2f} |"
            )
            more.append(
                f"* {name}, dragged at {1 / HAND_S:.0f} events a second: **{rate:.1f} updates a second** "
                f"(asked: {LEAST_UPDATES} or more), {rate * statistics.median(bare) / 1e3:.2f} of what bare "
                f"pictures one after another would give; age of a picture as it arrives "
                f"{statistics.median(ages):.0f} ms, 95th percentile {percentile_95(ages):.0f} ms; "
                f"{left_out:.0%} of the requests were passed over."
            )
            before, after, work = long_use(live, scene, process, updates)
            more.append(
                f"* {name}, {updates} updates: memory of the server {before:.0f} to {after:.0f} MB, "
                f"{after - before:+.1f} MB, ratio {after / before:.3f}; {work:.1f} ms of a core's work "
                f"for each ({work / statistics.median(bare):.2f} of the bare time), "
                f"{1e3 / work:.0f} a second at most."
            )
    return [*rows, "", *more]


def main() -> None:
    """Measure, print, and keep the table for the docs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions, results not written")
    quick = parser.parse_args().quick
    before = os.getloadavg()[0]
    measured = table(quick)
    lines = [
        f"`python benchmarks/viewer.py`, {torch.__version__}, {os.cpu_count()} cores, of which the renderer "
        f"takes half; load of the machine {before:.1f} before and {os.getloadavg()[0]:.1f} after.",
        "",
        *measured,
    ]
    print("\n".join(lines))
    if not quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
