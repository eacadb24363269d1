"""Rows of a DataFrame on the driver, as an Arrow table, on every Spark that Larder supports."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame


def to_arrow(frame: DataFrame) -> pa.Table:
    """Returns all rows of a DataFrame as one Arrow table. Spark 3.5 has no DataFrame.toArrow yet."""
    rows: Any = frame  # what it can do depends on Spark's version
    if hasattr(DataFrame, "toArrow"):
        return rows.toArrow()
    from pyspark.sql.pandas.types import to_arrow_schema

    batches = rows._collect_as_arrow()
    return pa.Table.from_batches(batches) if batches else to_arrow_schema(frame.schema).empty_table()
