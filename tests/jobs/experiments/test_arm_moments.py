"""Sums that tasks make of units, put together, are those over all units at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession

from larder.jobs.experiments.arm_moments import ALL, OF_COUNTS, ArmSums, SegmentKey, arm_sums
from larder.models.experiments.moments import moments_of
from larder.settings import MetricSettings

METRICS = {
    "rate": MetricSettings(event_types=["view"], per="impression", once=True),
    "revenue": MetricSettings(event_types=["purchase"], value="price"),
}
COLUMNS = ("unit", "arm", "since", "location", "device", "impressions", "requests", "moved",
           "sum_rate", "sum_revenue", "valued_revenue")  # fmt: skip
BEFORE = tuple(f"{name}:before" for name in ("sum_rate", "sum_revenue", "valued_revenue", "impressions", "requests"))
DDL = ", ".join(f"{name} {'string' if name in ('arm', 'location', 'device') else 'long'}" for name in COLUMNS)


def frame(spark: SparkSession, rows: list[tuple[Any, ...]], before: bool = False) -> DataFrame:
    more = "".join(f", `{name}` long" for name in BEFORE) + ", visitor string" if before else ""
    return spark.createDataFrame(rows, DDL + more).repartition(3)


def test_moments_are_those_of_all_units_of_an_arm_and_segment(spark: SparkSession) -> None:
    random = np.random.default_rng(1)
    numbers = random.integers(0, 1_000, (400, 11))
    names = [("control", "new")[number % 2] for number in numbers[:, 0]]
    stores = [None, "s1", "s2"]
    rows = [
        (place, arm, 0, stores[n[1] % 3], "phone", *(int(each) for each in n[:6]), *(int(each) for each in n[6:]),
         "warm" if n[2] % 2 else "new")
        for place, (arm, n) in enumerate(zip(names, numbers, strict=True))
    ]  # fmt: skip
    found = arm_sums(frame(spark, rows, before=True), METRICS)
    wanted = {
        (arm, dimension, segment): [place for place, row in enumerate(rows) if row[1] == arm and is_of(row)]
        for arm in ("control", "new")
        for dimension, segment, is_of in (
            (ALL, ALL, lambda row: True),
            ("location", "", lambda row: row[3] is None),
            ("location", "s1", lambda row: row[3] == "s1"),
            ("location", "s2", lambda row: row[3] == "s2"),
            ("device", "phone", lambda row: True),
            ("visitor", "new", lambda row: row[-1] == "new"),
            ("visitor", "warm", lambda row: row[-1] == "warm"),
        )
    }
    assert {key[:3] for key in found} == set(wanted)
    for key, places in wanted.items():
        table = numbers[places]
        # y, d, x and e of each unit: impressions divide the rate, units the revenue, which is in hundredths.
        rate = moments_of(table[:, [3, 0, 6, 9]])
        ones = np.ones(len(places))
        revenue = moments_of(np.stack([table[:, 4] / 100, ones, table[:, 7] / 100, ones], axis=1))
        for name, moments in (("rate", rate), ("revenue", revenue)):
            sums = found[SegmentKey(*key, name)].moments(METRICS[name])
            assert sums.n == moments.n
            np.testing.assert_allclose(sums.sums, moments.sums, rtol=1e-14)
            np.testing.assert_allclose(sums.products, moments.products, rtol=1e-14)
        counts = [*table[:, :3].sum(axis=0), (table[:, 2] > 0).sum()]
        assert list(found[SegmentKey(*key, OF_COUNTS)].sums[:4]) == counts
        assert found[SegmentKey(*key, "revenue")].valued_events == table[:, 5].sum()


def test_sums_beyond_64_bits_lose_nothing(spark: SparkSession) -> None:
    large = 3 * 10**17
    rows = [(place, "control", 0, "s", "d", 1, 1, 0, 0, large + place, 1) for place in range(3)]
    sums = arm_sums(frame(spark, rows), METRICS)[SegmentKey("control", ALL, ALL, "revenue")]
    y = [large, large + 1, large + 2]
    # In the order of y, d, x, e and the products yy, yd, yx, ye, dd, dx, de, xx, xe, ee; then events with a value.
    assert sums == ArmSums(3, (sum(y), 3, 0, 0, sum(each**2 for each in y), sum(y), 0, 0, 3, 0, 0, 0, 0, 0, 3))
