"""Factors of users by what they did just now, beside item factors that were trained before.

With the items' factors fixed, the alternating least squares of Hu, Koren, Volinsky (Collaborative Filtering for
Implicit Feedback Datasets, ICDM 2008, equation 4) has a closed solution for each user: what its training ends with.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame

from larder.models import columns as C
from larder.models.interactions.history_frames import user_items_of
from larder.models.lists.top_n_lists import item_matrix

Floats = npt.NDArray[np.float32]


def fold_in(
    item_factors: Floats,
    offsets: npt.NDArray[np.integer],
    items: npt.NDArray[np.integer],
    ratings: npt.NDArray[np.floating],
    regularisation: float,
    alpha: float,
    scaling: float = 1.0,
) -> Floats:
    """The factors of m users, shape (m, d).

    Args:
        item_factors: shape (i, d). offsets: shape (m + 1,); user u rated items[offsets[u]:offsets[u + 1]].
        items: shape (k,), item numbers. ratings: shape (k,), positive strengths.
        regularisation: times the number of a user's ratings to the power of `scaling`, 1 as in Spark's MLlib;
            alpha: confidence is 1 + alpha x rating.
    """
    factors = item_factors.astype(np.float64)
    gram, unit = factors.T @ factors, np.eye(factors.shape[1])
    users = np.zeros((len(offsets) - 1, factors.shape[1]), np.float32)
    for user, (start, end) in enumerate(pairwise(offsets.tolist())):
        if start == end:
            continue
        rated, weight = factors[items[start:end]], alpha * ratings[start:end, None].astype(np.float64)
        left = gram + rated.T @ (weight * rated) + regularisation * (end - start) ** scaling * unit
        users[user] = np.linalg.solve(left, (rated * (1 + weight)).sum(axis=0))
    return users


def fold_in_users(
    rated: DataFrame, items: DataFrame, products: int, regularisation: float, alpha: float, scaling: float = 1.0
) -> DataFrame:
    """A row a cookie: COOKIE_KEY and FACTORS.

    Args: `rated` of COOKIE_KEY, HISTORY_ITEMS and HISTORY_STRENGTHS, of items that have factors; `items` with
    PRODUCT_NUMBER, below `products`, and FACTORS; regularisation, alpha and scaling: those of the training.
    """
    matrix, _ = item_matrix(items, products)
    shared = rated.sparkSession.sparkContext.broadcast(matrix)

    def solve(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            did = user_items_of(batch)
            users = fold_in(shared.value, did.offsets, did.items, did.strengths, regularisation, alpha, scaling)
            ends = pa.array(np.arange(len(users) + 1) * users.shape[1], pa.int32())
            vectors = pa.ListArray.from_arrays(ends, pa.array(users.ravel()))
            yield pa.record_batch([batch.column(C.COOKIE_KEY), vectors], names=[C.COOKIE_KEY, C.FACTORS])

    return rated.mapInArrow(solve, f"{C.COOKIE_KEY} long, {C.FACTORS} array<float>")
