"""The published system: in O(N) it is what the paper's dense solves give, and what that is."""

from __future__ import annotations

import pytest
import torch
from tests.oracles import published_dense as dense
from tests.oracles.media import random_medium, relative_error

from diffus.propagation import echoes

AIR_AND_BONE = [1.6, 0.0004, 1.6, 7.8]


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("strongest", [0.02, 0.3])
@pytest.mark.parametrize("n_interfaces", [1, 2, 17, 40])
def test_linear_time_is_the_dense_solution(n_interfaces, strongest, backend):
    impedance = random_medium(n_interfaces, strongest, (3,))
    expected = dense.published_echoes(impedance.numpy())
    got = echoes(impedance, model="published", backend=backend)
    assert relative_error(got, expected) < 1e-10
    single = echoes(impedance.float(), model="published", backend=backend)
    assert relative_error(single, expected) < 1e-5


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_worked_example_of_the_paper(backend):
    waves = dense.published_solution([1.0, 2.0, 1.5])
    assert waves.tolist() == pytest.approx([1, 0.2121, 1.2727, -0.1818, 1.0909, 0], abs=1e-4)
    got = echoes(torch.tensor([1.0, 2.0, 1.5], dtype=torch.float64), model="published", backend=backend)
    assert got.tolist() == pytest.approx([1 / 3, waves[1]], abs=1e-14)


def test_the_right_sign_gives_an_impedance_map():
    """With -r from below all multiples cancel at zero frequency, and (Z_i - Z_0) / (Z_i + Z_0) is left."""
    assert dense.physical_solution([1.0, 2.0, 1.5]).tolist() == pytest.approx([1, 0.2, 1.4, -0.2, 1.2, 0])
    impedance = random_medium(30, 0.5).numpy()
    collapsed = (impedance[1:] - impedance[0]) / (impedance[1:] + impedance[0])
    assert dense.published_echoes(impedance, dense.physical_solution) == pytest.approx(collapsed, abs=1e-12)


def test_air_and_bone():
    published = echoes(torch.tensor(AIR_AND_BONE, dtype=torch.float64), model="published")
    assert float(published[-1]) == pytest.approx(-0.999, abs=1e-4)
    assert dense.published_echoes(AIR_AND_BONE, dense.physical_solution)[-1] == pytest.approx(0.660, abs=1e-3)


def test_loss_multiplies_the_finished_answer():
    impedance = random_medium(4, 0.2)
    loss = torch.tensor([0.9, 0.8, 0.7, 0.6], dtype=torch.float64)
    plain = echoes(impedance, model="published")
    lossy = echoes(impedance, model="published", loss=loss)
    torch.testing.assert_close(lossy, plain * (loss**2).cumprod(0))
