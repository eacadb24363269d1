"""An hour's events as counts."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from models import columns as C
from models.events import DEFAULT_QUANTITY

IS_DUPLICATE = "_is_duplicate"
KEY = (C.COOKIE_KEY, C.PRODUCT_ID, C.LOCATION, C.DEVICE)


def with_cookie_key(events: DataFrame) -> DataFrame:
    """Adds the cookie's 64-bit key."""
    return events.withColumn(C.COOKIE_KEY, F.xxhash64(C.COOKIE_ID))


def with_duplicates_marked(events: DataFrame, within: list[str]) -> DataFrame:
    """Marks an event whose event_id the same cookie had before in the same hour; the earliest one stays.

    `within` names columns by which the frame is already partitioned, so that no shuffle is needed.
    """
    same = Window.partitionBy(*within, C.COOKIE_KEY, C.EVENT_ID)
    order = (C.TS, C.PRODUCT_ID, C.EVENT_TYPE, C.LOCATION, C.DEVICE, C.QUANTITY)
    again = F.row_number().over(same.orderBy(*order)) > 1
    return events.withColumn(IS_DUPLICATE, F.col(C.EVENT_ID).isNotNull() & again)


def with_no_duplicates(events: DataFrame) -> DataFrame:
    """For events without ids: nothing can be called a duplicate."""
    return events.withColumn(IS_DUPLICATE, F.lit(False))


def as_hourly_counts(events: DataFrame, within: list[str]) -> DataFrame:
    """Counts per hour, cookie, product, location and device: the columns of HOURLY_COUNTS, and `within`.

    Duplicates are counted apart and nowhere else, so that in = out + quarantined + duplicates can be checked.
    """
    fresh = ~F.col(IS_DUPLICATE)
    counts = [
        F.count_if(fresh & (F.col(C.EVENT_TYPE) == type_)).cast("int").alias(name)
        for type_, name in C.COUNT_OF_TYPE.items()
    ]
    units = F.coalesce(F.col(C.QUANTITY), F.lit(DEFAULT_QUANTITY))
    bought = fresh & (F.col(C.EVENT_TYPE) == "purchase")
    return (
        events.withColumn(C.LOCATION, F.coalesce(C.LOCATION, F.lit("")))
        .withColumn(C.DEVICE, F.coalesce(C.DEVICE, F.lit("")))
        .groupBy(*within, *KEY)
        .agg(
            *counts,
            F.coalesce(F.sum(F.when(bought, units)), F.lit(0)).cast("int").alias(C.QUANTITY),
            F.max(C.TS).alias(C.LAST_TS),
            F.count_if(F.col(IS_DUPLICATE)).cast("int").alias(C.DUPLICATES),
        )
    )
