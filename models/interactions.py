"""Hourly counts rolled up into running, decayed interactions (cookie x product) and contexts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from models import columns as C
from models.decay import Decay
from models.schemas import CONTEXTS, INTERACTIONS


def weighted(weights: Mapping[str, float]) -> Column:
    """The weight of a row of HOURLY_COUNTS: counts by event type times the weight of the type."""
    terms = [F.col(C.COUNT_OF_TYPE[type_]) * F.lit(float(weight)) for type_, weight in weights.items()]
    return reduce(add, terms)


def rolled_up_interactions(
    state: DataFrame, state_decay: Decay, counts: DataFrame, weights: Mapping[str, float], decay: Decay, horizon: int
) -> DataFrame:
    """The state of INTERACTIONS after these hours. Its cost follows the state and the new hours, never the history.

    Args: `state` relative to `state_decay`; `counts` of HOURLY_COUNTS; `horizon`, an hour number: what was last
    touched before it falls out, as does what has no strength and was never bought.
    """
    hour_of_purchase = F.when(F.col(C.PURCHASES) > 0, F.col(C.HOUR))
    new = counts.select(
        C.COOKIE_KEY,
        C.PRODUCT_ID,
        decay.term(weighted(weights), F.col(C.HOUR)).alias(C.STRENGTH),
        F.col(C.PURCHASES).cast("long").alias(C.PURCHASES),
        F.col(C.HOUR).alias(C.LAST_HOUR),
        hour_of_purchase.alias(C.LAST_PURCHASE_HOUR),
    ).where((F.col(C.STRENGTH) > 0) | (F.col(C.PURCHASES) > 0))
    old = state.withColumn(C.STRENGTH, decay.moved(F.col(C.STRENGTH), state_decay))
    return (
        old.unionByName(new)
        .groupBy(C.COOKIE_KEY, C.PRODUCT_ID)
        .agg(
            F.sum(C.STRENGTH).alias(C.STRENGTH),
            F.sum(C.PURCHASES).alias(C.PURCHASES),
            F.max(C.LAST_HOUR).alias(C.LAST_HOUR),
            F.max(C.LAST_PURCHASE_HOUR).alias(C.LAST_PURCHASE_HOUR),
        )
        .where(F.col(C.LAST_HOUR) >= horizon)
        .select(*INTERACTIONS.fieldNames())
    )


def rolled_up_contexts(
    state: DataFrame, state_decay: Decay, counts: DataFrame, weights: Mapping[str, float], decay: Decay
) -> DataFrame:
    """The state of CONTEXTS after these hours; what has decayed to nothing falls out."""
    new = counts.select(
        C.LOCATION,
        C.DEVICE,
        C.PRODUCT_ID,
        decay.term(weighted(weights), F.col(C.HOUR)).alias(C.STRENGTH),
    ).where(F.col(C.STRENGTH) > 0)
    old = state.withColumn(C.STRENGTH, decay.moved(F.col(C.STRENGTH), state_decay))
    return (
        old.unionByName(new)
        .groupBy(C.LOCATION, C.DEVICE, C.PRODUCT_ID)
        .agg(F.sum(C.STRENGTH).alias(C.STRENGTH))
        .where(F.col(C.STRENGTH) > 0)
        .select(*CONTEXTS.fieldNames())
    )
