"""What scanners do to make speckle quieter: adaptive smoothing within a frame, persistence between frames."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_in_range
from diffus.imaging.blur import blur_depth, blur_scanlines
from diffus.imaging.formation import sigma_steps
from diffus.imaging.gain import SILENCE
from diffus.probe import Probe
from diffus.scalars import Scalar, over_batch

SPECKLE_VARIANCE_DB2 = 5.57**2
"""Variance of a Rayleigh envelope in dB, squared (FACTS: fully developed speckle)."""
WINDOW = 1.5
"""Sigma of the window that mean and variance are taken over, in those of pulse and beam."""


def reduce_speckle(
    envelope: Float[Tensor, "B S N"], probe: Probe, strength: Scalar, backend: str = "auto"
) -> Float[Tensor, "B S N"]:
    """Smooth where an envelope varies as speckle does, and leave it where it varies more.

    The filter of Lee ("Digital image enhancement and noise filtering by use of local statistics", IEEE PAMI
    2(2), 1980) on the logarithm, where the variance of speckle is known. Differentiable.

    Args:
        envelope: with speckle.
        probe: gives the size of speckle.
        strength: share of the way from the envelope, 0, to the filtered one, 1; one number or one a pose.
        backend: see `blur.blur_depth`.
    """
    decibel = 20 * torch.log10(envelope.clamp_min(SILENCE))
    axial, lateral = (WINDOW * sigma for sigma in sigma_steps(probe, envelope))
    inside = blur_depth(torch.ones_like(envelope[:1]), axial, "sum", backend)

    def local_mean(values: Tensor) -> Tensor:
        along = blur_depth(values, axial, "sum", backend) / inside
        return blur_scanlines(along, lateral, probe.wraps, backend=backend)

    mean = local_mean(decibel)
    variance = local_mean((decibel - mean) ** 2)
    kept = (1 - SPECKLE_VARIANCE_DB2 / (variance + 1e-6)).clamp_min(0)
    filtered = mean + kept * (decibel - mean)
    return 10 ** (torch.lerp(decibel, filtered, over_batch(strength, decibel).expand_as(decibel)) / 20)


def persist(scanlines: Float[Tensor, "B S N"], persistence: float) -> Float[Tensor, "B S N"]:
    """Mix each frame of a sequence with those before it, as a scanner's persistence does.

    ``shown_b = persistence shown_(b-1) + (1 - persistence) frame_b``, on display values; the first is itself.

    Raises:
        ValueError: for a persistence outside [0, 0.99].
    """
    require_in_range("persist", 0.0, 0.99, persistence=persistence)
    shown = [scanlines[0]]
    for frame in scanlines[1:]:
        shown.append(torch.lerp(frame, shown[-1], float(persistence)))
    return torch.stack(shown)
