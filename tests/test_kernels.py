"""How kernels are compiled and shared among threads."""

from __future__ import annotations

import numba
import pytest
import torch

from diffus.kernels import compiled, run_shared


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def without_cache(**options: object):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", without_cache)
    assert compiled(abs) is abs
    assert ["cache" in options for options in asked] == [True, False]
    assert all(options["nogil"] for options in asked)


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7])
def test_every_item_is_done_once(n_items: int, alone: bool) -> None:
    counts = torch.zeros(n_items)

    def kernel(array, items):
        array[items[0] : items[1]] += 1

    run_shared(kernel, n_items, counts, alone=alone)
    assert torch.equal(counts, torch.ones(n_items))


def test_an_error_in_another_thread_is_raised() -> None:
    def kernel(items):
        if items[1] == 4:
            raise ArithmeticError("in the last share")

    with pytest.raises(ArithmeticError, match="last share"):
        run_shared(kernel, 4)
