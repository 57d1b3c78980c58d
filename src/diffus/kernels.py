"""CPU kernels: how they are compiled, and how their work is shared among threads.

Threads are plain Python threads around kernels that release the GIL, as many as PyTorch uses. Numba's own
would abort the process in a forked child (a data loader's worker) under OpenMP, and on concurrent calls under
its work queue.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile for the machine; keep the result on disk where Numba finds a folder it may write to."""
    from numba import njit

    try:
        return njit(nogil=True, error_model="numpy", boundscheck=False, cache=True)(function)
    except RuntimeError:  # "no locator available": neither the package's folder nor the user's can be written
        return njit(nogil=True, error_model="numpy", boundscheck=False)(function)


def run_shared(kernel: Callable[..., Any], n_items: int, *arguments: Any, alone: bool = False) -> None:
    """Run a kernel on all items, shared among threads; tensors are passed as arrays.

    Args:
        kernel: called as ``kernel(*arguments, (start, stop))`` for a half-open range of items. It must
            write to places that belong to its own items only.
        n_items: how many there are.
        *arguments: passed on.
        alone: use the calling thread only, where the work is too small to wake others.
    """
    arrays = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
    n_threads = 1 if alone else max(1, min(torch.get_num_threads(), n_items))
    bounds = [n_items * i // n_threads for i in range(n_threads + 1)]
    shares = list(pairwise(bounds))
    others = [_pool(os.getpid(), n_threads).submit(kernel, *arrays, share) for share in shares[1:]]
    kernel(*arrays, shares[0])
    for other in others:
        other.result()


@lru_cache(maxsize=4)
def _pool(_process: int, n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads - 1, thread_name_prefix="diffus")
