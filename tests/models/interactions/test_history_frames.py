"""What each cookie bought, as arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from larder.models.encoding.arrow_lists import lists_of, vectors_of
from larder.models.interactions.history_frames import as_histories, purchase_history_of, user_items_of, with_history
from larder.models.tables import INTERACTIONS, PRODUCT_NUMBERS


def test_a_history_holds_what_was_bought_by_product_number(spark: SparkSession) -> None:
    rows = [
        (1, "pb", 40, 1, 9, 9),
        (1, "pa", 20, 3, 9, 9),
        (1, "pc", 99, 0, 9, None),  # only seen
        (2, "gone", 10, 1, 9, 9),  # no product any more
        (3, "pc", 10, 1, 9, 9),
    ]
    numbers = spark.createDataFrame([("pa", 0), ("pb", 1), ("pc", 2)], PRODUCT_NUMBERS.schema)
    histories = as_histories(spark.createDataFrame(rows, INTERACTIONS.schema), numbers, F.col("strength") / 10, 57)
    users = spark.createDataFrame([(1,), (2,), (3,)], "cookie_key long")
    found = {row.cookie_key: tuple(row[1:]) for row in with_history(users, histories).collect()}
    assert found == {
        1: ([0, 1], [2.0, 4.0], [3.0, 1.0], [2.0, 2.0]),
        2: ([], [], [], []),
        3: ([2], [1.0], [1.0], [2.0]),
    }


ROWS = pa.table(
    {
        "history_items": pa.array([[4, 5], [], [6]], pa.list_(pa.int32())),
        "history_strengths": pa.array([[1.0, 2.0], [], [3.0]], pa.list_(pa.float32())),
        "factors": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32())),
    }
)


def test_arrays_of_rows_however_they_are_cut() -> None:
    for rows in (ROWS, pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1)])):
        owned = user_items_of(rows)
        assert owned.offsets.tolist() == [0, 2, 2, 3]
        assert owned.items.tolist() == [4, 5, 6]
        assert owned.strengths.tolist() == [1, 2, 3]
        assert vectors_of(rows, "factors").tolist() == [[1, 2], [3, 4], [5, 6]]


def test_purchases_and_days_are_read_where_they_are() -> None:
    assert len(purchase_history_of(ROWS).days) == 0
    more = {name: pa.array([[1.0, 2.0], [], [3.0]], pa.list_(pa.float32())) for name in ("purchases", "days")}
    rows = ROWS
    for name, values in more.items():
        rows = rows.append_column(f"history_{name}", values)
    part = purchase_history_of(rows).rows(1, 3)
    assert (part.bought.items.tolist(), part.purchases.tolist(), part.days.tolist()) == ([6], [3], [3])


def test_a_slice_of_rows_has_the_history_of_its_own() -> None:
    owned = user_items_of(ROWS.to_batches()[0].slice(1, 2))
    assert (owned.offsets.tolist(), owned.items.tolist()) == ([0, 0, 1], [6])
    assert vectors_of(ROWS.to_batches()[0].slice(2, 1), "factors").tolist() == [[5, 6]]


def test_padding_is_left_out_of_lists() -> None:
    items, scores = lists_of(np.array([[3, 1, -1], [-1, -1, -1], [2, 0, 5]]), np.arange(9.0).reshape(3, 3))
    assert items.to_pylist() == [[3, 1], [], [2, 0, 5]]
    assert scores.to_pylist() == [[0, 1], [], [6, 7, 8]]
