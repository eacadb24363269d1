"""Click-through and purchase rates by route and release, from served products joined with later events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

KEYS = ["request_id", "product_id"]
EVENT_COLUMNS = (*KEYS, "event_type")  # that events are read for
GROUP = ["release", "route"]
SHOWN = "shown"
# The event types that count for each figure.
CLICKS = {"clicked": ("view", "add_to_cart", "purchase"), "added": ("add_to_cart",), "bought": ("purchase",)}


class RouteReport(NamedTuple):
    """The numbers of products that a route showed from a release, and that were clicked, added to the cart and bought.

    A product of an answer counts once, however often it was clicked. An event of a later step counts as a click too.
    """

    release: str
    route: str
    shown: int
    clicked: int
    added: int
    bought: int


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

    The tables of `served` are read one by one, so that only the clicks must fit into memory.
    """
    sums: Counter[tuple[str, str, str]] = Counter()
    for table in served:
        joined = table.select([*KEYS, *GROUP]).join(clicks, KEYS, join_type="left outer")
        counts = joined.group_by(GROUP).aggregate([([], "count_all"), *((name, "sum") for name in CLICKS)])
        for row in counts.rename_columns([*GROUP, SHOWN, *CLICKS]).to_pylist():
            for name in (SHOWN, *CLICKS):
                sums[row["release"], row["route"], name] += row[name] or 0
    groups = sorted({(release, route) for release, route, _ in sums})
    return [
        RouteReport(release, route, *(sums[release, route, name] for name in (SHOWN, *CLICKS)))
        for release, route in groups
    ]
