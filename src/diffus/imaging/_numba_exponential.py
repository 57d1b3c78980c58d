"""The exponential function in plain arithmetic, so that the compiler finds vectors in loops over it.

A call to the C library's takes a number at a time, and is most of the cost of the loops that need one.
"""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import njit, types

from diffus.propagation._simd import operation

_LOWEST = -708.0
"""Below it nothing is left, as numbers end."""
_PER_LOG_2 = 1.4426950408889634
_LOG_2_HIGH = 0.693147180369123816490
_LOG_2_LOW = 1.90821492927058770002e-10
"""The logarithm of 2 in two parts, the first short, so that its product with a whole number is exact."""
_WHOLE = 6755399441055744.0
"""1.5 * 2^52: added to a number it leaves the nearest whole number in the last bits."""
_ONE = 1023 << 52
"""The bits of the exponent of 1."""


@operation
def _bits(_typing, number):
    """The bits of a float64 as an integer."""

    def codegen(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@operation
def _number(_typing, bits):
    """The float64 of bits."""

    def codegen(_context, builder, _signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@njit(inline="always")
@no_type_check
def exponential(x):
    """``exp(x)`` of a float64 not above 700, to the last digit but one; 0 below -708.

    ``x = n log 2 + y`` with n whole and ``|y| <= log(2) / 2``; exp(y) by its Taylor series up to y^12, whose
    next term is below 2e-16.
    """
    shifted = max(x, _LOWEST) * _PER_LOG_2 + _WHOLE
    n = shifted - _WHOLE
    y = (max(x, _LOWEST) - n * _LOG_2_HIGH) - n * _LOG_2_LOW
    y2 = y * y
    y4 = y2 * y2
    low = (1.0 + y) + y2 * (1 / 2 + y * (1 / 6))
    middle = (1 / 24 + y * (1 / 120)) + y2 * (1 / 720 + y * (1 / 5040))
    high = (1 / 40320 + y * (1 / 362880)) + y2 * (1 / 3628800 + y * (1 / 39916800)) + y4 * (1 / 479001600)
    series = low + y4 * (middle + y4 * high)
    return series * _number((_bits(shifted) << 52) + _ONE) if x > _LOWEST else 0.0
