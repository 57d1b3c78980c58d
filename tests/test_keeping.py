"""Tables kept from frame to frame: when they are, and when they must not be."""

from __future__ import annotations

import torch
from tests.scenes import PROBES, textured
from torch import Tensor

from diffus import ConvexProbe, PhasedProbe, Probe, render
from diffus.imaging.formation import sigma_steps
from diffus.keeping import kept
from diffus.scanline_sampling import node_steps


def test_the_same_probe_is_asked_once_and_another_anew() -> None:
    asked = []

    @kept
    def depth(probe: Probe, factor: float) -> Tensor:
        asked.append(probe)
        return factor * torch.as_tensor(probe.depth_mm)

    probe = PROBES["convex"]
    assert depth(probe, 2.0) is depth(probe.with_options(), 2.0)
    assert float(depth(probe, 3.0)) == 3 * probe.depth_mm
    assert float(depth(probe.with_options(depth_mm=11.0), 2.0)) == 22.0
    assert len(asked) == 3


def test_probes_of_two_kinds_with_the_same_numbers_are_two() -> None:
    kind = kept(lambda probe: probe.kind)
    same = {"n_scanlines": 5, "n_samples": 8}
    assert kind(ConvexProbe(**same)) == "convex"  # pyright: ignore
    assert kind(PhasedProbe(**same)) == "phased"  # pyright: ignore


def test_an_argument_with_a_gradient_is_never_kept() -> None:
    doubled = kept(lambda probe, factor: 2 * factor)
    factor = torch.tensor(5.0, requires_grad=True)
    assert doubled(PROBES["convex"], factor) is not doubled(PROBES["convex"], factor)
    assert doubled(PROBES["convex"], factor).requires_grad


def test_a_field_with_a_gradient_is_never_kept() -> None:
    frequency = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    probe, like = PROBES["convex"].with_options(frequency_mhz=frequency), torch.zeros((), dtype=torch.float64)
    for _ in range(2):
        (gradient,) = torch.autograd.grad(sigma_steps(probe, like)[1].sum(), frequency)
        assert float(gradient) != 0


def test_tables_made_in_inference_mode_serve_gradients_later() -> None:
    probe = PROBES["convex"].with_options(n_samples=77, n_elevation=2)
    with torch.inference_mode():
        render(textured(), probe, torch.eye(4, dtype=torch.float64))
        assert not node_steps(probe, torch.zeros((), dtype=torch.float64)).lines_mm.is_inference()
    pose = torch.eye(4, dtype=torch.float64, requires_grad=True)
    render(textured(), probe, pose).scanlines.sum().backward()
    assert pose.grad is not None and bool(torch.isfinite(pose.grad).all())
