"""Vectors for Numba: one cache line of float32 (16) or float64 (8) held in a register, one lane a scanline.

Numba leaves it to the compiler to find vectors in loops, and in the lattice it finds none that stay in
registers from one cell to the next. So they are said outright: a Numba type whose value is an LLVM vector,
and the few operations needed. LLVM splits the vector where the machine's are narrower, so that this is
right everywhere and fastest where a register holds a cache line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import intrinsic, register_model

LINE_BYTES = 64
"""Bytes of one vector."""


class Vector(types.Type):
    """A vector of one cache line.

    Args:
        scalar: Numba's float32 or float64.
    """

    def __init__(self, scalar: types.Float) -> None:
        self.scalar = scalar
        self.lanes = LINE_BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"Vector({scalar}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.FloatType() if fe_type.scalar == types.float32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.lanes))


def operation(typed: Callable[..., Any]) -> Any:
    """Numba's ``intrinsic``, for type checkers: the typing context is not among the caller's arguments."""
    return intrinsic(typed)


def _pointer(context, builder, array_type, array, index, vector):
    data = context.make_array(array_type)(context, builder, array).data
    start = builder.mul(index, ir.Constant(index.type, vector.lanes))
    return builder.bitcast(builder.gep(data, [start]), context.get_value_type(vector).as_pointer())


@operation
def load(_typing, array, index):
    """Vector ``index`` of a flat array, counted in vectors."""
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], vector)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@operation
def store(_typing, array, index, value):
    """Write a vector to place ``index`` of a flat array, counted in vectors."""

    def codegen(context, builder, signature, arguments):
        place = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], value)
        builder.store(arguments[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@operation
def spread(_typing, array, number):
    """A number in every lane of a vector of the array's dtype."""
    vector = Vector(array.dtype)

    def codegen(context, builder, signature, arguments):
        as_element = context.cast(builder, arguments[1], signature.args[1], array.dtype)
        shape = context.get_value_type(vector)
        undefined = ir.Constant(shape, ir.Undefined)
        first = builder.insert_element(undefined, as_element, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
        return builder.shuffle_vector(first, undefined, mask)

    return vector(array, number), codegen


def _multiply_add(negate: bool):
    def typed(_typing, a, b, c):
        def codegen(context, builder, _signature, arguments):
            shape = context.get_value_type(a)
            name = f"llvm.fmuladd.v{a.lanes}f{a.scalar.bitwidth}"
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(shape, [shape] * 3), name
            )
            first = builder.fneg(arguments[0]) if negate else arguments[0]
            return builder.call(function, [first, arguments[1], arguments[2]])

        return a(a, b, c), codegen

    return typed


@operation
def add_product(typing, a, b, c):
    """``c + a b``."""
    return _multiply_add(negate=False)(typing, a, b, c)


@operation
def subtract_product(typing, a, b, c):
    """``c - a b``."""
    return _multiply_add(negate=True)(typing, a, b, c)


@operation
def multiply(_typing, a, b):
    """``a b``."""

    def codegen(_context, builder, _signature, arguments):
        return builder.fmul(*arguments)

    return a(a, b), codegen


@operation
def divide(_typing, a, b):
    """``a / b``."""

    def codegen(_context, builder, _signature, arguments):
        return builder.fdiv(*arguments)

    return a(a, b), codegen
