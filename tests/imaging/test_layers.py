"""Layers of scanlines: a slow sum written out, the kernel against the reference, and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.scenes import PROBES, STEERED
from torch import Tensor

from diffus import Probe, RenderSettings
from diffus.imaging.layers import Layers, layers
from diffus.scanline_sampling import ScanlineMedium, node_steps

EVERY_PROBE = PROBES | STEERED
POSES, NODES = 2, 13


def small(name: str, n_elevation: int = 3, n_scanlines: int = 5) -> Probe:
    return EVERY_PROBE[name].with_options(
        n_scanlines=n_scanlines, n_samples=NODES - 1, depth_mm=9.0, n_elevation=n_elevation
    )


def lines_of(probe: Probe, dtype: torch.dtype = torch.float64) -> ScanlineMedium:
    """A medium without any smoothness, and one step that a wave hardly crosses."""
    shape = (POSES, probe.n_elevation, probe.n_scanlines, probe.n_samples + 1)
    generator = torch.Generator().manual_seed(7)
    impedance, attenuation, backscatter = (
        scale * (1 + share * torch.rand(shape, generator=generator, dtype=torch.float64))
        for scale, share in ((1.5, 0.3), (0.4, 2.0), (0.01, 1.0))
    )
    impedance[0, 0, 0, 6:] *= 3.0
    weights = torch.full((probe.n_elevation,), 1 / probe.n_elevation, dtype=torch.float64)
    values = (impedance, attenuation, backscatter, weights, torch.ones(shape[0], shape[2]))
    return ScanlineMedium(*(v.to(dtype) for v in values))


def written_out(lines: ScanlineMedium, probe: Probe, settings: RenderSettings) -> tuple[np.ndarray, ...]:
    """One number after the other, from the formulas."""
    z, a, m = (t.numpy() for t in lines[:3])
    steps = node_steps(probe, lines.impedance)
    poses, planes, n_lines, nodes = z.shape
    follows, passes, power = z.copy(), a[..., :-1].copy(), a[..., :-1].copy()
    step_cm = probe.depth_mm / probe.n_samples / 10
    half = math.tan(math.radians(float(settings.specular_angle_deg or 0.0)))
    shear = 0.0 if steps.shear is None else float(steps.shear)

    def lateral(b: int, e: int, s: int, k: int) -> float:
        low, high = (s - 1, s + 1) if probe.wraps else (max(s - 1, 0), min(s + 1, n_lines - 1))
        if not probe.wraps and low == high:
            return 0.0
        apart = 2 if probe.wraps else high - low
        return (z[b, e, high % n_lines, k] - z[b, e, low % n_lines, k]) / apart / float(steps.lines_mm[k])

    def elevation(b: int, e: int, s: int, k: int) -> float:
        if steps.planes_mm is None:
            return 0.0
        slopes = [
            (z[b, p + 1, s, k] - z[b, p, s, k]) / float(steps.planes_mm[p + 1, k] - steps.planes_mm[p, k])
            for p in (e - 1, e)
            if 0 <= p < planes - 1
        ]
        return sum(slopes) / len(slopes)

    for b, e, s in np.ndindex(poses, planes, n_lines):
        left, arrived = 1.0, 1.0
        for k in range(nodes - 1):
            thickness = 0.5 if k == 0 else 1.0
            decibel = a[b, e, s, k] * probe.frequency_mhz**settings.attenuation_exponent * step_cm * thickness
            loss = 10 ** (-decibel / 20)
            above, below = z[b, e, s, k], z[b, e, s, k + 1]
            r = (below - above) / (below + above)
            along = (below - above) / (probe.depth_mm / probe.n_samples)
            sideways = (lateral(b, e, s, k) + lateral(b, e, s, k + 1)) / 2 - shear * along
            across = (elevation(b, e, s, k) + elevation(b, e, s, k + 1)) / 2
            weakened = r * 0.5 ** ((sideways**2 + across**2) / (along**2 + 1e-8) / half**2)
            follows[b, e, s, k + 1] = follows[b, e, s, k] * (1 + weakened) / (1 - weakened)
            passes[b, e, s, k] = loss * left
            left = math.sqrt((1 - r * r) / (1 - weakened * weakened))
            arrived *= loss**2
            power[b, e, s, k] = (m[b, e, s, k] ** 2 + m[b, e, s, k + 1] ** 2) / 2 * arrived**2
            arrived *= 1 - r * r
    return follows, passes, power


@pytest.mark.parametrize("n_elevation", [1, 2, 4])
@pytest.mark.parametrize("name", EVERY_PROBE)
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_layers_are_the_formulas_written_out(backend: str, name: str, n_elevation: int) -> None:
    probe = small(name, n_elevation)
    settings = RenderSettings(backend=backend, attenuation_exponent=1.2, specular_angle_deg=25.0)
    lines = lines_of(probe)
    for found, expected in zip(
        layers(lines, probe, settings), written_out(lines, probe, settings), strict=True
    ):
        assert found is not None
        assert np.allclose(found.numpy(), expected, rtol=1e-12, atol=0)


WEIGHTS = {0: 1.0, 1: 1.0, 2: 1e4}
"""Power is small; so that each result counts."""
FIELDS = ("depth_mm", "frequency_mhz", "elevation_focus_mm", "elevation_aperture_mm")
OWN = {
    "linear": ("width_mm",),
    "convex": ("radius_mm", "field_of_view_deg"),
    "phased": ("field_of_view_deg",),
    "radial": ("radius_mm",),
    "steered linear": ("width_mm", "steering_deg"),
    "steered phased": ("field_of_view_deg",),
}


def values_and_gradients(
    probe: Probe, settings: RenderSettings, fields: tuple[str, ...], dtype: torch.dtype
) -> tuple[Layers, dict[str, Tensor]]:
    """Layers, and the gradients of a sum with random weights to all that they depend on."""
    lines = lines_of(probe, dtype)
    leaves = {name: getattr(lines, name).clone().requires_grad_() for name in lines._fields[:3]}
    numbers = {
        name: torch.tensor(float(getattr(probe, name)), dtype=torch.float64, requires_grad=True)
        for name in fields
    }
    exponent = torch.tensor(float(settings.attenuation_exponent), dtype=torch.float64, requires_grad=True)
    options = {"attenuation_exponent": exponent}
    if settings.specular_angle_deg is not None:
        angle = torch.tensor(float(settings.specular_angle_deg), dtype=torch.float64, requires_grad=True)
        options["specular_angle_deg"] = angle
    found = layers(lines._replace(**leaves), probe.with_options(**numbers), settings.with_options(**options))
    generator = torch.Generator().manual_seed(2)
    score = torch.zeros((), dtype=torch.float64)
    for number, values in enumerate(found):
        if values is not None:
            weights = torch.rand(values.shape, generator=generator, dtype=torch.float64) - 0.4
            score = score + WEIGHTS[number] * (values * weights).sum()
    asked = leaves | numbers | options
    gradients = torch.autograd.grad(score, list(asked.values()), allow_unused=True, materialize_grads=True)
    return found, dict(zip(asked, gradients, strict=True))


CASES = [
    *((name, 3, 5, RenderSettings()) for name in EVERY_PROBE),
    ("convex", 1, 5, RenderSettings()),
    ("convex", 2, 1, RenderSettings()),
    ("radial", 1, 2, RenderSettings()),
    ("radial", 5, 1, RenderSettings()),
    ("convex", 3, 5, RenderSettings(specular_angle_deg=None)),
    ("convex", 3, 5, RenderSettings(propagation="published")),
    ("linear", 3, 5, RenderSettings(speckle="none")),
    ("linear", 1, 5, RenderSettings(speckle="none", specular_angle_deg=None)),
]


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize(("name", "n_elevation", "n_scanlines", "settings"), CASES)
def test_the_kernel_is_the_reference(
    name: str, n_elevation: int, n_scanlines: int, settings: RenderSettings, dtype: torch.dtype, within: float
) -> None:
    probe = small(name, n_elevation, n_scanlines)
    fields = FIELDS + OWN[name]
    slow, slow_gradients = values_and_gradients(probe, settings.with_options(backend="torch"), fields, dtype)
    fast, fast_gradients = values_and_gradients(probe, settings.with_options(backend="numba"), fields, dtype)
    for one, other in zip(slow, fast, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert other.dtype == dtype
            assert torch.allclose(one, other, rtol=within, atol=0)
    for field, expected in slow_gradients.items():
        scale = max(float(expected.abs().max()), 1e-30)
        # Numbers sum thousands of terms that nearly cancel.
        loose = 20 if expected.ndim == 0 else 5
        assert float((expected - fast_gradients[field]).abs().max()) <= loose * within * scale, field


def test_every_number_has_a_gradient() -> None:
    probe = small("steered linear")
    settings = RenderSettings(backend="numba")
    _, gradients = values_and_gradients(probe, settings, FIELDS + OWN["steered linear"], torch.float64)
    assert all(float(g.abs().max()) > 0 for g in gradients.values())


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("name", ["radial", "steered linear"])
def test_gradients(name: str, backend: str) -> None:
    probe = small(name, 2, 3).with_options(n_samples=5)
    lines = lines_of(probe)
    settings = RenderSettings(backend=backend)

    def found(*values: Tensor) -> tuple[Tensor, ...]:
        depth, frequency, focus, angle, exponent = values[3:]
        posed = probe.with_options(depth_mm=depth, frequency_mhz=frequency, elevation_focus_mm=focus)
        chosen = settings.with_options(specular_angle_deg=angle, attenuation_exponent=exponent)
        impedance, passes, power = layers(
            lines._replace(**dict(zip(lines._fields[:3], values[:3], strict=True))), posed, chosen
        )
        assert power is not None
        return impedance, passes, 100 * power

    numbers = [torch.tensor(v, dtype=torch.float64) for v in (9.0, 5.0, 30.0, 35.0, 1.1)]
    inputs = tuple(t.clone().requires_grad_() for t in (*lines[:3], *numbers))
    assert torch.autograd.gradcheck(found, inputs, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_same_bits_from_any_number_of_threads_and_any_split(dtype: torch.dtype) -> None:
    probe = small("convex")
    lines = lines_of(probe, dtype)
    whole = layers(lines, probe, RenderSettings())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threaded = layers(lines, probe, RenderSettings())
    finally:
        torch.set_num_threads(before)
    for one, other in zip(whole, threaded, strict=True):
        assert one is not None and other is not None and torch.equal(one, other)
    second = lines._replace(**{name: getattr(lines, name)[1:] for name in lines._fields[:3]})
    for one, other in zip(whole, layers(second, probe, RenderSettings()), strict=True):
        assert one is not None and other is not None and torch.equal(one[1:], other)


def test_a_medium_in_half_precision_goes_to_the_reference() -> None:
    probe = small("convex")
    lines = lines_of(probe, torch.float32)
    half = lines._replace(**{name: getattr(lines, name).bfloat16() for name in lines._fields[:3]})
    found = layers(half, probe, RenderSettings(specular_angle_deg=None))
    assert found.passes.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="backend='torch'"):
        layers(half, probe, RenderSettings(backend="numba"))
