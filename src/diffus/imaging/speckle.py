"""Sampled speckle: the echoes of single scatterers, with the carrier, fixed to the tissue.

The model whose mean over the scatterers' phases is the expected image. A scatterer at scanline coordinate s,
depth d and elevation y adds to sample k of scanline l

    sqrt(power(s, d) / (density V(d))) exp(-x^2 / (2 sx^2) - y^2 / (2 sy^2) - (d_k - d)^2 / (2 sz^2))
        exp(i (phi - 2 pi f0 2 d / c))

with x the distance from the scanline, (l - s) times the spacing of scanlines at depth d, sx, sy and sz the
widths of beam, slice and pulse there (`beam`), phi the scatterer's own phase, and V = pi^(3/2) sx sy sz the
integral of the squared profile. In uniform tissue the mean of ``|iq|^2`` is the power.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import torch
from jaxtyping import Complex, Float, Float64
from torch import Tensor

from diffus.checks import require_one_of, require_positive
from diffus.imaging import speckle_reference
from diffus.imaging.point_spread import PointSpread
from diffus.imaging.scatterers import ScattererRows
from diffus.probe import ConvexProbe, LinearProbe, PhasedProbe, Probe, RadialProbe
from diffus.propagation import BACKENDS
from diffus.propagation.eligibility import why_not

KNOWN_PROBES = (ConvexProbe, LinearProbe, PhasedProbe, RadialProbe)

DEVELOPED = 2.5
"""Scatterers in the smallest resolution cell (V above) for fully developed speckle.

Intensity then exceeds <I^2> / <I>^2 = 2 by about 0.02, and envelope mean / std is within 0.01 of 1.913; found
by simulation (tests/imaging/test_speckle.py). Elsewhere in the image the cell is larger.
"""


def scattered_iq(
    power: Float[Tensor, "B S N"] | Float[Tensor, "B E S N"],
    probe: Probe,
    world_from_probe: Float64[Tensor, "B 4 4"],
    *,
    seed: int = 0,
    scatterers_per_mm3: float | None = None,
    backend: str = "auto",
) -> Complex[Tensor, "B S N"]:
    """Complex echo of the scatterers, demodulated at the centre frequency.

    A trace of the received signal at time ``t = 2 d / c`` is ``Re(iq exp(+2 pi i f0 t))``. Gradients flow to
    the power and, by the reference, to the probe's fields; none flows to the pose, with which phases turn too
    fast (once for each half wavelength of depth).

    Args:
        power: expected power scattered from each cell, the mean of ``|iq|^2`` in uniform tissue; interpolated
            bilinearly between cells. With an axis E it is that of the elevation planes of a Gauss-Hermite
            quadrature over the slice: each scatterer takes that of the plane in whose share of the slice it
                lies.
        probe: where scanlines run, and the widths of pulse and beam.
        world_from_probe: poses.
        seed: another seed is another tissue of the same kind; taken modulo 2^32.
        scatterers_per_mm3: by default `developed_density` of the probe. With few in a resolution cell speckle
            is sparse: its brightest spots are brighter than Rayleigh statistics have them.
        backend: ``"torch"`` is the reference; ``"numba"`` serves the CPU and ``"triton"`` CUDA where no
            field of the probe wants a gradient.

    Raises:
        ValueError: for a density that is not above zero, a probe of one scanline, a power of another shape
            than the probe's image, or a backend that cannot serve the call, with the reason.
    """
    if power.ndim == 3:
        power = power[:, None]
    _check_shapes(power, probe, world_from_probe)
    density = developed_density(probe) if scatterers_per_mm3 is None else float(scatterers_per_mm3)
    require_positive("scattered_iq", scatterers_per_mm3=density)
    scatter = _scatter_of(_resolve(backend, power, probe))
    spread = PointSpread.of(probe, power.device)
    side = density ** (-1 / 3)
    poses = world_from_probe.detach().to(power.device, torch.float64)
    strength = poses.new_tensor(1 / math.sqrt(density))
    images = []
    for image, probe_from_world in zip(power, torch.linalg.inv(poses), strict=True):
        rows = ScattererRows.of(probe, spread.detach(), probe_from_world, side)
        probe_from_cell = probe_from_world.clone()
        probe_from_cell[:3, :3] *= side
        arguments = (image, probe, spread, probe_from_cell, rows, strength, seed)
        images.append(scatter(*arguments))
    return torch.view_as_complex(torch.stack(images))


def _scatter_of(backend: str) -> Callable[..., Tensor]:
    if backend == "numba":
        from diffus.imaging import numba_speckle

        return numba_speckle.scatter
    if backend == "triton":
        from diffus.imaging import triton_speckle

        return triton_speckle.scatter
    return speckle_reference.scatter


def developed_density(probe: Probe) -> float:
    """Fewest scatterers per mm^3 that make speckle fully developed all over the image.

    Rounded up to a tenth of a decade, so that a slight change of the probe leaves the tissue as it is.
    """
    least = DEVELOPED / float(PointSpread.of(probe).volume_mm3.detach().min())
    return 10 ** (math.ceil(10 * math.log10(least)) / 10)


def _check_shapes(power: Tensor, probe: Probe, poses: Tensor) -> None:
    expected = (len(poses), probe.n_scanlines, probe.n_samples)
    given = (power.shape[0], *power.shape[2:]) if power.ndim == 4 else tuple(power.shape)
    if given != expected:
        raise ValueError(
            f"power: expected shape {expected} (poses, scanlines and samples of the probe, with elevation "
            f"planes or without), got {tuple(power.shape)}"
        )
    if probe.n_scanlines < 2:
        raise ValueError(
            "sampled speckle needs a probe of at least 2 scanlines: one alone has no lateral scale"
        )


def _resolve(backend: str, power: Tensor, probe: Probe) -> str:
    require_one_of("backend", backend, BACKENDS)
    if backend == "torch":
        return backend
    best = ("numba" if power.device.type == "cpu" else "triton") if backend == "auto" else backend
    reason = why_not(best, power, "power") or _why_not_kernel(best, probe)
    if not reason:
        return best
    if backend == "auto":
        return "torch"
    raise ValueError(f"backend {backend!r} cannot serve this call: {reason}; use backend='torch' or 'auto'")


def _why_not_kernel(backend: str, probe: Probe) -> str | None:
    """Why a kernel cannot serve a probe, or None where it can."""
    if torch.is_grad_enabled():
        wanted = [f.name for f in fields(probe) if getattr(getattr(probe, f.name), "requires_grad", False)]
        if wanted:
            return f"it gives no gradient to the probe, and {', '.join(wanted)} wants one"
    if probe.shear is not None:
        return "it does not know the leaning point spread of steered parallel scanlines"
    if backend == "numba" and type(probe) not in KNOWN_PROBES:
        return f"it does not know the scanlines of a {type(probe).__name__}"
    return None
