"""From raw rows to believed events: rename, cast, find what is wrong with a row."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from models import columns as C
from models.schemas import EVENT

CORRUPT = "_corrupt_record"
DEFAULT_QUANTITY = 1

# Why a row is set aside, in the order in which it is looked for.
MALFORMED = "malformed_row"
BAD_TYPE = "bad_type"  # bad_type:COLUMN: a value that can't be read as the contract's type
MISSING = "missing"  # missing:COLUMN
UNKNOWN_EVENT_TYPE = "unknown_event_type"
FUTURE_TIMESTAMP = "future_timestamp"
TOO_LATE = "too_late"
BAD_QUANTITY = "quantity_not_positive"
NEGATIVE_PRICE = "negative_price"


def as_events(raw: DataFrame, column_names: Mapping[str, str], keep: list[str]) -> DataFrame:
    """Raw rows in the contract's columns and types, plus RAW (the row as JSON), REASON and the columns in `keep`.

    `column_names` maps a contract column to the raw one where they differ. A contract column that the input lacks is
    null. REASON is null for a row that can be believed so far.
    """
    fields = [field for field in raw.columns if field not in keep]
    sources = {f.name: _source(raw, column_names.get(f.name, f.name), f.dataType) for f in EVENT.fields}
    casts = {
        name: _cast(raw, column_names.get(name, name), source, EVENT[name].dataType) for name, source in sources.items()
    }
    malformed = F.col(CORRUPT).isNotNull() if CORRUPT in raw.columns else F.lit(False)
    reason = F.when(malformed, F.lit(MALFORMED))
    for name, source in sources.items():
        bad = source.isNotNull() & casts[name].isNull()
        reason = reason.when(bad, F.lit(f"{BAD_TYPE}:{name}"))
    row = F.to_json(F.struct(*(_named(field) for field in fields)))
    return raw.select(
        *(casts[name].alias(name) for name in EVENT.fieldNames()),
        reason.alias(C.REASON),
        (F.coalesce(F.col(CORRUPT), row) if CORRUPT in raw.columns else row).alias(C.RAW),
        *keep,
    )


def _source(raw: DataFrame, name: str, type_: T.DataType) -> Column:
    if name not in raw.columns:
        return F.lit(None).cast(type_)
    column = _named(name)
    is_nanoseconds = isinstance(type_, T.TimestampType) and isinstance(raw.schema[name].dataType, T.LongType)
    # Spark reads Parquet's nanosecond timestamps as integers (spark.sql.legacy.parquet.nanosAsLong).
    return F.timestamp_micros(_whole_microseconds(column)) if is_nanoseconds else column


def _named(name: str) -> Column:
    """The column of this very name, whatever dots and quotes are in it."""
    return F.col("`" + name.replace("`", "``") + "`")


def _whole_microseconds(nanoseconds: Column) -> Column:
    """In integers: a double does not hold today's nanoseconds, and would be off by a microsecond."""
    thousand = F.lit(1000).cast("long")
    return F.call_function("div", nanoseconds - F.pmod(nanoseconds, thousand), thousand)


def _cast(raw: DataFrame, name: str, source: Column, type_: T.DataType) -> Column:
    """A number that does not fit an integer is null, as text that is no number is; a cast would wrap it around."""
    is_number = name in raw.columns and isinstance(raw.schema[name].dataType, T.NumericType)
    return source.try_cast(type_) if is_number and isinstance(type_, T.IntegerType) else source.cast(type_)


def with_reason(events: DataFrame, max_lateness_hours: int) -> DataFrame:
    """Adds to REASON what is wrong with each event, given the HOUR of the partition in which it lies."""
    end_of_hour = F.timestamp_seconds((F.col(C.HOUR) + 1).cast("long") * 3600)
    earliest = F.timestamp_seconds((F.col(C.HOUR) - max_lateness_hours).cast("long") * 3600)
    reason = F.when(F.col(C.REASON).isNotNull(), F.col(C.REASON))
    for name in (C.COOKIE_ID, C.PRODUCT_ID, C.EVENT_TYPE):
        reason = reason.when(_is_blank(name), F.lit(f"{MISSING}:{name}"))
    reason = (
        reason.when(F.col(C.TS).isNull(), F.lit(f"{MISSING}:{C.TS}"))
        .when(~F.col(C.EVENT_TYPE).isin(*C.EVENT_TYPES), F.lit(UNKNOWN_EVENT_TYPE))
        .when(F.col(C.TS) >= end_of_hour, F.lit(FUTURE_TIMESTAMP))
        .when(F.col(C.TS) < earliest, F.lit(TOO_LATE))
        .when(F.col(C.QUANTITY) < 1, F.lit(BAD_QUANTITY))
        .when(F.col(C.PRICE) < 0, F.lit(NEGATIVE_PRICE))
    )
    return events.withColumn(C.REASON, reason)


def _is_blank(name: str) -> Column:
    return F.col(name).isNull() | (F.trim(F.col(name)) == "")


def filter_valid(events: DataFrame) -> DataFrame:
    """The events that nothing is wrong with."""
    return events.where(F.col(C.REASON).isNull())


def as_quarantine(events: DataFrame, source: str, keep: list[str]) -> DataFrame:
    """The rest, as rows of the quarantine table, plus the columns in `keep`."""
    rejected = events.where(F.col(C.REASON).isNotNull())
    return rejected.select(F.col(source).alias(C.SOURCE), C.REASON, C.RAW, *keep)
