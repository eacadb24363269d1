"""The columns of the report's DataFrames, each named once. Ids are XXH64 (seed 42), as everywhere inside Larder."""

from __future__ import annotations

# Of the journey log only, beside the columns of the event contract.
EXPERIMENT = "experiment"
ARM = "arm"
FORCED = "forced"

UNIT = "unit"  # what was assigned to an arm: a cookie, or a request
REQUEST = "request"
PRODUCT = "product"
MOMENT = "moment"  # microseconds since 1970 UTC

# Served rows: one for each run of impressions of a request in the log.
STATE = "state"  # why impressions count or not: IN_ARM, or one of the states below
PRODUCTS = "products"
IMPRESSIONS = "impressions"
IN_ARM = "in_arm"
BY_FORCE = "forced"  # an operator named the arm
ELSEWHERE = "not_in_experiment"

# Events.
HOUR = "hour"  # of the partition
EVENT = "event"  # a number that tells an hour's events of one unit apart
EVENT_TYPE = "event_type"  # a place in EVENT_TYPES
IS_ATTRIBUTED_BY = {name: f"is_of_{name}" for name in ("product", "request", "visitor")}

# Units.
REQUESTS = "requests"
SINCE = "since"  # the first impression in the arm
MOVED = "moved"  # impressions in other arms than the first
VISITOR = "visitor"  # NEW or WARM
LOCATION = "location"
DEVICE = "device"
NO_ARM = ""  # of everybody before the start
NEW, WARM = "new", "warm"
BEFORE = ":before"  # ends the names of columns of the time before the start; no metric has a colon in its name


def value_column(metric: str) -> str:
    """Returns the column of events with the metric's value, in hundredths."""
    return f"value_{metric}"


def sum_column(metric: str) -> str:
    """Returns the column of units with the metric's numerator: a count, or hundredths."""
    return f"sum_{metric}"


def valued_column(metric: str) -> str:
    """Returns the column of units with the number of the metric's events that have a value."""
    return f"valued_{metric}"
