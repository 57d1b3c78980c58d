"""Adding small products of two profiles to an image, a few neighbouring samples in one instruction."""

from __future__ import annotations

from typing import no_type_check

from llvmlite import ir
from numba import njit, types

from diffus.propagation._simd import operation

BLOCK = 4
"""Samples added at a time: with their two parts, eight numbers side by side."""


@operation
def _add_block(_typing, tile, start, along, place, weight):
    """``tile[start : start + 8] += weight * along[place : place + 8]`` for flat arrays, as vectors.

    The compiler finds none by itself, as it cannot know that the arrays do not overlap.
    """

    def codegen(context, builder, signature, arguments):
        dtype = signature.args[0].dtype
        vector = ir.VectorType(context.get_value_type(dtype), 2 * BLOCK)

        def pointer(which):
            array = context.make_array(signature.args[which])(context, builder, arguments[which])
            return builder.bitcast(builder.gep(array.data, [arguments[which + 1]]), vector.as_pointer())

        align = dtype.bitwidth // 8
        one = builder.insert_element(
            ir.Constant(vector, ir.Undefined), arguments[4], ir.Constant(ir.IntType(32), 0)
        )
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), 2 * BLOCK), [0] * (2 * BLOCK))
        weights = builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), lanes)
        target, source = pointer(0), pointer(2)
        product = builder.fmul(weights, builder.load(source, align=align))
        builder.store(builder.fadd(builder.load(target, align=align), product), target, align=align)
        return context.get_dummy_value()

    return types.void(tile, types.intp, along, types.intp, tile.dtype), codegen


@njit(inline="always")
@no_type_check
def add_product(tile, width, base, first, n, n_lines, wraps, across, along, n_along):
    """Add the product of two profiles to a tile of flat rows, block by block."""
    skipped = 0 if wraps else max(0, -first)
    stop = n if wraps else min(n, n_lines - first)
    line = first % n_lines if wraps else first + skipped
    for m in range(skipped, stop):
        start = line * width + base
        for block in range(0, n_along, 2 * BLOCK):
            _add_block(tile, start + block, along, block, across[m])
        line += 1
        if wraps and line == n_lines:
            line = 0
