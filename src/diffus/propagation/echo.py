"""`echoes`: what comes back to the transducer along each scanline."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffus.checks import require_one_of, require_shape
from diffus.propagation import layered
from diffus.propagation.eligibility import resolve_backend
from diffus.scalars import Scalar, as_scalar

MODELS = ("primary", "full", "published")
"""What of the echoes is computed, see `echoes`."""


def echoes(
    impedance: Float[Tensor, "*lines samples"],
    *,
    model: str = "full",
    face_reflection: Scalar = 0.0,
    loss: Any = None,
    n_times: int | None = None,
    backend: str = "auto",
) -> Float[Tensor, "*lines times"]:
    """Pressure received after a unit impulse of pressure is emitted into the first medium.

    The N + 1 samples make N interfaces; interface k lies between samples k and k + 1, and is first heard at
    time k. One time step is the round trip through one layer. Layer k lies between interface k - 1 and
    interface k, and layer 0 between the face and interface 0: a wave that returns to the face at time t and
    is sent back by it reaches interface 0 and returns at time t + 1. Below the last interface nothing comes
    back.

    Where a renderer puts sample k at depth ``k dz``, interface k lies at ``(k + 1/2) dz`` and its first echo
    at that depth is exact. There layer 0 is half a layer thick, and each reflection by the face shows half a
    step too deep.

    Args:
        impedance: samples along each scanline (any unit, only ratios count), any leading dimensions. They
            are equally spaced in travel time.
        model: ``"primary"``, single reflections with two-way transmission; ``"full"``, all internal
            reflections, exactly; ``"published"``, the delay-free system of the DiffUS paper with its own
            sign, which is no echo train (see the concept page on propagation).

    Other Args:
        face_reflection: what the transducer's face sends back into the tissue of the pressure that returns
            to it, inside (-1, 1). It acts in ``"full"`` alone; the other models hold no such multiples.
        loss: amplitude that a layer leaves of a wave in one pass, in (0, 1]; a number or a tensor that
            broadcasts to (..., N). ``loss[..., k]`` is that of layer k, between interface k - 1 and
            interface k, so that the primary of interface k carries ``prod_{j<=k} loss_j^2``.
        n_times: how many times are returned, by default N.
        backend: ``"auto"``, ``"torch"`` (any device and dtype, second derivatives), ``"numba"`` (CPU) or
            ``"triton"`` (CUDA). ``"primary"`` is a handful of whole-tensor operations, and every backend runs
            the same ones.

    Returns:
        Echoes (..., T), differentiable in impedance, loss and face reflection.

    Raises:
        ValueError: for fewer than two samples, impedances that are not finite and above zero, a face
            reflection or loss out of range, an unknown model or backend, or a backend that cannot serve
            the device or dtype. Nothing is computed before.
    """
    require_one_of("model", model, MODELS)
    chosen = resolve_backend(backend, impedance)
    _check_impedance(impedance)
    n_interfaces = impedance.shape[-1] - 1
    n_times = _checked_times(n_times, n_interfaces)
    face = _checked_face(face_reflection, impedance)
    passes = _checked_loss(loss, impedance)
    if impedance.numel() == 0:
        return _empty_echoes(impedance, n_times)
    if model == "primary":
        return layered.primary_echoes(impedance, passes, n_times)
    if chosen == "numba":
        from diffus.propagation import numba_backend as kernels
    elif chosen == "triton":
        from diffus.propagation import triton_backend as kernels
    else:
        kernels = layered
    if model == "published":
        return kernels.published_echoes(impedance, passes, n_times)
    return kernels.full_echoes(impedance, face, passes, n_times)


def _check_impedance(impedance: Tensor) -> None:
    fits = impedance.ndim >= 1 and impedance.shape[-1] >= 2
    require_shape("impedance", impedance.shape, "(..., N + 1) with at least two samples", fits)
    if not impedance.is_floating_point():
        raise ValueError(f"impedance must be floating point, got {impedance.dtype}: convert it with .float()")
    if impedance.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(impedance.detach()))
    if not (low > 0 and high < float("inf")):
        bad = ~(torch.isfinite(impedance.detach()) & (impedance.detach() > 0))
        raise ValueError(
            f"impedance must be finite and above 0 everywhere, got {int(bad.sum())} of {bad.numel()} samples "
            f"that are not (the first is {float(impedance.detach()[bad][0]):g}): mend the medium's map"
        )


def _checked_times(n_times: Any, n_interfaces: int) -> int:
    if n_times is None:
        return n_interfaces
    if isinstance(n_times, bool) or not isinstance(n_times, int) or n_times < 1:
        raise ValueError(f"n_times must be a whole number of at least 1, got {n_times!r}")
    return n_times


def _checked_face(face_reflection: Scalar, impedance: Tensor) -> Tensor:
    face = as_scalar(face_reflection, impedance)
    require_shape("face_reflection", face.shape, "() (one number)", face.ndim == 0)
    if not abs(float(face.detach())) < 1:
        raise ValueError(f"face_reflection must lie inside (-1, 1), got {float(face.detach()):g}")
    return face


def _checked_loss(loss: Any, impedance: Tensor) -> Tensor | None:
    if loss is None:
        return None
    passes = as_scalar(loss, impedance) if isinstance(loss, Tensor | float | int) else loss
    if not isinstance(passes, Tensor):
        raise ValueError(f"loss must be a number or a tensor, got {type(loss).__name__}")
    shape = (*impedance.shape[:-1], impedance.shape[-1] - 1)
    try:
        passes = passes.expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"loss: expected a shape that broadcasts to {shape}, got {tuple(passes.shape)}"
        ) from error
    if passes.numel():
        low, high = (float(v) for v in torch.aminmax(passes.detach()))
        if not (low > 0 and high <= 1):
            raise ValueError(
                f"loss is the share of the amplitude that a layer lets pass and must lie in (0, 1], "
                f"got values from {low:g} to {high:g}: for decibels use 10 ** (-dB / 20)"
            )
    return passes


def _empty_echoes(impedance: Tensor, n_times: int) -> Tensor:
    return impedance[..., :1].expand(*impedance.shape[:-1], n_times) * 1
