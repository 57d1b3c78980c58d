"""What any layered medium must obey, as properties."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.media import random_loss, random_medium

from diffus.propagation import echoes, reflection, transmission, two_way_transmission

BACKENDS = ("torch", "numba")
few = settings(max_examples=25, deadline=None, derandomize=True)
sizes = st.integers(1, 40)
contrasts = st.floats(0.01, 0.95)
seeds = st.integers(0, 10**6)


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(sizes, contrasts, seeds, st.floats(0.2, 1.0))
def test_energy_out_never_exceeds_energy_in(backend, n, strongest, seed, least):
    impedance = random_medium(n, strongest, seed=seed)
    for loss in (None, random_loss(n, least, seed=seed)):
        energy = echoes(impedance, n_times=4 * n + 8, loss=loss, backend=backend).square().cumsum(0)
        assert float(energy[-1]) <= 1 + 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(st.integers(1, 12), st.floats(0.01, 0.5), seeds)
def test_all_energy_returns_from_a_lossless_medium_closed_below(backend, n, strongest, seed):
    medium = random_medium(n, strongest, seed=seed)
    vacuum = medium[-1:] * 1e-14
    energy = echoes(torch.cat([medium, vacuum]), n_times=2500, backend=backend).square().sum()
    assert float(energy) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(sizes, contrasts, seeds, st.floats(1e-20, 1e20))
def test_only_ratios_of_impedance_count(backend, n, strongest, seed, scale):
    impedance = random_medium(n, strongest, seed=seed)
    for model in ("primary", "full", "published"):
        one = echoes(impedance, model=model, backend=backend)
        other = echoes(impedance * scale, model=model, backend=backend)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * float(one.abs().max()))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("model", ["primary", "full", "published"])
def test_a_uniform_medium_is_silent(model, backend):
    impedance = torch.full((3, 50), 1.617)
    assert not echoes(impedance, model=model, loss=0.9, face_reflection=0.5, backend=backend).any()


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(st.integers(1, 20), st.floats(0.01, 0.6), seeds)
def test_sum_over_time_is_the_limit_of_zero_frequency(backend, n, strongest, seed):
    impedance = random_medium(n, strongest, seed=seed)
    first, last = float(impedance[0]), float(impedance[-1])
    total = float(echoes(impedance, n_times=3000, backend=backend).sum())
    assert total == pytest.approx((last - first) / (last + first), abs=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(st.integers(1, 12), st.floats(0.05, 0.6), seeds)
def test_reciprocity(backend, n, strongest, seed):
    """From both ends a lossless stack reflects the same share of every frequency: equal autocorrelations."""
    impedance = random_medium(n, strongest, seed=seed)
    both = echoes(torch.stack([impedance, impedance.flip(0)]), n_times=2048, backend=backend)
    power = torch.fft.rfft(both, n=4096).abs() ** 2
    torch.testing.assert_close(power[0], power[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weak_contrast_leaves_primaries_to_third_order(backend):
    """Twice the contrast is eight times the difference."""
    differences = []
    for strongest in (0.005, 0.01, 0.02):
        impedance = random_medium(60, strongest, seed=3)
        both = [echoes(impedance, model=model, backend=backend) for model in ("full", "primary")]
        differences.append(float((both[0] - both[1]).norm()))
    ratios = [after / before for before, after in pairwise(differences)]
    assert ratios == pytest.approx([8, 8], rel=0.02)


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(sizes, st.floats(0.01, 0.9), seeds, st.floats(0.3, 1.0))
def test_one_loss_everywhere_damps_by_time(backend, n, strongest, seed, loss):
    """Every echo of time t has made t + 1 round trips through one layer, however it went."""
    impedance = random_medium(n, strongest, seed=seed)
    damped = echoes(impedance, loss=loss, face_reflection=0.4, backend=backend)
    plain = echoes(impedance, face_reflection=0.4, backend=backend)
    times = torch.arange(1, n + 1, dtype=torch.float64)
    torch.testing.assert_close(damped, plain * loss ** (2 * times), rtol=1e-9, atol=1e-13)


@few
@given(sizes, contrasts, seeds)
def test_echoes_do_not_look_deeper_than_their_time(n, strongest, seed):
    impedance = random_medium(n + 5, strongest, seed=seed)
    shallow = echoes(impedance[: n + 1])
    torch.testing.assert_close(shallow, echoes(impedance, n_times=n), rtol=0, atol=1e-13)


def test_primary_formula_by_hand():
    impedance = torch.tensor([1.0, 2.0, 1.5, 6.0], dtype=torch.float64)
    r = [1 / 3, -1 / 7, 3 / 5]
    through = [1, 1 - r[0] ** 2, (1 - r[0] ** 2) * (1 - r[1] ** 2)]
    loss = torch.tensor([0.9, 0.8, 0.5], dtype=torch.float64)
    left = [0.9**2, (0.9 * 0.8) ** 2, (0.9 * 0.8 * 0.5) ** 2]
    expected = [a * b * c for a, b, c in zip(r, through, left, strict=True)]
    got = echoes(impedance, model="primary", loss=loss, n_times=5)
    assert got.tolist() == pytest.approx([*expected, 0, 0], abs=1e-15)
    assert two_way_transmission(impedance).tolist() == pytest.approx(through, abs=1e-15)
    assert reflection(impedance).tolist() == pytest.approx(r, abs=1e-15)
    assert (reflection(impedance) ** 2 + transmission(impedance) ** 2).tolist() == pytest.approx([1] * 3)


def test_two_way_transmission_keeps_its_digits_behind_air():
    impedance = torch.tensor([1.6, 0.0004, 1.6], dtype=torch.float32)
    exact = 4 * 1.6 * 0.0004 / (1.6 + 0.0004) ** 2
    assert float(two_way_transmission(impedance)[1]) == pytest.approx(exact, rel=1e-6)
