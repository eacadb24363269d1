"""The item side of implicit ALS by conjugate gradients, for training in which no process holds all users' factors.

The item with factors y solves (X'X + sum_u w_u x_u x_u' + reg I) y = sum_u (1 + w_u) x_u. Conjugate gradients ask only
for the product of that matrix with a vector, and that is a sum over blocks of users. All items take their steps at
once, so each step is one pass over the blocks and one sum of arrays (items, rank).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
# Sums over all users' blocks of larder.models.als.als_kernels.add_item_products, for vectors (i, d).
SparseProduct = Callable[[Floats], Floats]


def initial_item_factors(sums: Floats, counts: npt.NDArray[np.int64]) -> Floats:
    """Returns the item factors (i, d) that training starts from: roughly the directions in which items differ most.

    `sums` (i, d) are each item's sums of its users' random vectors, `counts` (i,) the number of its users. The sums
    span nearly the same space as the leading singular vectors (Halko, Martinsson, Tropp, Finding Structure with
    Randomness, SIAM Review 2011), which saves one iteration compared with a random start. The scale is about that of
    trained factors.
    """
    directions, _ = np.linalg.qr(sums / np.sqrt(1 + counts)[:, None])
    scale = (counts.sum() / sums.shape[1]) ** 0.25
    first = np.zeros_like(sums)
    first[:, : directions.shape[1]] = directions * scale  # fewer directions than factors, where items are few
    return first


def solve_items(
    factors: Floats, gram: Floats, residual: Floats, regularisation: Floats, steps: int, product: SparseProduct
) -> Floats:
    """Returns item factors (i, d) after `steps` steps of conjugate gradients from `factors` (i, d).

    Args:
        gram: X'X of all user factors, shape (d, d).
        residual: the sparse right-hand side less the sparse product of `factors`, shape (i, d).
        regularisation: of each item, shape (i,).
    """

    def whole(vectors: Floats, sparse: Floats) -> Floats:
        return sparse + vectors @ gram + regularisation[:, None] * vectors

    solved = factors.copy()
    left = residual - whole(factors, np.zeros_like(factors))
    direction, squared = left.copy(), _row_products(left, left)
    for _ in range(steps):
        towards = whole(direction, product(direction))
        step = _quotients(squared, _row_products(direction, towards))
        solved += step[:, None] * direction
        left -= step[:, None] * towards
        later = _row_products(left, left)
        direction = left + _quotients(later, squared)[:, None] * direction
        squared = later
    return solved


def _row_products(left: Floats, right: Floats) -> Floats:
    return np.einsum("ij,ij->i", left, right)


def _quotients(above: Floats, below: Floats) -> Floats:
    """Returns quotients, 0 where an item is solved already."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 1e-30)
