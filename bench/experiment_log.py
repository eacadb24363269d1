"""Writes a journey log and events of an experiment with two arms, of any size; the same seed gives the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from larder.journey.parquet import DICTIONARIES, SCHEMA
from larder.models.hours import hour, hour_partition

NAME, ARMS = "lists", ("control", "new")
START, HOURS = hour("2026-11-20T00"), 24
SHOWN = 20  # products of an answer
ANSWERS_A_COOKIE = 5
PRODUCTS, STORES, DEVICES = 20_000, 50, 3
ANSWERS_A_FILE = 100_000
# Shares of answers, and of impressions.
IN_NONE, IN_TWO, FORCED = 0.2, 0.1, 0.005
VIEWS, CARTS, PURCHASES = 0.03, 0.01, 0.004
MOST_DELAY_HOURS = 3
MOVED_EVERY = 100  # cookies, of which one changes its arm halfway
MICROSECONDS = 3_600_000_000
EVENT_TYPES = ("view", "add_to_cart", "purchase")
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Some answers of one hour, a place each."""

    hour: int
    moment: Integers  # microseconds since 1970, all different
    number: Integers  # of the request
    cookie: Integers
    product: Integers  # (answers, SHOWN), all different in a row


def write_experiment(folder: Path, impressions: int, seed: int = 0) -> int:
    """Writes `log` and `events` below the folder; returns the impressions written, whole answers in each hour."""
    random = np.random.default_rng(seed)
    of_hour = max(1, impressions // SHOWN // HOURS)
    cookies = max(2, of_hour * HOURS // ANSWERS_A_COOKIE)
    for place in range(HOURS):
        for first in range(0, of_hour, ANSWERS_A_FILE):
            answers = _answers(random, place, first, min(ANSWERS_A_FILE, of_hour - first), of_hour, cookies)
            name = f"{place:02}-{first}.parquet"
            _write(folder / "log" / hour_partition(answers.hour), name, _impressions(random, answers))
            _write_events(folder / "events", name, random, answers)
    return of_hour * HOURS * SHOWN


def _answers(random: np.random.Generator, place: int, first: int, count: int, of_hour: int, cookies: int) -> Answers:
    number = np.arange(first, first + count) + place * of_hour
    moment = (START + place) * MICROSECONDS + np.arange(first, first + count) * (MICROSECONDS // of_hour)
    start = random.integers(0, PRODUCTS, (count, 1))
    product = (start + np.arange(SHOWN) * random.integers(1, PRODUCTS // SHOWN, (count, 1))) % PRODUCTS
    # The square makes some cookies ask much more often than others.
    cookie = (random.random(count) ** 2 * cookies).astype(np.int64)
    return Answers(START + place, moment, number, cookie, product)


def _impressions(random: np.random.Generator, answers: Answers) -> pa.Table:
    count = len(answers.number)
    is_moved = (answers.cookie % MOVED_EVERY == 0) & (answers.hour >= START + HOURS // 2)
    arm = (answers.cookie % 2) ^ is_moved
    drawn = random.random(count)
    is_none, is_two = drawn < IN_NONE, drawn > 1 - IN_TWO
    of_answer = np.repeat(np.arange(count), SHOWN)
    columns = {
        "ts": pa.array(answers.moment, pa.timestamp("us", "UTC")),
        "cookie_id": _texts("c", answers.cookie),
        "location": _texts("store-", answers.cookie // 2 % STORES),
        "device": _texts("device-", answers.number % DEVICES),
        "event_type": _texts("impression", np.zeros(count, np.int64), numbered=False),
        "request_id": _texts("q", answers.number),
        "route": _texts("personal", np.zeros(count, np.int64), numbered=False),
        "release": _texts("r", np.zeros(count, np.int64)),
        "experiment": _chosen([NAME, f"other,{NAME}"], is_two.astype(np.int64), is_none),
        "arm": _chosen([*ARMS, *(f"x,{arm}" for arm in ARMS)], arm + 2 * is_two, is_none),
        "forced": pa.array(random.random(count) < FORCED, mask=is_none),
        "policy": pa.nulls(count, pa.string()),
    }
    repeated = {name: values.take(pa.array(of_answer)) for name, values in columns.items()}
    own = {
        "product_id": _texts("p", answers.product.ravel()),
        "position": np.tile(np.arange(SHOWN, dtype=np.int16), count),
        "propensity": np.ones(count * SHOWN, np.float32),
        "score": np.ones(count * SHOWN, np.float32),
    }
    plain = pa.schema([field.with_type(pa.string()) if field.name in DICTIONARIES else field for field in SCHEMA])
    table = {**repeated, **own}
    return pa.table([_plain(table[name]) for name in SCHEMA.names], schema=plain)


def _write_events(folder: Path, name: str, random: np.random.Generator, answers: Answers) -> None:
    """Writes each event into the hour in which it happens, some time after its impression."""
    kinds = random.random(answers.product.shape)
    limits = np.cumsum([VIEWS, CARTS, PURCHASES])
    rows, places = np.nonzero(kinds < limits[-1])
    kind = np.searchsorted(limits, kinds[rows, places], side="right")
    delay = random.integers(1, MOST_DELAY_HOURS * MICROSECONDS, len(rows))
    moment = answers.moment[rows] + delay
    table = pa.table(
        {
            "ts": pa.array(moment, pa.timestamp("us", "UTC")),
            "cookie_id": _plain(_texts("c", answers.cookie[rows])),
            "product_id": _plain(_texts("p", answers.product[rows, places])),
            "event_type": _plain(_chosen([*EVENT_TYPES], kind, np.zeros(len(rows), bool))),
            "request_id": _plain(_texts("q", answers.number[rows])),
            "quantity": random.integers(1, 4, len(rows)),
            "price": random.integers(100, 5_000, len(rows)) / 100,
        }
    )
    for number in np.unique(moment // MICROSECONDS):
        _write(folder / hour_partition(int(number)), name, table.filter(pa.array(moment // MICROSECONDS == number)))


def _write(folder: Path, name: str, table: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, compression="zstd", write_statistics=False, store_schema=False)


def _texts(prefix: str, numbers: Integers, numbered: bool = True) -> pa.DictionaryArray:
    """Returns texts such as c17 as a dictionary: one text is made for each number, not for each row."""
    distinct, place = np.unique(numbers, return_inverse=True)
    texts = [f"{prefix}{number}" if numbered else prefix for number in distinct.tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(place.ravel().astype(np.int32)), pa.array(texts, pa.string()))


def _chosen(texts: list[str], place: Integers, is_none: npt.NDArray[np.bool_]) -> pa.DictionaryArray:
    indices = pa.array(np.asarray(place, np.int32), mask=is_none)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string()))


def _plain(values: pa.Array | npt.NDArray[np.generic]) -> pa.Array | npt.NDArray[np.generic]:
    return values.cast(pa.string()) if isinstance(values, pa.DictionaryArray) else values
