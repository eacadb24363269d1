"""An inner product whose bits depend on its two vectors alone.

A matrix product (BLAS) adds up in an order that depends on the shapes of the matrices and on where in them a row lies,
so the last bits of a user's score would depend on which other users stand in its batch. Here the order is fixed: LANES
partial sums, element k going to sum k mod LANES, which are then added up by halves; the elements after the last whole
LANES follow one by one. Products and sums are rounded one by one (never fused), as IEEE 754 defines them, so every
processor gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from larder.kernels import kernel

LANES = 16
# Half a unit in the last place of 1, the greatest relative error of one float32 operation.
ROUNDING = 2.0**-24


@intrinsic
def dot_product(typing_context: Any, left: Any, right: Any) -> Any:
    """Returns the inner product of two contiguous float32 vectors of one length; callable from compiled code only.

    Numba has no vector types, and a plain loop without leave to reorder takes four times as long, hence the
    instructions in LLVM's own terms.
    """
    for vector in (left, right):
        if not isinstance(vector, types.Array) or (vector.ndim, vector.dtype, vector.layout) != (1, types.float32, "C"):
            return None
    return types.float32(left, right), _generate


@kernel
def dot_products(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns the `dot_product` of every two rows of left (m, d) and right (n, d), shape (m, n).

    Several times slower than a matrix product, for the few cases in which all of them are needed.
    """
    products = np.empty((len(left), len(right)), np.float32)
    for row in range(len(left)):
        for column in range(len(right)):
            products[row, column] = dot_product(left[row], right[column])
    return products


def most_rounding(
    queries: npt.NDArray[np.float32], lengths: npt.NDArray[np.floating], longest: float
) -> npt.NDArray[np.float32]:
    """Returns a bound on how far two float32 inner products may differ that add up in other orders, shape (m,).

    For queries (m, d) with `lengths` (m,), and vectors of a length of at most `longest`: 2 d u |q| |v| for a rounding
    error u (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and half as much again for what the
    lengths themselves lose.
    """
    return np.asarray(3 * ROUNDING * queries.shape[1] * longest * lengths.astype(np.float64), np.float32)


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    single, index = ir.FloatType(), ir.IntType(64)
    lanes = ir.VectorType(single, LANES)
    vectors = [
        context.make_array(kind)(context, builder, value) for kind, value in zip(signature.args, arguments, strict=True)
    ]
    length = builder.extract_value(vectors[0].shape, 0)
    whole = builder.and_(length, ir.Constant(index, -LANES))

    sums = cgutils.alloca_once_value(builder, ir.Constant(lanes, [0.0] * LANES))
    with cgutils.for_range_slice(builder, index(0), whole, index(LANES), index) as (start, _):
        parts = []
        for vector in vectors:
            at = builder.bitcast(builder.gep(vector.data, [start]), lanes.as_pointer())
            parts.append(builder.load(at, align=4))
        builder.store(builder.fadd(builder.load(sums), builder.fmul(*parts)), sums)

    partial, width = builder.load(sums), LANES
    while width > 1:
        width //= 2
        halves = [
            builder.shuffle_vector(partial, partial, ir.Constant(ir.VectorType(ir.IntType(32), width), list(half)))
            for half in (range(width), range(width, 2 * width))
        ]
        partial = builder.fadd(*halves)
    total = cgutils.alloca_once_value(builder, builder.extract_element(partial, ir.IntType(32)(0)))
    with cgutils.for_range_slice(builder, whole, length, index(1), index) as (at, _):
        left, right = (builder.load(builder.gep(vector.data, [at])) for vector in vectors)
        builder.store(builder.fadd(builder.load(total), builder.fmul(left, right)), total)
    return builder.load(total)
