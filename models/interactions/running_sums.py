"""Hourly counts rolled up into decayed interactions (cookie x product) and contexts (location x device x product)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from larder.kernels import kernel
from larder.models import columns as C
from larder.models.encoding.hash_ranges import range_of, rows_by_range
from larder.models.encoding.hashing import xxh64
from larder.models.encoding.interning import interned
from larder.models.encoding.sorting import LOW_32, slots_by_hash, sort_slots
from larder.models.encoding.texts import by_hash, by_text, with_used_texts
from larder.models.interactions.decay import Decay

NEVER = -1  # the last hour of purchase of a pair that was never bought


def interaction_terms(counts: pa.Table, weights: Mapping[str, float], decay: Decay) -> pa.Table:
    """Returns what rows of HOURLY_COUNTS add to interactions, one row for each row that adds anything.

    Columns are those of INTERACTIONS, texts dictionary-encoded; LAST_HOUR is the hour of the counts.
    """
    hour = counts.column(C.HOUR).to_numpy()
    purchases = counts.column(C.PURCHASES).to_numpy().astype(np.int64)
    strength = decay.terms(_weighted(counts, weights), hour)
    kept = np.flatnonzero((strength > 0) | (purchases > 0))
    taken = counts.select([C.COOKIE_KEY, C.PRODUCT_ID]).take(pa.array(kept))
    hour, purchases = hour[kept], purchases[kept]
    return pa.table(
        {
            C.COOKIE_KEY: taken.column(C.COOKIE_KEY),
            C.PRODUCT_ID: taken.column(C.PRODUCT_ID),
            C.STRENGTH: strength[kept],
            C.PURCHASES: purchases,
            C.LAST_HOUR: hour.astype(np.int32),
            C.LAST_PURCHASE_HOUR: pa.array(hour.astype(np.int32), mask=purchases == 0),
        }
    )


def context_terms(counts: pa.Table, weights: Mapping[str, float], decay: Decay) -> pa.Table:
    """Returns what rows of HOURLY_COUNTS add to contexts, summed: columns of CONTEXTS, texts dictionary-encoded."""
    strength = decay.terms(_weighted(counts, weights), counts.column(C.HOUR).to_numpy())
    kept = np.flatnonzero(strength > 0)
    terms = counts.select([C.LOCATION, C.DEVICE, C.PRODUCT_ID]).take(pa.array(kept))
    return rolled_up_contexts([terms.append_column(C.STRENGTH, pa.array(strength[kept]))])


def dealt_by_cookie(interactions: pa.Table, ranges: int) -> list[tuple[int, pa.Table]]:
    """Returns (range number, rows) for each of `ranges` equal ranges of cookie keys that has rows; a power of two."""
    return _dealt(interactions, interactions.column(C.COOKIE_KEY).to_numpy(), ranges)


def dealt_by_product(contexts: pa.Table, ranges: int) -> list[tuple[int, pa.Table]]:
    """Returns (range number, rows) for each of `ranges` equal ranges of the hash of the product that has rows."""
    codes, products = _codes(contexts.column(C.PRODUCT_ID))
    return _dealt(contexts, xxh64(products)[codes] if len(codes) else np.zeros(0, np.int64), ranges)


def moved(state: pa.Table, older: Decay, decay: Decay) -> pa.Table:
    """Returns a state whose strengths were relative to the landmark of `older` relative to that of `decay`."""
    strength = decay.moved(state.column(C.STRENGTH).to_numpy(), older)
    return state.set_column(state.schema.get_field_index(C.STRENGTH), C.STRENGTH, pa.array(strength))


def rolled_up_interactions(state: pa.Table, terms: Sequence[pa.Table], horizon_hours: int, end: int) -> pa.Table:
    """Returns INTERACTIONS after adding `terms` to `state`, sorted by cookie key and the product's hash.

    Args: `terms` come from interaction_terms, in the order of their hours, all relative to the landmark of `state`. A
    pair without events for more than `horizon_hours` starts again from zero, or is left out at hour `end`. The result
    does not depend on the number of steps in which hours are rolled up.
    """
    table = joined([state, *terms])
    codes, products = by_hash(*_codes(table.column(C.PRODUCT_ID)))
    last_purchase = table.column(C.LAST_PURCHASE_HOUR).fill_null(NEVER).to_numpy()
    records = _sorted(
        table.column(C.COOKIE_KEY).to_numpy(),
        codes.astype(np.int64),
        [table.column(name).to_numpy() for name in (C.STRENGTH, C.PURCHASES, C.LAST_HOUR)] + [last_purchase],
    )
    records = records[: _sum_interactions(records, horizon_hours, end)]
    bought = records[:, 5]
    return pa.table(
        {
            C.COOKIE_KEY: records[:, 0],
            C.PRODUCT_ID: with_used_texts(records[:, 1], products),
            C.STRENGTH: records[:, 2],
            C.PURCHASES: records[:, 3],
            C.LAST_HOUR: records[:, 4].astype(np.int32),
            C.LAST_PURCHASE_HOUR: pa.array(bought.astype(np.int32), mask=bought == NEVER),
        }
    )


def rolled_up_contexts(parts: Sequence[pa.Table]) -> pa.Table:
    """Returns the sum of contexts that are relative to the same landmark, without rows whose sum is 0.

    Sorted by the product's hash, location and device.
    """
    table = joined(parts)
    product, products = by_hash(*_codes(table.column(C.PRODUCT_ID)))
    location, locations = by_text(*_codes(table.column(C.LOCATION)))
    device, devices = by_text(*_codes(table.column(C.DEVICE)))
    hashes = xxh64(products)[product] if len(product) else np.zeros(0, np.int64)
    detail = (location.astype(np.int64) << 32) | device
    records = _sorted(hashes, detail, [table.column(C.STRENGTH).to_numpy(), product])
    records = records[: _sum_contexts(records)]
    return pa.table(
        {
            C.LOCATION: with_used_texts(records[:, 1] >> 32, locations),
            C.DEVICE: with_used_texts(records[:, 1] & LOW_32, devices),
            C.PRODUCT_ID: with_used_texts(records[:, 3], products),
            C.STRENGTH: records[:, 2],
        }
    )


def _weighted(counts: pa.Table, weights: Mapping[str, float]) -> np.ndarray:
    """Returns the sum over event types of count times weight, float64, shape (n,)."""
    total = np.zeros(counts.num_rows)
    for type_, weight in weights.items():
        if weight:
            total += counts.column(C.COUNT_OF_TYPE[type_]).to_numpy() * float(weight)
    return total


def joined(parts: Sequence[pa.Table]) -> pa.Table:
    """Returns one table of several, texts dictionary-encoded."""
    schema = pa.schema(
        [
            (field.name, pa.dictionary(pa.int32(), pa.string())) if _is_text(field.type) else (field.name, field.type)
            for field in parts[0].schema
        ]
    )
    return pa.concat_tables([_with_dictionaries(part).cast(schema) for part in parts])


def _is_text(type_: pa.DataType) -> bool:
    return pa.types.is_string(type_) or pa.types.is_dictionary(type_)


def _with_dictionaries(part: pa.Table) -> pa.Table:
    for index, field in enumerate(part.schema):
        if pa.types.is_string(field.type):
            part = part.set_column(index, field.name, part.column(index).dictionary_encode())
    return part


def _codes(texts: pa.ChunkedArray) -> tuple[np.ndarray, pa.StringArray]:
    """Returns codes, int32, shape (n,), and the distinct texts that they stand for."""
    indices, dictionaries, before = [np.zeros(0, np.int32)], [pa.array([], pa.string())], 0
    for chunk in texts.chunks:
        encoded = chunk if pa.types.is_dictionary(chunk.type) else chunk.dictionary_encode()
        indices.append(encoded.indices.to_numpy().astype(np.int32) + np.int32(before))
        dictionaries.append(encoded.dictionary)
        before += len(encoded.dictionary)
    codes, distinct = interned(pa.concat_arrays(dictionaries))
    return codes[np.concatenate(indices)], distinct


def _dealt(table: pa.Table, hashed: np.ndarray, ranges: int) -> list[tuple[int, pa.Table]]:
    if ranges == 1 or not table.num_rows:
        return [(0, table)] if table.num_rows else []
    order, starts = rows_by_range(range_of(hashed, ranges), ranges)
    ordered = table.take(pa.array(order))
    spans = zip(range(ranges), starts[:-1], starts[1:], strict=True)
    return [(number, ordered.slice(start, end - start)) for number, start, end in spans if start < end]


def _sorted(hashed: np.ndarray, detail: np.ndarray, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Returns records, int64, shape (n, 2 + columns), stably sorted by `hashed` and `detail`."""
    places, bounds = slots_by_hash(hashed)
    records = np.empty((len(hashed), 2 + len(columns)), np.int64)
    for number, values in enumerate((hashed, detail, *columns)):
        records[places, number] = values
    sort_slots(records, bounds)
    return records


@kernel
def _sum_interactions(records: np.ndarray, horizon: int, end: int) -> int:
    """Sums sorted records (key, product, strength, purchases, hour, purchase hour) in place; returns their number."""
    left, at = 0, 0
    while at < len(records):
        key, product = records[at, 0], records[at, 1]
        strength, purchases, last, bought = records[at, 2], records[at, 3], records[at, 4], records[at, 5]
        at += 1
        while at < len(records) and records[at, 0] == key and records[at, 1] == product:
            if records[at, 4] - last > horizon:
                strength, purchases, bought = np.int64(0), np.int64(0), np.int64(NEVER)
            strength += records[at, 2]
            purchases += records[at, 3]
            last, bought = max(last, records[at, 4]), max(bought, records[at, 5])
            at += 1
        if end - last <= horizon:
            records[left, 0], records[left, 1], records[left, 2] = key, product, strength
            records[left, 3], records[left, 4], records[left, 5] = purchases, last, bought
            left += 1
    return left


@kernel
def _sum_contexts(records: np.ndarray) -> int:
    """Sums sorted records (hash, context, strength, product) in place; returns their number."""
    left, at = 0, 0
    while at < len(records):
        hashed, place, strength, product = records[at, 0], records[at, 1], records[at, 2], records[at, 3]
        at += 1
        while at < len(records) and records[at, 0] == hashed and records[at, 1] == place:
            strength += records[at, 2]
            at += 1
        if strength > 0:
            records[left, 0], records[left, 1], records[left, 2], records[left, 3] = hashed, place, strength, product
            left += 1
    return left
