"""Sampled speckle: by hand, on both backends, with gradients and with refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.imaging.speckle_scenes import IDENTITY, OBLIQUE, SMALL, level
from tests.support import as_users_run
from torch import Tensor

from diffus import LinearProbe, Probe
from diffus.imaging.beam import axial_sigma_mm, elevation_sigma_mm, lateral_sigma_mm
from diffus.imaging.point_spread import PointSpread
from diffus.imaging.scatterers import ScattererRows, scatterers_in
from diffus.imaging.speckle import developed_density, scattered_iq

SPARSE = 0.02
"""Scatterers per mm^3: a handful in a small fan."""


def textured(probe: Probe, dtype: torch.dtype = torch.float64) -> Tensor:
    """Power that varies over the image, with a shadow."""
    s = torch.arange(probe.n_scanlines, dtype=torch.float64)[:, None]
    k = torch.arange(probe.n_samples, dtype=torch.float64)
    power = 1 + 0.8 * torch.sin(1.1 * s) * torch.cos(0.4 * k)
    power[3:5, 20:] *= 1e-4
    return power[None].to(dtype)


# ---------------------------------------------------------------------------------------- by hand


def by_hand(probe: Probe, world_from_probe: Tensor, density: float, seed: int) -> np.ndarray:
    """The sum over scatterers, written out; level power of one."""
    side = density ** (-1 / 3)
    probe_from_world = torch.linalg.inv(world_from_probe)
    rows = ScattererRows.of(probe, PointSpread.of(probe), probe_from_world, side)
    places, turns = scatterers_in(torch.cat(list(rows.cells(100))), seed)
    x, y, z = (places * side @ probe_from_world[:3, :3].T + probe_from_world[:3, 3]).unbind(-1)
    line, depth = probe.scanline_coordinates(x, z)
    image = np.zeros((probe.n_scanlines, probe.n_samples), complex)
    sample_depths = probe.sample_depths_mm().numpy()
    lines = np.arange(probe.n_scanlines)[:, None]
    for s, d, h, t in zip(line, depth, y, turns, strict=True):
        if not 0 <= float(d) <= float(probe.depth_mm):
            continue
        here = d[None]
        sz = float(axial_sigma_mm(probe, here))
        sx, sy = float(lateral_sigma_mm(probe, here)), float(elevation_sigma_mm(probe, here))
        across = (lines - float(s)) * float(probe.lateral_spacing_mm(here))
        # The beam of a steered scanline is wider, as it sees its aperture shortened.
        cosines = probe.face_cosines().numpy()
        sx *= cosines.max() / np.interp(float(s), np.arange(len(cosines)), cosines)
        exponent = across**2 / sx**2 + float(h) ** 2 / sy**2 + (sample_depths - float(d)) ** 2 / sz**2
        strength = 1 / math.sqrt(density * math.pi**1.5 * sx * sy * sz)
        carrier = 2 * math.pi * (float(t) - 2 * float(probe.frequency_mhz) * float(d) / 1.54)
        image += strength * np.exp(-exponent / 2) * np.exp(1j * carrier)
    return image


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("kind", ["linear", "convex"])
def test_few_scatterers_by_hand(kind: str, backend: str) -> None:
    probe = SMALL[kind].with_options(n_samples=240)
    expected = by_hand(probe, OBLIQUE[0], SPARSE, seed=5)
    given = scattered_iq(
        level(probe, torch.float64), probe, OBLIQUE, seed=5, scatterers_per_mm3=SPARSE, backend=backend
    )[0]
    # Each is followed for 3.18 sigmas in the plane and 2.5 across: the rest is below 4.4 % of a peak.
    peak = np.abs(expected).max()
    assert peak > 1
    assert np.abs(given.numpy() - expected).max() < 0.05 * peak
    near = np.abs(expected) > 0.3 * peak
    assert np.median(np.abs(given.numpy() - expected)[near]) < 2e-3 * peak


# ---------------------------------------------------------------------------------- both backends


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-9)])
@pytest.mark.parametrize("at", [IDENTITY, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("kind", SMALL)
def test_kernel_agrees_with_the_reference(
    kind: str, at: Tensor, dtype: torch.dtype, tolerance: float
) -> None:
    probe = SMALL[kind]
    weight = torch.randn(1, probe.n_scanlines, probe.n_samples, dtype=dtype)
    results = {}
    for backend in ("torch", "numba"):
        power = textured(probe, dtype).requires_grad_()
        iq = scattered_iq(power, probe, at, seed=3, scatterers_per_mm3=4.0, backend=backend)
        (gradient,) = torch.autograd.grad((iq.real * weight + iq.imag * weight.flip(1)).sum(), power)
        results[backend] = (torch.view_as_real(iq.detach()), gradient)
    for one, other in zip(*results.values(), strict=True):
        assert other.dtype == dtype
        assert (one - other).abs().max() < tolerance * one.abs().max()


@pytest.mark.parametrize("kind", SMALL)
def test_same_bits_whatever_the_threads_and_the_batch(kind: str) -> None:
    probe = SMALL[kind]
    poses = torch.cat([IDENTITY, OBLIQUE, IDENTITY])
    power = textured(probe, torch.float32).expand(3, -1, -1)
    before = torch.get_num_threads()
    images = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            images.append(scattered_iq(power, probe, poses, seed=1))
    finally:
        torch.set_num_threads(before)
    whole = images[0]
    assert all(torch.equal(whole, image) for image in images)
    assert torch.equal(whole[0], whole[2])
    for number in range(3):
        alone = scattered_iq(power[number : number + 1], probe, poses[number : number + 1], seed=1)
        assert torch.equal(alone[0], whole[number])


def test_reference_gives_the_same_bits_for_a_pose_in_a_batch() -> None:
    probe, poses = SMALL["convex"], torch.cat([OBLIQUE, IDENTITY])
    whole = scattered_iq(level(probe, n_poses=2), probe, poses, scatterers_per_mm3=2.0, backend="torch")
    alone = scattered_iq(level(probe), probe, IDENTITY, scatterers_per_mm3=2.0, backend="torch")
    assert torch.equal(whole[1], alone[0])


def test_seeds_are_independent_tissues() -> None:
    probe = SMALL["linear"].with_options(n_scanlines=40, n_samples=300)
    one, other = (scattered_iq(level(probe), probe, IDENTITY, seed=seed)[0] for seed in (0, 1))
    coherence = (one * other.conj()).mean().abs() / (
        one.abs().square().mean() * other.abs().square().mean()
    ).sqrt()
    assert coherence < 0.15


# ------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(("kind", "backend"), [("radial", "torch"), *((kind, "numba") for kind in SMALL)])
def test_gradcheck_intensity_in_the_power(kind: str, backend: str) -> None:
    probe = SMALL[kind].with_options(n_scanlines=4, n_samples=7, depth_mm=2.4)
    power = textured(probe)[:, :4, :7].clone().requires_grad_()

    def intensity(power: Tensor) -> Tensor:
        iq = scattered_iq(power, probe, OBLIQUE, seed=2, scatterers_per_mm3=2.0, backend=backend)
        return iq.real**2 + iq.imag**2

    assert torch.autograd.gradcheck(intensity, (power,), atol=1e-7, rtol=1e-5)


FIELDS = (
    "frequency_mhz", "fractional_bandwidth", "focus_mm", "aperture_mm", "elevation_focus_mm",
    "elevation_aperture_mm", "speed_of_sound_m_s", "depth_mm",
)  # fmt: skip


@pytest.mark.parametrize("field", [*FIELDS, "radius_mm", "field_of_view_deg"])
def test_gradcheck_envelope_in_the_probe(field: str) -> None:
    probe = SMALL["convex"].with_options(n_scanlines=3, n_samples=6, depth_mm=2.0)
    value = torch.tensor(float(getattr(probe, field)), dtype=torch.float64, requires_grad=True)
    power = textured(probe)[:, :3, :6]

    def envelope(value: Tensor) -> Tensor:
        changed = probe.with_options(**{field: value})
        return scattered_iq(power, changed, IDENTITY, seed=4, scatterers_per_mm3=1.5).abs()

    assert torch.autograd.gradcheck(envelope, (value,), eps=1e-7, atol=1e-5, rtol=1e-4)
    assert torch.autograd.grad(envelope(value).sum(), value)[0].abs() > 0


def test_no_gradient_to_the_pose_and_finite_ones_where_nothing_scatters() -> None:
    probe = SMALL["linear"]
    at = OBLIQUE.clone().requires_grad_()
    power = torch.zeros(1, probe.n_scanlines, probe.n_samples, requires_grad=True)
    backscatter = torch.zeros_like(power).requires_grad_()
    iq = scattered_iq(power + backscatter**2, probe, at, seed=0)
    assert float(iq.detach().abs().max()) < 1e-9
    (gradient,) = torch.autograd.grad(iq.real.sum(), backscatter)
    assert torch.isfinite(gradient).all()
    assert not scattered_iq(level(probe), probe, at).requires_grad


def test_fields_may_be_tensors_without_gradients() -> None:
    probe = SMALL["convex"]
    tensors = probe.with_options(
        **{f: torch.tensor(float(getattr(probe, f))) for f in (*FIELDS, "radius_mm")}
    )
    one, other = (
        scattered_iq(level(p, torch.float64), p, OBLIQUE, backend="numba") for p in (probe, tensors)
    )
    # Single precision numbers: of 240 turns of the carrier some thousandths are lost.
    assert (one - other).abs().max() < 1e-3 * one.abs().max()


# -------------------------------------------------------------------------------------- refusals


@dataclass(frozen=True, kw_only=True)
class Bent(LinearProbe):
    """A probe of the user's own."""


def with_gradient() -> Probe:
    return SMALL["linear"].with_options(frequency_mhz=torch.tensor(4.0, requires_grad=True))


def own_probe() -> Probe:
    return Bent(width_mm=8.0, depth_mm=12.0, n_scanlines=12, n_samples=60)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: SMALL["linear"], {"scatterers_per_mm3": 0.0}, "scatterers_per_mm3 must be a finite"),
        (lambda: SMALL["linear"], {"scatterers_per_mm3": math.nan}, "scatterers_per_mm3 must be"),
        (lambda: SMALL["linear"], {"backend": "fast"}, "unknown backend 'fast'"),
        (lambda: SMALL["linear"].with_options(n_scanlines=1), {}, "at least 2 scanlines"),
        (with_gradient, {"backend": "numba"}, "gives no gradient to the probe, and frequency_mhz wants one"),
        (own_probe, {"backend": "numba"}, "does not know the scanlines of a Bent"),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Probe], options: dict[str, object], message: str) -> None:
    probe = make()
    with pytest.raises(ValueError, match=message):
        scattered_iq(level(probe), probe, IDENTITY, **options)


def test_refuses_a_power_of_another_probe_and_of_half_precision() -> None:
    probe = SMALL["linear"]
    with (
        as_users_run(),
        pytest.raises(ValueError, match=r"expected shape \(1, 12, 60\).*got \(1, 1, 12, 59\)"),
    ):
        scattered_iq(level(probe)[..., 1:], probe, IDENTITY)
    with pytest.raises(ValueError, match="float32 and float64, and the power is float16"):
        scattered_iq(level(probe, torch.float16), probe, IDENTITY, backend="numba")


def test_a_probe_of_ones_own_is_served_by_the_reference() -> None:
    own = own_probe()
    known = LinearProbe(width_mm=8.0, depth_mm=12.0, n_scanlines=12, n_samples=60)
    one, other = (
        scattered_iq(level(p, torch.float64), p, IDENTITY, scatterers_per_mm3=1.0) for p in (own, known)
    )
    assert torch.allclose(one, other, atol=1e-9)


def test_second_derivatives_are_the_references() -> None:
    probe = SMALL["linear"]
    power = level(probe, torch.float64).requires_grad_()
    for backend, fails in (("torch", False), ("numba", True)):
        iq = scattered_iq(power, probe, IDENTITY, scatterers_per_mm3=1.0, backend=backend)
        (first,) = torch.autograd.grad(iq.abs().sum(), power, create_graph=True)
        if fails:
            with pytest.raises(RuntimeError, match="backend='torch'"):
                torch.autograd.grad(first.square().sum(), power)
        else:
            assert torch.isfinite(torch.autograd.grad(first.square().sum(), power)[0]).all()


def test_default_density_follows_the_resolution_cell() -> None:
    probe = SMALL["linear"]
    slightly = probe.with_options(frequency_mhz=4.0001)
    assert developed_density(slightly) == developed_density(probe)
    focused = probe.with_options(
        focus_mm=6.0, aperture_mm=6.0, elevation_focus_mm=6.0, elevation_aperture_mm=6.0
    )
    twice = focused.with_options(frequency_mhz=8.0)
    # Wavelength to the third power in a focused cell.
    assert 5 < developed_density(twice) / developed_density(focused) < 12
