"""The full response against three oracles, each with its own physics.

Errors are relative to the strongest echo of the scanline: an echo train spans many orders of magnitude, and
what counts is the noise floor beside its strongest echo.
"""

from __future__ import annotations

import pytest
import torch
from tests.oracles import layered as oracle
from tests.oracles.media import random_loss, random_medium, relative_error

from diffus.propagation import echoes

BACKENDS = ("torch", "numba")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
SIZES = ((1, 1), (1, 9), (2, 5), (3, 3), (7, 20), (8, 8), (40, 17), (40, 40), (129, 129), (300, 300))
"""Interfaces and times: fewer, as many and more times than interfaces, around the kernels' 4 and 8."""

LOSSY = [
    (*size, least, face)
    for size in ((1, 6), (5, 12), (33, 40))
    for least in (None, 0.97, 0.3)
    for face in (0.0, 0.6, -0.9)
]
LOSSY.append((300, 300, 0.97, -0.9))
"""Interfaces, times, least loss of a layer, face reflection; one large case, the oracle being slow."""


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request):
    return request.param


@pytest.mark.parametrize("strongest", [0.05, 0.5, 0.95])
@pytest.mark.parametrize(("n_interfaces", "n_times"), SIZES)
def test_finite_differences_at_the_magic_step(n_interfaces, n_times, strongest, backend, dtype):
    impedance = random_medium(n_interfaces, strongest, dtype=dtype, seed=n_interfaces + n_times)
    expected = oracle.finite_differences(impedance.double().numpy(), n_times)
    got = echoes(impedance, n_times=n_times, backend=backend)
    assert relative_error(got, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize(("n_interfaces", "n_times", "least", "face"), LOSSY)
def test_boundary_conditions_at_each_frequency(n_interfaces, n_times, least, face, backend):
    impedance = random_medium(n_interfaces, 0.95, seed=n_interfaces)
    loss = None if least is None else random_loss(n_interfaces, least)
    expected = oracle.frequency_domain(
        impedance.numpy(), n_times, None if loss is None else loss.numpy(), face
    )
    got = echoes(impedance, n_times=n_times, loss=loss, face_reflection=face, backend=backend)
    assert relative_error(got, expected) < 1e-10
    single = echoes(
        impedance.float(),
        n_times=n_times,
        loss=None if loss is None else loss.float(),
        face_reflection=face,
        backend=backend,
    )
    assert relative_error(single, expected) < 1e-5


def test_the_oracles_agree_with_each_other():
    impedance = random_medium(25, 0.95).numpy()
    expected = oracle.finite_differences(impedance, 60)
    assert relative_error(oracle.frequency_domain(impedance, 60), expected) < 1e-12


@pytest.mark.parametrize("thickness", [1, 4, 9])
def test_slab_is_the_series_of_its_multiples(thickness, backend, dtype):
    skull, brain, water = 5.369, 1.617, 1.473
    impedance = torch.tensor([water] + [skull] * thickness + [brain] * 3, dtype=dtype)
    expected = oracle.slab(water, skull, brain, thickness, 60)
    got = echoes(impedance, n_times=60, backend=backend)
    assert relative_error(got, expected) < TOLERANCE[dtype]


def test_reverberation_between_face_and_air(backend, dtype):
    """Water, then air: a ladder of echoes at multiples of the depth, each times face and air's reflection."""
    depth, face = 5, 0.5
    impedance = torch.tensor([1.473] * depth + [0.0004], dtype=dtype)
    r = (0.0004 - 1.473) / (0.0004 + 1.473)
    expected = torch.zeros(31, dtype=torch.float64)
    for bounce in range(6):
        expected[(bounce + 1) * depth - 1] = r * (face * r) ** bounce
    got = echoes(impedance, n_times=31, face_reflection=face, backend=backend)
    assert relative_error(got, expected) < TOLERANCE[dtype]


def test_two_interfaces_and_a_matched_end(backend, dtype):
    impedance = torch.tensor([1.0, 2.0, 2.0, 1.0, 1.0, 1.0], dtype=dtype)
    first, second = 1 / 3, -1 / 3
    through = 1 - first**2
    expected = torch.tensor(
        [first, 0, through * second, 0, -through * second**2 * first], dtype=torch.float64
    )
    assert relative_error(echoes(impedance, backend=backend), expected) < TOLERANCE[dtype]


def test_bone_and_air_in_single_precision(backend):
    """The echo of bone behind air is 60 dB under that of the air.

    The reference, which takes transmission from the impedances, keeps five digits of it. The kernels' lifting
    steps round at 1e-7 of the wave that meets the air: 80 dB under that echo still.
    """
    impedance = torch.tensor([1.6, 0.0004, 0.0004, 7.8, 1.6], dtype=torch.float64)
    expected = oracle.finite_differences(impedance.numpy(), 4)
    got = echoes(impedance.float(), backend=backend).double().numpy()
    assert abs(got - expected).max() < 1e-7
    if backend == "torch":
        assert abs(got[2] / expected[2] - 1) < 1e-6
