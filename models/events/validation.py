"""Validates raw rows: renames and casts their columns, and finds what is wrong with each row."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import pyarrow as pa

from larder.kernels import kernel
from larder.models import columns as C
from larder.models.encoding.hashing import text_buffers, xxh64
from larder.models.events.casting import Mask, as_codes, as_integer, as_moment, as_number
from larder.models.events.id_texts import as_text
from larder.models.events.time_texts import NO_TIME

CORRUPT = "_corrupt"  # of JSON lines: this line is no object
DEFAULT_QUANTITY = 1
MICROSECONDS_AN_HOUR = 3_600_000_000

# Why a row is set aside, in the order in which it is looked for.
MALFORMED = "malformed_row"
BAD_TYPE = "bad_type"  # bad_type:COLUMN: a value that can't be read as the contract's type
MISSING = "missing"  # missing:COLUMN
PLACEHOLDER = "placeholder"  # placeholder:COLUMN: a text that stands for no id, such as `undefined`
UNKNOWN_EVENT_TYPE = "unknown_event_type"
FUTURE_TIMESTAMP = "future_timestamp"
TOO_LATE = "too_late"
BAD_QUANTITY = "quantity_not_positive"
NEGATIVE_PRICE = "negative_price"

# The contract's columns that counting needs; session_id and request_id are carried past.
READ = (
    C.EVENT_ID, C.TS, C.COOKIE_ID, C.LOCATION, C.DEVICE, C.PRODUCT_ID, C.EVENT_TYPE, C.QUANTITY, C.PRICE,
)  # fmt: skip
# Columns with few distinct values, which Parquet's own dictionaries hand over at no cost.
OF_FEW_VALUES = (C.LOCATION, C.DEVICE, C.EVENT_TYPE)
NEEDED = (C.COOKIE_ID, C.PRODUCT_ID, C.EVENT_TYPE, C.TS)
IDS = (C.COOKIE_ID, C.PRODUCT_ID)
REASONS = (
    "",
    MALFORMED,
    *(f"{BAD_TYPE}:{name}" for name in READ),
    *(f"{MISSING}:{name}" for name in NEEDED),
    UNKNOWN_EVENT_TYPE,
    FUTURE_TIMESTAMP,
    TOO_LATE,
    BAD_QUANTITY,
    NEGATIVE_PRICE,
    *(f"{PLACEHOLDER}:{name}" for name in IDS),
)


@dataclass(frozen=True)
class ValidatedEvents:
    """n valid events of one hour, column by column; texts as codes (int32 [n]) into distinct texts."""

    cookie_key: np.ndarray  # int64
    ts: np.ndarray  # int64, microseconds since 1970
    event_type: np.ndarray  # uint8, a place in EVENT_TYPES
    quantity: np.ndarray  # int32
    product: np.ndarray
    location: np.ndarray
    device: np.ndarray
    event_key: np.ndarray | None  # int64, 0 where the event has no id; None: none has
    products: pa.StringArray
    locations: pa.StringArray  # "" where the event names none
    devices: pa.StringArray  # likewise

    def __len__(self) -> int:
        return len(self.cookie_key)

    def take(self, rows: np.ndarray | slice) -> ValidatedEvents:
        """Some of the rows, in this order."""
        taken = {name: getattr(self, name)[rows] for name in ROW_COLUMNS if getattr(self, name) is not None}
        return replace(self, **taken)


ROW_COLUMNS = tuple(field.name for field in fields(ValidatedEvents) if "ndarray" in str(field.type))


def validated(
    raw: pa.RecordBatch,
    column_names: Mapping[str, str],
    hour: int,
    max_lateness_hours: int,
    placeholders: Collection[str] = (),
) -> tuple[ValidatedEvents, np.ndarray]:
    """Returns the valid events of a batch of raw rows, and each row's reason.

    Args: `column_names` maps a contract column to the raw one where they differ; `hour`, the hour number of the
    partition in which the rows lie; `placeholders`, texts that no cookie
    or product has as its id. A reason is a place in REASONS (uint8 [n]), 0 for a valid row.
    """
    names = {name: column_names.get(name, name) for name in READ}
    columns = {name: _column(raw, names[name]) for name in READ}
    cookies, bad_cookies = as_text(columns[C.COOKIE_ID])
    product, products, bad_products = as_codes(columns[C.PRODUCT_ID])
    location, locations, bad_locations = as_codes(columns[C.LOCATION])
    device, devices, bad_devices = as_codes(columns[C.DEVICE])
    kind, kinds, bad_kinds = as_codes(columns[C.EVENT_TYPE])
    ts, bad_ts = as_moment(columns[C.TS])
    quantity, bad_quantities = as_integer(columns[C.QUANTITY], DEFAULT_QUANTITY)
    price, bad_prices = as_number(columns[C.PRICE])
    ids, bad_ids = _event_keys(columns[C.EVENT_ID])

    reason = np.zeros(raw.num_rows, np.uint8)
    if CORRUPT in raw.schema.names:
        _blame(reason, MALFORMED, raw.column(CORRUPT).to_numpy(zero_copy_only=False))
    bad = (
        bad_ids,
        bad_ts,
        bad_cookies,
        bad_locations,
        bad_devices,
        bad_products,
        bad_kinds,
        bad_quantities,
        bad_prices,
    )
    for name, mask in zip(READ, bad, strict=True):
        _blame(reason, f"{BAD_TYPE}:{name}", mask)
    event_type = _event_types(kinds)[kind]
    blank_product = np.append(_blank(products), True)[product]
    cookie_key = xxh64(cookies)
    not_ids = placeholder_hashes(tuple(sorted(placeholders)))
    _blame(reason, f"{MISSING}:{C.COOKIE_ID}", _blank(cookies))
    _blame(reason, f"{MISSING}:{C.PRODUCT_ID}", blank_product)
    _blame(reason, f"{MISSING}:{C.EVENT_TYPE}", event_type == _NO_TYPE)
    _blame(reason, f"{MISSING}:{C.TS}", ts == NO_TIME)
    if len(not_ids):
        _blame(reason, f"{PLACEHOLDER}:{C.COOKIE_ID}", _is_among(cookie_key, not_ids))
        _blame(reason, f"{PLACEHOLDER}:{C.PRODUCT_ID}", np.append(_is_among(xxh64(products), not_ids), False)[product])
    _blame(reason, UNKNOWN_EVENT_TYPE, event_type == _UNKNOWN_TYPE)
    _blame(reason, FUTURE_TIMESTAMP, ts >= (hour + 1) * MICROSECONDS_AN_HOUR)
    _blame(reason, TOO_LATE, ts < (hour - max_lateness_hours) * MICROSECONDS_AN_HOUR)
    _blame(reason, BAD_QUANTITY, quantity < 1)
    _blame(reason, NEGATIVE_PRICE, price < 0)

    location, locations = _with_none_empty(location, locations)
    device, devices = _with_none_empty(device, devices)
    events = ValidatedEvents(
        cookie_key, ts, event_type, quantity, product, location, device, ids, products, locations, devices
    )
    return (events.take(np.flatnonzero(reason == 0)) if reason.any() else events), reason


_UNKNOWN_TYPE, _NO_TYPE = len(C.EVENT_TYPES), len(C.EVENT_TYPES) + 1


def _column(raw: pa.RecordBatch, name: str) -> pa.Array:
    return raw.column(name) if name in raw.schema.names else pa.nulls(raw.num_rows)


def _blame(reason: np.ndarray, name: str, mask: Mask) -> None:
    """The first thing that is wrong with a row is its reason."""
    if mask is not None and mask.any():
        reason[mask & (reason == 0)] = REASONS.index(name)


@cache
def placeholder_hashes(placeholders: tuple[str, ...]) -> np.ndarray:
    """XXH64 of these texts, and of each in lower case, upper case and capitalised, int64 [k], sorted."""
    spellings = {each for text in placeholders for each in (text, text.lower(), text.upper(), text.capitalize())}
    return np.sort(xxh64(pa.array(sorted(spellings), pa.string())))


@kernel
def _is_among(hashes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Which of the hashes (int64 [n]) are among a few sorted ones, bool [n]."""
    found, bits = np.zeros(len(hashes), np.bool_), np.uint64(0)
    for each in wanted:
        bits |= np.uint64(1) << np.uint64(each & 63)
    for i in range(len(hashes)):
        # Nearly all are told by six of their bits.
        if bits >> np.uint64(hashes[i] & 63) & np.uint64(1):
            at = np.searchsorted(wanted, hashes[i])
            found[i] = at < len(wanted) and wanted[at] == hashes[i]
    return found


def _event_types(kinds: pa.StringArray) -> np.ndarray:
    """The place of each text in EVENT_TYPES; the last one stands for no text at all."""
    places = {text: place for place, text in enumerate(C.EVENT_TYPES)}
    found = [_NO_TYPE if not text.strip() else places.get(text, _UNKNOWN_TYPE) for text in kinds.to_pylist()]
    return np.array([*found, _NO_TYPE], np.uint8)


def _event_keys(ids: pa.Array) -> tuple[np.ndarray | None, Mask]:
    texts, bad = as_text(ids)
    if texts.null_count == len(texts):
        return None, bad
    keys = xxh64(texts)
    keys[keys == 0] = 1
    keys[~texts.is_valid().to_numpy(zero_copy_only=False)] = 0
    return keys, bad


def _with_none_empty(codes: np.ndarray, texts: pa.StringArray) -> tuple[np.ndarray, pa.StringArray]:
    """No text at all counts as an empty one."""
    if not len(codes) or codes.min() >= 0:
        return codes, texts
    empty = texts.to_pylist().index("") if "" in texts.to_pylist() else len(texts)
    return np.where(codes < 0, np.int32(empty), codes), pa.array([*texts.to_pylist(), ""], pa.string())


def _blank(texts: pa.StringArray) -> np.ndarray:
    """Which texts are null, empty or nothing but white space, bool [n]."""
    blank = _all_space(*text_buffers(texts))
    return blank | ~texts.is_valid().to_numpy(zero_copy_only=False) if texts.null_count else blank


@kernel
def _all_space(offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
    blank = np.empty(len(offsets) - 1, np.bool_)
    for i in range(len(blank)):
        at = offsets[i]
        while at < offsets[i + 1] and data[at] <= 32:
            at += 1
        blank[i] = at == offsets[i + 1]
    return blank
