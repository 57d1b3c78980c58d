"""The kernels' exponential against that of the C library."""

from __future__ import annotations

import math

import numpy as np
import pytest

from diffus.kernels import compiled


@pytest.fixture(scope="module")
def exponentials():
    from diffus.imaging._numba_exponential import exponential

    @compiled
    def kernel(x, out):
        for k in range(len(x)):
            out[k] = exponential(x[k])

    return kernel


def test_it_is_right_to_the_last_digit_but_one(exponentials) -> None:
    x = np.concatenate([-np.logspace(-20, 2.85, 4001), np.linspace(-2.0, 700.0, 4001), [0.0]])
    found = np.empty_like(x)
    exponentials(x, found)
    expected = np.array([math.exp(value) for value in x])
    assert np.abs(found / expected - 1).max() < 5e-16
    assert found[-1] == 1.0


def test_nothing_is_left_far_down(exponentials) -> None:
    x = np.array([-709.0, -1e9, -math.inf])
    found = np.ones_like(x)
    exponentials(x, found)
    assert found.tolist() == [0.0, 0.0, 0.0]


def test_a_number_has_the_same_bits_alone_and_among_others(exponentials) -> None:
    x = np.linspace(-40.0, 0.0, 101)
    together, alone = np.empty_like(x), np.empty_like(x)
    exponentials(x, together)
    for k in range(len(x)):
        exponentials(x[k : k + 1], alone[k : k + 1])
    assert np.array_equal(together, alone)
