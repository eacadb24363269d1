"""Click-through and purchase rates by route and release, from served products joined with later events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

KEYS = ["request_id", "product_id"]
EVENT_COLUMNS = (*KEYS, "event_type")  # that events are read for
GROUP = ["release", "route"]
COOKIE = "cookie_id"
LOG_COLUMNS = (*KEYS, *GROUP, COOKIE)  # that the log is read for
SHOWN = "shown"
# The event types that count for each figure.
CLICKS = {"clicked": ("view", "add_to_cart", "purchase"), "added": ("add_to_cart",), "bought": ("purchase",)}
RATES = ("clicked", "bought")  # as shares of SHOWN
Z_95 = 1.959963984540054  # the 97.5% quantile of the standard normal distribution
# Sums of single files are merged when they have more rows than the sums so far, and more than this.
MOST_UNMERGED = 1_000_000


class RateInterval(NamedTuple):
    """The 95% confidence interval of a rate, within 0 to 1."""

    low: float
    high: float


class RouteReport(NamedTuple):
    """The numbers of products that a route showed from a release, and that were clicked, added to the cart and bought.

    A product of an answer counts once, however often it was clicked. An event of a later step counts as a click too.
    `click_through` is the interval of clicked / shown, and `bought_of_shown` that of bought / shown; see `interval`.
    """

    release: str
    route: str
    shown: int
    clicked: int
    added: int
    bought: int
    click_through: RateInterval | None
    bought_of_shown: RateInterval | None


def events_of_lists(events: Iterable[pa.Table], columns: Mapping[str, str]) -> pa.Table:
    """Returns one row for each (request_id, product_id) with events, and a 0/1 column for each of CLICKS.

    `columns` maps the contract's column names to those of the events, where they differ. Tables without a request id
    column are skipped.
    """
    names = [columns.get(name, name) for name in EVENT_COLUMNS]
    found = [_schema().empty_table()]
    for table in events:
        if set(names) <= set(table.column_names):
            rows = table.select(names).rename_columns([*EVENT_COLUMNS]).cast(_schema())
            told = pc.and_(pc.is_valid(rows["request_id"]), pc.not_equal(rows["event_type"], "impression"))
            found.append(rows.filter(told))
    rows = pa.concat_tables(found)
    flags = {
        name: pc.is_in(rows["event_type"], value_set=pa.array(types)).cast(pa.int64()) for name, types in CLICKS.items()
    }
    flagged = pa.table({**{key: rows[key] for key in KEYS}, **flags})
    return flagged.group_by(KEYS).aggregate([(name, "max") for name in CLICKS]).rename_columns([*KEYS, *CLICKS])


def _schema() -> pa.Schema:
    return pa.schema([(name, pa.string()) for name in EVENT_COLUMNS])


def routes(served: Iterable[pa.Table], clicks: pa.Table) -> list[RouteReport]:
    """Returns a sorted row for each release and route. `served` has the log's schema; `clicks` is from events_of_lists.

    The tables of `served` are read one by one. The clicks must fit into memory, and the sums of each cookie, release
    and route: some 100 bytes each, and five times as much while they are merged.
    """
    sums = _sums_by_cookie(served, clicks)
    counts = (SHOWN, *CLICKS)
    products = {(SHOWN, SHOWN), *((one, name) for name in RATES for one in (SHOWN, name))}
    columns = {name: sums[name] for name in (*GROUP, *counts)}
    columns |= {f"{one}*{other}": pc.multiply(sums[one], sums[other]) for one, other in products}
    names = [name for name in columns if name not in GROUP]
    totals = pa.table(columns).group_by(GROUP).aggregate([([], "count_all"), *((name, "sum") for name in names)])
    rows = totals.rename_columns([*GROUP, "cookies", *names]).sort_by([(name, "ascending") for name in GROUP])
    return [
        RouteReport(
            row["release"], row["route"], *(row[name] for name in counts), *(_rate(row, name) for name in RATES)
        )
        for row in rows.to_pylist()
    ]


def _sums_by_cookie(served: Iterable[pa.Table], clicks: pa.Table) -> pa.Table:
    """Returns a row for each cookie, release and route, with SHOWN and the figures of CLICKS."""
    groups, counts = [*GROUP, COOKIE], [SHOWN, *CLICKS]
    text = pa.schema([(name, pa.string()) for name in LOG_COLUMNS])
    sums = pa.schema(
        [*((name, pa.string()) for name in groups), *((name, pa.int64()) for name in counts)]
    ).empty_table()
    unmerged: list[pa.Table] = []
    for table in served:
        rows = table.select([*LOG_COLUMNS]).cast(text).join(clicks, KEYS, join_type="left outer")
        found = rows.group_by(groups).aggregate([([], "count_all"), *((name, "sum") for name in CLICKS)])
        unmerged.append(found.rename_columns([*groups, *counts]))
        if sum(part.num_rows for part in unmerged) > max(sums.num_rows, MOST_UNMERGED):
            sums, unmerged = _merged([sums, *unmerged], groups, counts), []
    return _merged([sums, *unmerged], groups, counts)


def _merged(parts: list[pa.Table], groups: list[str], counts: list[str]) -> pa.Table:
    # A sum over no click at all is null.
    rows = pa.concat_tables(parts).group_by(groups).aggregate([(name, "sum") for name in counts])
    filled = [*(rows[name] for name in groups), *(pc.fill_null(rows[f"{name}_sum"], 0) for name in counts)]
    return pa.table(filled, [*groups, *counts])


def _rate(totals: Mapping[str, Any], name: str) -> RateInterval | None:
    squares = (totals[f"{name}*{name}"], totals[f"{SHOWN}*{name}"], totals[f"{SHOWN}*{SHOWN}"])
    return interval(totals["cookies"], totals[name], totals[SHOWN], squares)


def interval(cookies: int, counted: int, shown: int, squares: tuple[int, int, int]) -> RateInterval | None:
    """Returns the 95% interval of the rate counted / shown, clustered by cookie.

    What is shown to one visitor belongs together, so that cookies, not products, are independent of each other. With
    y and n counted and shown of each of C cookies and R = sum(y) / sum(n), the variance of R is
    C / (C - 1) * sum((y - R n)^2) / sum(n)^2, by the delta method (Deng, Knoblich, Lu: Applying the Delta Method in
    Metric Analytics, KDD 2018).

    Args:
        cookies: C.
        counted, shown: sum(y) and sum(n).
        squares: sum(y y), sum(n y) and sum(n n).
    Returns:
        None if the cookies do not differ: of one cookie, or without any click, nothing is known about the variance.
    """
    # sum((y - R n)^2) * shown^2, in whole numbers: in floats it would be a small difference of large ones.
    yy, ny, nn = squares
    residuals = shown * shown * yy - 2 * shown * counted * ny + counted * counted * nn
    if cookies < 2 or not residuals:
        return None
    half = Z_95 * math.sqrt(cookies / (cookies - 1) * (residuals / shown**4))
    rate = counted / shown
    return RateInterval(max(rate - half, 0.0), min(rate + half, 1.0))
