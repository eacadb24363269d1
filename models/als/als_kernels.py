"""The inner loops of implicit ALS, compiled: conjugate gradients over the interactions of a block.

With confidence c = 1 + w for what was seen and 1 for what was not (Hu, Koren, Volinsky 2008), a user's factors x solve
    (Y'Y + sum_i w_i y_i y_i' + reg I) x = sum_i (1 + w_i) y_i        over the items i that were seen.
A few steps of conjugate gradients from the last iteration's factors are enough (Takács, Pilászy, Tikk, Applications of
the Conjugate Gradient Method for Implicit Feedback Collaborative Filtering, RecSys 2011): each costs two passes over
the user's rows of Y, which stay in the cache, where forming the matrix costs rank passes.

Loops are written out: the compiler turns them into vector instructions, and a call a row would cost more than the row.
A loop that sums does not store: where it did, the compiled code asked at run time whether arrays overlap, took
neighbours on the heap for overlapping, and then added up in another order: bytes differed from run to run.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from larder.kernels import kernel

Floats = npt.NDArray[np.float32]
Offsets = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]

# Squared residuals below this are rounding.
CONVERGED = np.float32(1e-20)


@kernel(fastmath=True)
def solve_users(
    offsets: Offsets,
    items: Numbers,
    weights: Floats,
    gram: Floats,
    item_factors: Floats,
    user_factors: Floats,
    regularisation: float,
    scaling: float,
    steps: int,
) -> None:
    """Improves `user_factors` (m, d), in place, by `steps` steps of conjugate gradients.

    User u has items[offsets[u]:offsets[u + 1]] with those weights, each a confidence less 1. `gram` (d, d) is Y'Y of
    `item_factors` (i, d). A user with n items is regularised by regularisation * n^scaling.
    """
    users, rank = len(offsets) - 1, item_factors.shape[1]
    most = 0
    for user in range(users):
        most = max(most, offsets[user + 1] - offsets[user])
    rows = np.empty((most, rank), np.float32)
    residual, direction = np.empty(rank, np.float32), np.empty(rank, np.float32)
    product = np.empty(rank, np.float32)
    for user in range(users):
        start, seen = offsets[user], offsets[user + 1] - offsets[user]
        reg = np.float32(regularisation * float(seen) ** scaling)
        x = user_factors[user]
        for k in range(rank):
            residual[k] = -reg * x[k]
        for row in range(rank):
            factor = x[row]
            for k in range(rank):
                residual[k] -= factor * gram[row, k]
        for j in range(seen):
            y, weight, score = item_factors[items[start + j]], weights[start + j], np.float32(0)
            for k in range(rank):
                rows[j, k] = y[k]
            for k in range(rank):
                score += rows[j, k] * x[k]
            missing = (np.float32(1) + weight) - weight * score
            for k in range(rank):
                residual[k] += missing * rows[j, k]
        squared = np.float32(0)
        for k in range(rank):
            direction[k] = residual[k]
        for k in range(rank):
            squared += residual[k] * residual[k]
        for _ in range(steps):
            if squared < CONVERGED:
                break
            for k in range(rank):
                product[k] = reg * direction[k]
            for row in range(rank):
                factor = direction[row]
                for k in range(rank):
                    product[k] += factor * gram[row, k]
            for j in range(seen):
                score = np.float32(0)
                for k in range(rank):
                    score += rows[j, k] * direction[k]
                score *= weights[start + j]
                for k in range(rank):
                    product[k] += score * rows[j, k]
            curvature = np.float32(0)
            for k in range(rank):
                curvature += direction[k] * product[k]
            if curvature <= 0:
                break
            step, later = squared / curvature, np.float32(0)
            for k in range(rank):
                x[k] += step * direction[k]
                residual[k] -= step * product[k]
            for k in range(rank):
                later += residual[k] * residual[k]
            turn, squared = later / squared, later
            for k in range(rank):
                direction[k] = residual[k] + turn * direction[k]


@kernel(fastmath=True)
def add_item_products(
    listed: Numbers,
    offsets: Offsets,
    users: Numbers,
    weights: Floats,
    user_factors: Floats,
    vectors: Floats,
    sums: Floats,
    residual: bool,
) -> None:
    """Adds to `sums` (i, d) a block's share of the sparse part of each item's matrix times its vector in `vectors`.

    For a vector v in `vectors` (i, d) that is sum_u w_u (x_u . v) x_u; or, with `residual`, the right-hand side less
    that: sum_u (1 + w_u - w_u (x_u . v)) x_u. Item listed[j] has users[offsets[j]:offsets[j + 1]], rows of
    `user_factors` (m, d).
    """
    rank = user_factors.shape[1]
    total = np.empty(rank, np.float32)
    for j in range(len(listed)):
        vector = vectors[listed[j]]
        for k in range(rank):
            total[k] = 0
        for entry in range(offsets[j], offsets[j + 1]):
            x, weight, score = user_factors[users[entry]], weights[entry], np.float32(0)
            for k in range(rank):
                score += x[k] * vector[k]
            term = weight * score
            if residual:
                term = (np.float32(1) + weight) - term
            for k in range(rank):
                total[k] += term * x[k]
        into = sums[listed[j]]
        for k in range(rank):
            into[k] += total[k]
