"""An hour's events as counts per cookie, product, location and device; duplicates and bots apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from larder.kernels import kernel
from larder.models import columns as C
from larder.models.encoding.hash_ranges import range_of, rows_by_range
from larder.models.encoding.interning import interned
from larder.models.encoding.sorting import LOW_32, slots_by_hash, sort_range, sort_slots
from larder.models.encoding.texts import by_hash, by_text, with_used_texts
from larder.models.events.validation import ROW_COLUMNS, ValidatedEvents

PURCHASE = C.EVENT_TYPES.index("purchase")
INT32_MAX = np.iinfo(np.int32).max
# Columns of events, by how they travel; those of numbers with the type that they have before and after.
HASHES, TEXTS = ("cookie_key", "event_key"), ("product", "location", "device")
NUMBERS = {"ts": np.int64, "event_type": np.uint8, "quantity": np.int32}


@dataclass(frozen=True)
class HourlyCounts:
    """Counts of some cookies' events in one hour, and what was left out of them."""

    table: pa.Table  # HOURLY_COUNTS, by cookie key, then by the product's hash, location and device
    events: int
    duplicates: int
    bots: pa.Table  # BOTS: cookies with more events than any person has, none of which is counted


def split_by_cookie(events: ValidatedEvents, ranges: int) -> list[tuple[int, ValidatedEvents]]:
    """The events of each range of cookie keys that has any."""
    if ranges == 1:
        return [(0, events)] if len(events) else []
    order, starts = rows_by_range(range_of(events.cookie_key, ranges), ranges)
    ordered = events.take(order)
    spans = zip(range(ranges), starts[:-1], starts[1:], strict=True)
    return [(number, ordered.take(slice(start, end))) for number, start, end in spans if start < end]


def packed(events: ValidatedEvents) -> bytes:
    """The events as an Arrow stream, with no text that none of them has."""
    arrays = {name: pa.array(getattr(events, name)) for name in HASHES if getattr(events, name) is not None}
    for name in TEXTS:
        arrays[name] = with_used_texts(getattr(events, name), getattr(events, f"{name}s"))
    least = {}
    for name in NUMBERS:
        arrays[name], least[name] = _narrow(getattr(events, name))
    batch = pa.record_batch(arrays).replace_schema_metadata(least)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpacked(streams: Sequence[bytes]) -> ValidatedEvents:
    """The events of several streams, one after the other."""
    tables = [pa.ipc.open_stream(stream).read_all() for stream in streams]
    with_ids = any("event_key" in table.schema.names for table in tables)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ROW_COLUMNS}
    texts: dict[str, list[pa.StringArray]] = {name: [] for name in TEXTS}
    for table in tables:
        for name, values in columns.items():
            if name in texts:
                indexed = table.column(name).chunk(0)
                values.append(
                    indexed.indices.to_numpy().astype(np.int32) + np.int32(sum(len(each) for each in texts[name]))
                )
                texts[name].append(indexed.dictionary)
            elif name in NUMBERS:
                least = NUMBERS[name](int(table.schema.metadata[name.encode()]))
                values.append(table.column(name).to_numpy().astype(NUMBERS[name]) + least)
            elif name in table.schema.names:
                values.append(table.column(name).to_numpy())
            else:
                values.append(np.zeros(table.num_rows, np.int64))
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    distinct = {}
    for name, dictionaries in texts.items():
        codes, distinct[f"{name}s"] = interned(pa.concat_arrays(dictionaries))
        joined[name] = codes[joined[name]]
    events = ValidatedEvents(**joined, **distinct)
    return events if with_ids else replace(events, event_key=None)


def _narrow(values: np.ndarray) -> tuple[pa.Array, str]:
    """Integers as their distance from the least, in as few bytes as these take; and the least."""
    least = int(values.min()) if len(values) else 0
    width = np.min_scalar_type(int(values.max(initial=least)) - least)
    return pa.array((values - values.dtype.type(least)).astype(width)), str(least)


def hourly_counts(events: ValidatedEvents, hour: int, max_events: int) -> HourlyCounts:
    """Counts of events of one hour; all events of a cookie must be among them.

    Of events of one cookie with the same event_id the earliest counts. A cookie with more than `max_events` events,
    duplicates included, is a bot.
    """
    product, products = by_hash(events.product, events.products)
    location, locations = by_text(events.location, events.locations)
    device, devices = by_text(events.device, events.devices)
    context, contexts = _contexts(location, device, max(1, len(devices)))
    with_ids = events.event_key is not None
    ids = events.event_key if events.event_key is not None else np.zeros(0, np.int64)
    records = _sorted_records(
        events.cookie_key, product, context, events.event_type, events.quantity, events.ts, ids, with_ids
    )
    groups, counts, units, bots, duplicates = _counted(records, max_events, with_ids)
    records, counts, units = records[:groups], counts[:groups], units[:groups]
    found_context = contexts[records[:, DETAIL] & LOW_32]
    table = pa.table(
        {
            C.HOUR: np.full(groups, hour, np.int32),
            C.COOKIE_KEY: records[:, KEY],
            C.PRODUCT_ID: with_used_texts(records[:, DETAIL] >> 32, products),
            C.LOCATION: with_used_texts(found_context // max(1, len(devices)), locations),
            C.DEVICE: with_used_texts(found_context % max(1, len(devices)), devices),
            **{C.COUNT_OF_TYPE[name]: counts[:, place] for place, name in enumerate(C.EVENT_TYPES)},
            # 32 bits hold nearly all sums; a file with a greater one has 64.
            C.QUANTITY: units if units.max(initial=0) > INT32_MAX else units.astype(np.int32),
            C.LAST_TS: pa.array(records[:, TS], pa.timestamp("us", "UTC")),
        }
    )
    bot_table = pa.table({C.HOUR: np.full(len(bots), hour, np.int32), C.COOKIE_KEY: bots[:, 0], C.EVENTS: bots[:, 1]})
    events_of_bots = int(bots[:, 1].sum())
    return HourlyCounts(table, len(events) - duplicates - events_of_bots, duplicates, bot_table)


def _contexts(location: np.ndarray, device: np.ndarray, devices: int) -> tuple[np.ndarray, np.ndarray]:
    """Location and device as one number below 2^32, and the pairs that these stand for."""
    pairs = location.astype(np.int64) * devices + device
    most = int(pairs.max(initial=0)) + 1
    if most <= len(pairs):
        return pairs, np.arange(most)
    found, numbers = np.unique(pairs, return_inverse=True)
    return numbers, found


# An event as a row of integers, so that sorting moves it as one: a cache line at most.
KEY, DETAIL, TS, KIND, EVENT_KEY = range(5)  # DETAIL: product << 32 | context; KIND: quantity << 2 | event type


@kernel
def _sorted_records(
    cookie_key: np.ndarray,
    product: np.ndarray,
    context: np.ndarray,
    event_type: np.ndarray,
    quantity: np.ndarray,
    ts: np.ndarray,
    event_key: np.ndarray,
    with_ids: bool,
) -> np.ndarray:
    """The events as records sorted by (KEY, DETAIL): dealt to slots by their keys, then each slot sorted in cache."""
    places, bounds = slots_by_hash(cookie_key)
    records = np.empty((len(cookie_key), 5 if with_ids else 4), np.int64)
    for i in range(len(cookie_key)):
        place = places[i]
        records[place, KEY] = cookie_key[i]
        records[place, DETAIL] = (np.int64(product[i]) << 32) | context[i]
        records[place, TS] = ts[i]
        records[place, KIND] = (np.int64(quantity[i]) << 2) | event_type[i]
        if with_ids:
            records[place, EVENT_KEY] = event_key[i]
    sort_slots(records, bounds)
    return records


@kernel
def _counted(
    records: np.ndarray, max_events: int, with_ids: bool
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, int]:
    """Counts sorted records, whose first rows become the groups: KEY, DETAIL and, in TS, the last time.

    Returns the number of groups, their counts by type (int32 [n, 4]) and units purchased (int64 [n]), bots' keys and
    events (int64 [bots, 2]) and the number of duplicates.
    """
    n, groups, duplicates, found = len(records), 0, 0, 0
    counts, units = np.zeros((n, 4), np.int32), np.zeros(n, np.int64)
    bots = np.empty((n // (max_events + 1), 2), np.int64)
    again = np.zeros(0, np.bool_)
    start = 0
    while start < n:
        key, end = records[start, KEY], start + 1
        while end < n and records[end, KEY] == key:
            end += 1
        if end - start > max_events:
            bots[found, 0], bots[found, 1] = key, end - start
            found += 1
            start = end
            continue
        if with_ids:
            again = _again(records, start, end - start)
        last_detail = np.int64(-1)
        for i in range(start, end):
            if with_ids and again[i - start]:
                duplicates += 1
                continue
            detail, ts, kind = records[i, DETAIL], records[i, TS], records[i, KIND]
            if detail != last_detail:
                records[groups, KEY], records[groups, DETAIL], records[groups, TS] = key, detail, ts
                last_detail = detail
                groups += 1
            records[groups - 1, TS] = max(records[groups - 1, TS], ts)
            counts[groups - 1, kind & 3] += 1
            if kind & 3 == PURCHASE:
                units[groups - 1] += kind >> 2
        start = end
    return groups, counts, units, bots[:found], duplicates


@kernel
def _again(records: np.ndarray, start: int, size: int) -> np.ndarray:
    """Which of one cookie's records have an id that an earlier event had, bool [size].

    Of events at the same moment that of the least quantity, type, product and context counts as the earlier, so that
    the order of the input does not matter.
    """
    again, order = np.zeros(size, np.bool_), np.empty(size, np.int64)
    keys, times, kinds = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    for i in range(size):
        order[i], keys[i] = i, records[start + i, EVENT_KEY]
        times[i], kinds[i] = records[start + i, TS], records[start + i, KIND]
    # Records are in the order of DETAIL, which a stable sort keeps.
    sort_range(order, 0, size, keys, times, kinds)
    for i in range(1, size):
        again[order[i]] = keys[order[i]] != 0 and keys[order[i]] == keys[order[i - 1]]
    return again
