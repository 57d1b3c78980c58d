"""The threads that work beside the event loop."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import torch


def worker(name: str) -> ThreadPoolExecutor:
    """One thread that takes its work in order, and shares it among half of the cores at most.

    The other half is for the browser and for a registration beside live rendering. Two threads that both want
    all cores wait for each other at every step; on two cores one thread renders as fast as two
    (benchmarks/frame.py).

    Args:
        name: of the thread.
    """
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=_take_half)


def _take_half() -> None:
    torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // 2)))
