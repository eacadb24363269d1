"""The list of the place that a user visits first, against a shop of two places."""

from __future__ import annotations

import numpy as np
from pyspark.sql import SparkSession

from larder.jobs.evaluation.place_popularity import NO_PLACE, place_popularity
from larder.models.interactions.purchase_history import UserItems
from larder.models.tables import CONTEXTS, PRODUCT_NUMBERS

NORTH, SOUTH, NOBODY, NOWHERE = 10, 20, 30, 40  # cookies


def test_users_get_what_is_popular_where_they_come_first(spark: SparkSession) -> None:
    contexts = spark.createDataFrame(
        [
            ("north", "till", "a", 5),
            ("north", "web", "b", 4),
            ("north", "till", "b", 4),  # 8 on both devices
            ("north", "till", "c", 5),  # as popular as a, whose number is lower
            ("south", "till", "c", 1),
            ("south", "till", "unknown", 9),
            ("never visited", "till", "a", 99),
        ],
        CONTEXTS.schema,
    )
    numbers = spark.createDataFrame([("a", 0), ("b", 1), ("c", 2)], PRODUCT_NUMBERS.schema)
    visits = spark.createDataFrame(
        [(NORTH, "north", 7), (NORTH, "south", 8), (SOUTH, "south", 3), (SOUTH, "north", 9), (NOWHERE, "", 1)],
        "cookie_key long, location string, hour int",
    )
    assert place_popularity(contexts, numbers, visits.where("location = ''"), np.array([NOWHERE])) is None
    places = place_popularity(contexts, numbers, visits, np.array([NORTH, SOUTH, NOBODY, NOWHERE]))
    assert places is not None
    assert places.of_user.tolist() == [0, 1, NO_PLACE, NO_PLACE]
    none = [-1, -1, -1]
    assert places.lists(3).tolist() == [[1, 0, 2], [2, -1, -1], none, none]
    owned = UserItems(np.array([0, 1, 1, 2, 2]), np.array([0, 1]), np.ones(2, np.float32))
    assert places.lists(2, owned).tolist() == [[1, 2], [2, -1], [-1, -1], [-1, -1]]
