"""Trilinear interpolation of three interleaved channels side by side, in a few vector instructions.

The eight corners are named by their last bits along i, j and k; u, v and w are the shares of the upper ones.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from diffus.propagation._simd import operation

CHANNELS = 3
"""Impedance, attenuation and backscatter."""


class _Emitter:
    """Writes instructions on vectors of three channels.

    Args:
        context: Numba's.
        builder: LLVM's.
        real: Numba's type of the numbers.
    """

    def __init__(self, context, builder, real):
        self.context, self.builder, self.real = context, builder, real
        self.shape = ir.VectorType(context.get_value_type(real), CHANNELS)
        self.undefined = ir.Constant(self.shape, ir.Undefined)

    def corner(self, data, index):
        """The channels of the voxel that begins at a place of flat data."""
        place = self.builder.bitcast(self.builder.gep(data, [index]), self.shape.as_pointer())
        return self.builder.load(place, align=self.real.bitwidth // 8)

    def together(self, numbers):
        """Three numbers as a vector."""
        vector = self.undefined
        for lane, number in enumerate(numbers):
            vector = self.builder.insert_element(vector, number, ir.Constant(ir.IntType(32), lane))
        return vector

    def between(self, low, step, share):
        """``low + share step``."""
        name = f"llvm.fmuladd.v{CHANNELS}f{self.real.bitwidth}"
        kind = ir.FunctionType(self.shape, [self.shape] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, [share, step, low])

    def lanes(self, vector):
        """The three numbers of a vector."""
        at = [ir.Constant(ir.IntType(32), lane) for lane in range(CHANNELS)]
        return [self.builder.extract_element(vector, lane) for lane in at]

    def sum_of_products(self, one, other):
        """Scalar product."""
        a, b, c = self.lanes(self.builder.fmul(one, other))
        return self.builder.fadd(self.builder.fadd(a, b), c)

    def corners(self, data, index, steps):
        """The eight corners, in the order of their bits, with the lower along k and their difference."""
        add, along_k = self.builder.add, []
        for i in (index, add(index, steps[0])):
            for j in (i, add(i, steps[1])):
                low, high = self.corner(data, j), self.corner(data, add(j, steps[2]))
                along_k.append((low, self.builder.fsub(high, low)))
        return along_k


@operation
def interpolated(_typing, flat, index, step_i, step_j, step_k, u, v, w):
    """The three channels between the eight voxels at ``index`` and a step further along the axes."""
    real = flat.dtype

    def codegen(context, builder, signature, arguments):
        emit = _Emitter(context, builder, real)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        u_, v_, w_ = (emit.together([share] * CHANNELS) for share in arguments[5:])
        sub = builder.fsub
        a00, a01, a10, a11 = (
            emit.between(low, step, w_) for low, step in emit.corners(data, arguments[1], arguments[2:5])
        )
        b0, b1 = emit.between(a00, sub(a01, a00), v_), emit.between(a10, sub(a11, a10), v_)
        value = emit.lanes(emit.between(b0, sub(b1, b0), u_))
        return context.make_tuple(builder, signature.return_type, value)

    integer = types.intp
    return types.UniTuple(real, CHANNELS)(flat, integer, integer, integer, integer, real, real, real), codegen


@operation
def slopes(_typing, flat, index, step_i, step_j, step_k, u, v, w, bar_0, bar_1, bar_2):
    """Slopes along i, j and k of the channels weighted by three numbers, and the last channel itself."""
    real = flat.dtype

    def codegen(context, builder, signature, arguments):
        emit = _Emitter(context, builder, real)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        u_, v_, w_ = (emit.together([share] * CHANNELS) for share in arguments[5:8])
        bars, sub, between = emit.together(arguments[8:]), builder.fsub, emit.between
        along_k = emit.corners(data, arguments[1], arguments[2:5])
        a00, a01, a10, a11 = (between(low, step, w_) for low, step in along_k)
        k00, k01, k10, k11 = (step for _, step in along_k)
        j0, j1 = sub(a01, a00), sub(a11, a10)
        b0, b1 = between(a00, j0, v_), between(a10, j1, v_)
        k0, k1 = between(k00, sub(k01, k00), v_), between(k10, sub(k11, k10), v_)
        along = (sub(b1, b0), between(j0, sub(j1, j0), u_), between(k0, sub(k1, k0), u_))
        last = emit.lanes(between(b0, along[0], u_))[CHANNELS - 1]
        found = [emit.sum_of_products(slope, bars) for slope in along]
        return context.make_tuple(builder, signature.return_type, [*found, last])

    integer = types.intp
    arguments = (flat, integer, integer, integer, integer, *(real,) * 6)
    return types.UniTuple(real, 4)(*arguments), codegen
