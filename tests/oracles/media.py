"""Random layered media with a bound on the contrast of each interface."""

from __future__ import annotations

import torch


def random_medium(n_interfaces, strongest, lines=(), dtype=torch.float64, seed=0):
    """Impedance (*lines, N + 1) with reflection coefficients uniform in +- strongest."""
    generator = torch.Generator().manual_seed(seed)
    r = (2 * torch.rand(*lines, n_interfaces, generator=generator, dtype=torch.float64) - 1) * strongest
    steps = ((1 + r) / (1 - r)).log().cumsum(dim=-1)
    return (1.6 * torch.cat([torch.zeros_like(r[..., :1]), steps], dim=-1).exp()).to(dtype)


def random_loss(n_interfaces, least, lines=(), dtype=torch.float64, seed=1):
    """Loss (*lines, N) uniform between ``least`` and 1."""
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(*lines, n_interfaces, generator=generator, dtype=torch.float64)
    return (1 - (1 - least) * uniform).to(dtype)


def relative_error(got, expected):
    """Largest difference over the largest expected value: the noise floor beside the strongest echo."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return float((torch.as_tensor(got).detach().double() - expected).abs().max() / expected.abs().max())
