"""Log-compressed speckle: how much neighbouring samples differ, and how many carry the information of one.

Two samples of fully developed speckle are circular Gaussian; r is the squared modulus of their coherence,
for a point spread with a Gaussian amplitude profile of sigma s and a distance x, ``r = exp(-x^2 / (2 s^2))``.
The joint density of their intensities (Goodman, "Speckle Phenomena in Optics", 2007) is diagonal in Laguerre
polynomials with eigenvalues r^k (Watson, Journal of the London Mathematical Society 8, 1933), so that any
function of an intensity has the covariance ``sum_k a_k^2 r^k``, a_k its coefficients. For a logarithm that
black cuts off at intensity x0 they are, by parts,

    a_k = -exp(-x0) L_{k-1}(x0) / k.

Without a cut the sum is the dilogarithm of r, and pi^2 / 6 at r = 1: a standard deviation of 5.57 dB.

Half the mean squared difference of neighbours (the semivariogram of geostatistics: Matheron, Economic
Geology 58, 1963) is the variance less that covariance. What both share does not enter: tissue, gain, trends.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Float, Float64
from torch import Tensor

DB_PER_NEPER = 10 / math.log(10)
"""Of intensities."""
LOG_VARIANCE = math.pi**2 / 6
"""Of the natural logarithm of a unit exponential variate."""
_SINGLE = 24
"""Orders of the Laguerre polynomials that are taken one by one."""
_WIDENING, _HIGHEST = 1.2, 4000
"""Ratio of the ends of a group of higher orders, and the order at which groups end."""
_CUTS = 97
_LOWEST_CUT, _HIGHEST_CUT = -12.0, 0.0
_BETWEEN = 32
"""Steps of the quadrature from one node to the next."""
_SURE = 5.0
"""Logarithm of an intensity that speckle never reaches: exp(-e^5) is nothing."""


def log_variogram(
    coherence: Float64[Tensor, "*#shape"], spectrum: Float64[Tensor, "*#shape terms"]
) -> Float64[Tensor, "*shape"]:
    """Half the mean squared difference of the logarithms of two intensities of speckle.

    Args:
        coherence: r, the squared modulus, in [0, 1].
        spectrum: squared Laguerre coefficients a_k^2, from `cut_spectrum`.
    """
    return (spectrum * (1 - coherence[..., None] ** _orders())).sum(dim=-1)


def cut_spectrum(log_cut: Float[Tensor, "*shape"]) -> Float64[Tensor, "*shape terms"]:
    """Squared Laguerre coefficients of the logarithm of unit mean speckle, cut off below.

    Those of high order are summed in groups, each of which stands for its middle order.

    Args:
        log_cut: natural logarithm of the intensity at which black begins; interpolated between nodes.
    """
    place = (log_cut.double() - _LOWEST_CUT) / (_HIGHEST_CUT - _LOWEST_CUT) * (_CUTS - 1)
    place = place.clamp(0, _CUTS - 1)
    low = place.floor().long().clamp_max(_CUTS - 2)
    table = _spectra()
    return torch.lerp(table[low], table[low + 1], (place - low)[..., None])


def samples_alike(
    coherence_along: Float64[Tensor, " M"], coherence_across: Float64[Tensor, "N L"]
) -> Float64[Tensor, " N"]:
    """How many samples around one carry the same information, at each of N depths.

    The sum over all lags of the correlation of logarithms of speckle, ``dilog(r) / (pi^2 / 6)``.

    Args:
        coherence_along: r at lags 1 to M along depth.
        coherence_across: r at lags 1 to L across scanlines.
    """
    spectrum = cut_spectrum(torch.tensor(-math.inf))
    one = torch.ones(1, dtype=torch.float64)
    along = torch.cat([one, coherence_along, coherence_along])
    rim = torch.ones(len(coherence_across), 1, dtype=torch.float64)
    across = torch.cat([rim, coherence_across, coherence_across], dim=1)
    order = _orders()
    # Powers of both are separable, term by term.
    sums = (along[:, None] ** order).sum(dim=0) * (across[..., None] ** order).sum(dim=1)
    return (spectrum * sums).sum(dim=-1) / LOG_VARIANCE


@cache
def _groups() -> tuple[tuple[int, int], ...]:
    """First and last order of each term: single ones, then ever wider groups."""
    groups = [(k, k) for k in range(1, _SINGLE + 1)]
    while groups[-1][1] < _HIGHEST:
        first = groups[-1][1] + 1
        groups.append((first, int(_WIDENING * first)))
    return tuple(groups)


@cache
def _orders() -> Float64[Tensor, " terms"]:
    """The order that each term stands for."""
    return torch.tensor([math.sqrt(first * last) for first, last in _groups()], dtype=torch.float64)


@cache
def _spectra() -> Float64[Tensor, "cuts terms"]:
    """Squared coefficients at the nodes; what is beyond the groups, from the variance, in the last."""
    cut = torch.exp(torch.linspace(_LOWEST_CUT, _HIGHEST_CUT, _CUTS, dtype=torch.float64))
    before, polynomial = torch.zeros_like(cut), torch.ones_like(cut)
    columns = []
    for first, last in _groups():
        column = torch.zeros_like(cut)
        for k in range(first, last + 1):
            column = column + (torch.exp(-cut) * polynomial / k) ** 2
            # Laguerre's recurrence: k L_k = (2k - 1 - x) L_{k-1} - (k - 1) L_{k-2}.
            before, polynomial = polynomial, ((2 * k - 1 - cut) * polynomial - (k - 1) * before) / k
        columns.append(column)
    table = torch.stack(columns, dim=1)
    table[:, -1] += _cut_variances() - table.sum(dim=1)
    return table


def _cut_variances() -> Float64[Tensor, " cuts"]:
    """Variance of the greater of a cut and the logarithm of a unit exponential variate, at the nodes.

    By parts, from its survival function ``exp(-e^t)``, by the trapezoidal rule from each node up.
    """
    count = (_CUTS - 1) * _BETWEEN
    step = (_HIGHEST_CUT - _LOWEST_CUT) / count
    t = _LOWEST_CUT + step * torch.arange(count + math.ceil(_SURE / step) + 1, dtype=torch.float64)
    above = torch.exp(-torch.exp(t))
    moments = []
    for density in (above, 2 * t * above):
        whole = torch.cumulative_trapezoid(density, dx=step)
        moments.append((whole[-1] - torch.nn.functional.pad(whole, (1, 0)))[: count + 1 : _BETWEEN])
    cut = t[: count + 1 : _BETWEEN]
    return cut**2 + moments[1] - (cut + moments[0]) ** 2
