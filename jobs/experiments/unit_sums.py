"""From served rows and events to a row for each unit of an experiment: its arm, and its part in every metric.

The steps, each a function from DataFrames to one: `first_arms` (the arm that counts), `attributed` (which events follow
what the unit was shown), `metric_sums` (a column for each metric), `with_time_before`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from larder.jobs.experiments import experiment_columns as E
from larder.models import columns as C
from larder.settings import MetricSettings
from larder.settings.report_section import IMPRESSION, PRODUCT, REQUEST, VISITOR

Metrics = Mapping[str, MetricSettings]
MICROSECONDS_AN_HOUR = 3_600_000_000
SERVED_AT = "served_at"
LONG_AGO = -(1 << 62)  # before every moment
ONE_EVENT = (E.UNIT, E.HOUR, E.EVENT)


def first_arms(served: DataFrame) -> DataFrame:
    """Returns a row for each unit: its first ARM, since when, its IMPRESSIONS and REQUESTS there, and those MOVED.

    LOCATION and DEVICE are those of the first impression. MOVED counts the impressions in other arms, into which a unit
    comes when shares are shifted; they are left out.
    """
    first = F.min(F.struct(E.MOMENT, E.LOCATION, E.DEVICE)).alias("first")
    sums = (F.sum(E.IMPRESSIONS).alias(E.IMPRESSIONS), F.count_distinct(E.REQUEST).alias(E.REQUESTS))
    of_arms = served.where(F.col(E.STATE) == E.IN_ARM).groupBy(E.UNIT, E.ARM).agg(first, *sums)
    since = F.col("first").getField(E.MOMENT).alias(E.SINCE)
    place = [F.col("first").getField(name).alias(name) for name in (E.LOCATION, E.DEVICE)]
    earliest = F.min(F.struct(since, E.ARM, *place, E.IMPRESSIONS, E.REQUESTS)).alias("earliest")
    units = of_arms.groupBy(E.UNIT).agg(earliest, F.sum(E.IMPRESSIONS).alias("all"))
    moved = (F.col("all") - F.col("earliest").getField(E.IMPRESSIONS)).alias(E.MOVED)
    return units.select(E.UNIT, "earliest.*", moved)


def attributed(events: DataFrame, units: DataFrame, served: DataFrame, within: int) -> DataFrame:
    """Returns the events of units, each once, with a column of IS_ATTRIBUTED_BY for each attribution.

    An event belongs to a request with its id that the unit made in its arm, at most `within` hours before, and to a
    product if that was among those shown; to the visitor, if it is not before SINCE. That it comes after its request is
    not asked for: the clocks of two machines may differ by seconds.
    """
    values = [name for name in events.columns if name not in ONE_EVENT]
    once = events.groupBy(*ONE_EVENT).agg(F.min(F.struct(*values)).alias("earliest")).select(*ONE_EVENT, "earliest.*")
    own = once.join(units.select(E.UNIT, E.ARM, E.SINCE), E.UNIT)
    of_arms = served.where(F.col(E.STATE) == E.IN_ARM)
    shown = of_arms.select(E.UNIT, E.ARM, E.REQUEST, F.col(E.MOMENT).alias(SERVED_AT), E.PRODUCTS)
    in_time = F.col(E.MOMENT) - F.col(SERVED_AT) <= within * MICROSECONDS_AN_HOUR
    is_shown = F.array_contains(E.PRODUCTS, F.col(E.PRODUCT))
    flags = {REQUEST: in_time, PRODUCT: in_time & is_shown, VISITOR: F.col(E.MOMENT) >= F.col(E.SINCE)}
    of_event = [F.max(F.coalesce(flag, F.lit(False))).alias(E.IS_ATTRIBUTED_BY[name]) for name, flag in flags.items()]
    pairs = own.join(shown, [E.UNIT, E.ARM, E.REQUEST], "left")
    return pairs.groupBy(*ONE_EVENT).agg(*(F.first(name).alias(name) for name in values), *of_event)


def metric_sums(attributed_events: DataFrame, metrics: Metrics) -> DataFrame:
    """Returns the sum of each metric's events by unit, and for a metric with a value, how many events have one.

    A metric counts `once` at the level that it is `per`: so the events are summed up by request and product, then by
    request, then by unit.
    """
    sums = {}
    for name, metric in metrics.items():
        types = [C.EVENT_TYPES.index(each) for each in metric.event_types]
        counts = F.col(E.EVENT_TYPE).isin(types) & F.col(E.IS_ATTRIBUTED_BY[metric.attributed_by])
        if metric.value:
            value = F.col(E.value_column(name))
            sums[E.sum_column(name)] = F.when(counts, F.coalesce(value, F.lit(0))).otherwise(0)
            sums[E.valued_column(name)] = (counts & value.isNotNull()).cast("long")
        else:
            sums[E.sum_column(name)] = counts.cast("long")
    found = attributed_events.select(E.UNIT, E.REQUEST, E.PRODUCT, *(each.alias(name) for name, each in sums.items()))
    for keys, level in (
        ([E.UNIT, E.REQUEST, E.PRODUCT], IMPRESSION),
        ([E.UNIT, E.REQUEST], REQUEST),
        ([E.UNIT], VISITOR),
    ):
        once = {E.sum_column(name) for name, metric in metrics.items() if metric.once and metric.per == level}
        totals = {name: F.sum(name) for name in sums}
        found = found.groupBy(*keys).agg(
            *((F.least(total, F.lit(1)) if name in once else total).alias(name) for name, total in totals.items())
        )
    return found


def with_sums(units: DataFrame, sums: DataFrame) -> DataFrame:
    """Returns units with their sums, 0 for those without any event."""
    names = [name for name in sums.columns if name != E.UNIT]
    return units.join(sums, E.UNIT, "left").fillna(0, names)


def with_time_before(
    units: DataFrame, served: DataFrame, events: DataFrame, metrics: Metrics, start: int, within: int
) -> DataFrame:
    """Returns units with the same figures from before the start, whose names end with BEFORE, and VISITOR.

    Args:
        served: served rows of the time before, in NO_ARM.
        events: events of the partitions before `start`; of those, events that happened before it count.
        start: an hour number.
    """
    earlier = events.where(F.col(E.MOMENT) < start * MICROSECONDS_AN_HOUR)
    # Before the start nobody is in an arm yet, and all events are after SINCE.
    everybody = units.select(E.UNIT, F.lit(E.NO_ARM).alias(E.ARM), F.lit(LONG_AGO).alias(E.SINCE))
    shown = served.join(units.select(E.UNIT), E.UNIT, "left_semi")
    found = attributed(earlier, everybody, shown, within)
    known = found.select(E.UNIT).distinct().withColumn(E.VISITOR, F.lit(E.WARM))
    requests = shown.groupBy(E.UNIT).agg(
        F.sum(E.IMPRESSIONS).alias(E.IMPRESSIONS), F.count_distinct(E.REQUEST).alias(E.REQUESTS)
    )
    for part in (metric_sums(found, metrics), requests):
        renamed = [_before(name) for name in part.columns if name != E.UNIT]
        units = with_sums(units, part.select(E.UNIT, *renamed))
    return units.join(known, E.UNIT, "left").fillna(E.NEW, [E.VISITOR])


def _before(name: str) -> Column:
    return F.col(name).alias(f"{name}{E.BEFORE}")
