"""Two backends side by side: values and gradients of one and the same sum over the echoes."""

from __future__ import annotations

import torch

from diffus.propagation import echoes


def values_and_gradients(impedance, loss, model, backend, face=0.4, n_times=None):
    """Echoes and the gradients to log impedance, log loss and face of one fixed sum over them."""
    exponents = [t.log().requires_grad_() for t in (impedance, loss) if t is not None]
    reflecting = torch.tensor(face, dtype=impedance.dtype, requires_grad=True)
    inputs = [e.exp() for e in exponents] + [None]
    received = echoes(
        inputs[0],
        loss=inputs[1],
        face_reflection=reflecting,
        model=model,
        n_times=n_times,
        backend=backend,
    )
    phases = torch.arange(received.numel(), dtype=impedance.dtype).reshape(received.shape)
    asked = [*exponents, reflecting]
    gradients = torch.autograd.grad(
        (received * phases.cos()).sum(), asked, allow_unused=True, materialize_grads=True
    )
    return received.detach(), *gradients


def assert_parity(one, other, tolerance):
    """Differences relative to the largest value.

    The gradient to the face is one sum over all scanlines, whose terms of order 1 all but cancel: at least 1.
    """
    for left, right in zip(one, other, strict=True):
        scale = max(float(left.abs().max()), 1.0 if left.ndim == 0 else 1e-30)
        torch.testing.assert_close(left, right, rtol=0, atol=tolerance * scale)
