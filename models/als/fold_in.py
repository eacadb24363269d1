"""Factors of users from their latest interactions, with item factors trained before.

With the item factors fixed, the alternating least squares of Hu, Koren, Volinsky (Collaborative Filtering for Implicit
Feedback Datasets, ICDM 2008, equation 4) has a closed solution for each user: the one that training converges to.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame
from threadpoolctl import threadpool_limits

from larder.kernels import kernel
from larder.models import columns as C
from larder.models.interactions.history_frames import user_items_of
from larder.models.lists.top_n_lists import item_matrix

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# A pivot below this share of the matrix's mean diagonal is rounding: nothing determines that direction.
LEAST_PIVOT = 1e-13


class FoldIn:
    """Solves users for fixed item factors, (i, d).

    The regularisation is multiplied by the number of a user's interactions to the power of `scaling`, 1 as in Spark's
    MLlib. A strength r gives a confidence of 1 + alpha r.
    """

    def __init__(self, item_factors: Floats, regularisation: float, alpha: float, scaling: float = 1.0) -> None:
        self.factors = np.ascontiguousarray(item_factors, np.float64)
        with threadpool_limits(1, "blas"):  # so that the sums do not depend on how many cores there are
            self.gram = self.factors.T @ self.factors
        self.regularisation, self.alpha, self.scaling = regularisation, alpha, scaling

    def users(
        self,
        offsets: npt.NDArray[np.integer],
        items: npt.NDArray[np.integer],
        strengths: npt.NDArray[np.floating],
    ) -> Floats:
        """Returns the factors of m users, shape (m, d); zeros for one without interactions.

        User u interacted with items[offsets[u]:offsets[u + 1]] (item numbers), with those positive strengths. A user's
        factors are the same to the bit whoever else is solved.
        """
        users = np.zeros((len(offsets) - 1, self.factors.shape[1]), np.float32)
        _solve(
            self.factors,
            self.gram,
            offsets.astype(np.int64),
            items.astype(np.int64),
            self.alpha * strengths.astype(np.float64),
            float(self.regularisation),
            float(self.scaling),
            users,
        )
        return users


def fold_in_users(
    rated: DataFrame, items: DataFrame, products: int, regularisation: float, alpha: float, scaling: float = 1.0
) -> DataFrame:
    """Returns COOKIE_KEY and FACTORS, a row a cookie.

    Args: `rated` has COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS, of items that have factors; `items` has
    PRODUCT_NUMBER, below `products`, and FACTORS; regularisation, alpha and scaling are those of the training.
    """
    matrix, _ = item_matrix(items, products)
    shared = rated.sparkSession.sparkContext.broadcast(matrix)

    def solve(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        fold_in = FoldIn(shared.value, regularisation, alpha, scaling)
        for batch in batches:
            did = user_items_of(batch)
            users = fold_in.users(did.offsets, did.items, did.strengths)
            ends = pa.array(np.arange(len(users) + 1) * users.shape[1], pa.int32())
            vectors = pa.ListArray.from_arrays(ends, pa.array(users.ravel()))
            yield pa.record_batch([batch.column(C.COOKIE_KEY), vectors], names=[C.COOKIE_KEY, C.FACTORS])

    return rated.mapInArrow(solve, f"{C.COOKIE_KEY} long, {C.FACTORS} array<float>")


@kernel
def _solve(
    factors: Doubles,
    gram: Doubles,
    offsets: npt.NDArray[np.int64],
    items: npt.NDArray[np.int64],
    weights: Doubles,
    regularisation: float,
    scaling: float,
    users: Floats,
) -> None:
    """Solves (Y'Y + sum_i w_i y_i y_i' + reg I) x = sum_i (1 + w_i) y_i for each user by Cholesky's decomposition.

    Only the upper triangle is used. Inner loops run along rows and add no sums up, so that they become vector
    instructions without another order of operations.
    """
    rank = factors.shape[1]
    left, right = np.empty((rank, rank)), np.empty(rank)
    for user in range(len(users)):
        start, end = offsets[user], offsets[user + 1]
        if start == end:
            continue
        reg = regularisation * float(end - start) ** scaling
        trace = 0.0
        for a in range(rank):
            for b in range(a, rank):
                left[a, b] = gram[a, b]
            left[a, a] += reg
            right[a] = 0.0
        for entry in range(start, end):
            y, weight = factors[items[entry]], weights[entry]
            for a in range(rank):
                share = weight * y[a]
                for b in range(a, rank):
                    left[a, b] += share * y[b]
            for a in range(rank):
                right[a] += (1.0 + weight) * y[a]
        for a in range(rank):
            trace += left[a, a]
        least = LEAST_PIVOT * trace / rank
        for k in range(rank):
            pivot = 1.0 / np.sqrt(left[k, k]) if left[k, k] > least else 0.0
            for b in range(k, rank):
                left[k, b] *= pivot
            for a in range(k + 1, rank):
                share = left[k, a]
                for b in range(a, rank):
                    left[a, b] -= share * left[k, b]
            share = right[k] * pivot
            right[k] = share
            for b in range(k + 1, rank):
                right[b] -= share * left[k, b]
        for k in range(rank - 1, -1, -1):
            total = right[k]
            for b in range(k + 1, rank):
                total -= left[k, b] * right[b]
            right[k] = total / left[k, k] if left[k, k] > 0.0 else 0.0
            users[user, k] = right[k]
