"""Parts of an hour of a synthetic log as Arrow batches: numbers become events, with invalid rows and duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from demo.synthetic_hashes import Ints, cookie_ids, hexadecimal, mixed
from demo.synthetic_rows import MS_AN_HOUR, NULL, Numbers, bots, people
from demo.synthetic_shape import DEVICES, EVENT_TYPES, HourPlan, Shape

PART_ROWS = 500_000  # limits the memory, whatever the size of an hour
LATE_HOURS = 24  # at most, and never more than max_lateness_hours
CLEAN, COPY = -1, -2  # in Part.kinds: rows that are not dirty
WRONG_TYPES = ["", "wishlist", "IMPRESSION"]
BLANKS = ["", "  "]
PURCHASE = EVENT_TYPES.index("purchase")


@dataclass
class Part:
    """Rows in the order of their arrival, as batches of one schema; strings are dictionaries."""

    batches: list[pa.RecordBatch]
    kinds: list[npt.NDArray[np.int8]]  # of each batch's rows: the number of the kind of dirt, CLEAN or COPY
    events_of: Ints  # the number of the person of each row that is neither invalid nor a bot's
    late: int


class Parts:
    """Makes the rows of each hour. The same shape and hour give the same rows."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.dirt = list(shape.dirt_kinds)
        digits = np.char.zfill(np.arange(shape.products).astype("U8"), 8)
        self.product_ids = pa.array([*np.char.add("p", digits), *BLANKS])
        self.location_names = pa.array([f"loc{number}" for number in range(shape.locations)])
        prices = mixed(np.arange(shape.products), shape.seed, 3) % np.uint64(9_900)
        self.prices = (prices.astype(np.int64) + 100) / 100

    def hour(self, plan: HourPlan) -> Iterator[Part]:
        """Yields the parts of an hour. Half of a part's duplicates come with the next part, so that they are in other
        files, too."""
        parts = max(1, -(-plan.rows // PART_ROWS))
        sessions, waiting = 0, None
        for number in range(parts):
            random = np.random.Generator(np.random.SFC64([self.shape.seed, plan.hour, number]))
            part, at = plan.part(number, parts), (number / parts, (number + 1) / parts)
            shown = people(self.shape, random, part, at, sessions)
            sessions += len(shown.cookies)
            made, copies = self._part(random, part, shown, bots(self.shape, random, part, at), number * PART_ROWS * 2)
            now = copies.num_rows if number == parts - 1 else copies.num_rows // 2
            for again in (waiting, copies.slice(0, now)):
                if again is not None and again.num_rows:
                    made.batches.append(again)
                    made.kinds.append(np.full(again.num_rows, COPY, np.int8))
            waiting = copies.slice(now)
            yield made

    def _part(
        self, random: np.random.Generator, plan: HourPlan, shown: Numbers, crawled: Numbers, first_id: int
    ) -> tuple[Part, pa.RecordBatch]:
        """Returns rows, and duplicates of some. Each row is at most one of late, invalid and duplicated."""
        dirty = sum(plan.dirty)
        chosen = random.choice(plan.people_rows, plan.late + dirty + plan.duplicates, replace=False)
        late, spoilt, copied = np.split(chosen, [plan.late, plan.late + dirty])
        kind = np.full(plan.people_rows + plan.bot_rows, CLEAN, np.int8)
        kind[spoilt] = np.repeat(np.arange(len(plan.dirty), dtype=np.int8), plan.dirty)
        everyone = Numbers.joined(shown, crawled)
        order = _by_arrival(everyone.ts)
        most = min(LATE_HOURS, self.shape.max_lateness_hours)
        everyone.ts[late] -= MS_AN_HOUR * random.integers(1, most + 1, len(late))
        batch = self._batch(random, plan.hour, everyone, order, kind[order], first_id)
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        copies = batch.take(pa.array(np.sort(back[copied])))
        clean = np.flatnonzero(kind[: plan.people_rows] == CLEAN)
        events_of = shown.cookies[shown.session[np.concatenate([clean, copied])]]
        return Part([batch], [kind[order]], events_of, len(late)), copies

    def _batch(
        self,
        random: np.random.Generator,
        hour: int,
        numbers: Numbers,
        order: npt.NDArray[np.int64],
        kind: npt.NDArray[np.int8],
        first_id: int,
    ) -> pa.RecordBatch:
        session, product, ts = numbers.session[order], numbers.product[order], numbers.ts[order]
        type_, cookie, price = numbers.type_[order], session.copy(), self.prices[product]
        quantity = np.full(len(order), NULL, np.int32)
        bought = np.flatnonzero(type_ == PURCHASE)
        quantity[bought] = random.integers(0, 4, len(bought))
        quantity[quantity == 0] = NULL  # a purchase without a quantity is one unit
        has_quantity, has_ts = quantity != NULL, np.ones(len(order), bool)

        where = np.flatnonzero(kind >= 0)
        rows = {name: where[kind[where] == number] for number, name in enumerate(self.dirt)}
        cookies, products = len(numbers.cookies), self.shape.products
        cookie[rows["null_cookie"]] = product[rows["null_product"]] = type_[rows["null_type"]] = NULL
        cookie[rows["empty_cookie"]], cookie[rows["blank_cookie"]] = cookies, cookies + 1
        product[rows["empty_product"]], product[rows["blank_product"]] = products, products + 1
        for number, name in enumerate(("empty_type", "unknown_type", "type_in_capitals")):
            type_[rows[name]] = len(EVENT_TYPES) + number
        has_ts[rows["null_ts"]] = False
        ts[rows["future_ts"]] = (hour + 1) * MS_AN_HOUR + random.integers(0, MS_AN_HOUR, len(rows["future_ts"]))
        ts[rows["ancient_ts"]] -= MS_AN_HOUR * (self.shape.max_lateness_hours + 1)
        quantity[rows["no_quantity"]], quantity[rows["negative_quantity"]] = 0, -2
        has_quantity[np.concatenate([rows["no_quantity"], rows["negative_quantity"]])] = True
        price[rows["negative_price"]] *= -1

        columns = {} if not self.shape.event_ids else {"event_id": self._event_ids(hour, first_id, len(order))}
        columns["ts"] = pa.array(ts * 1000, pa.timestamp("us", "UTC"), mask=~has_ts)
        ids = pa.concat_arrays([cookie_ids(numbers.cookies, self.shape.seed), pa.array(BLANKS)])
        columns["cookie_id"] = _named(cookie, ids)
        if self.shape.session_ids:
            columns["session_id"] = _named(session, hexadecimal(mixed(numbers.names, self.shape.seed, 6)))
        columns["location"] = _named(numbers.locations[session], self.location_names)
        columns["device"] = _named(numbers.devices[session], pa.array(DEVICES))
        columns["product_id"] = _named(product, self.product_ids)
        columns["event_type"] = _named(type_, pa.array([*EVENT_TYPES, *WRONG_TYPES]))
        columns["quantity"] = pa.array(quantity, mask=~has_quantity)
        columns["price"] = pa.array(price)
        return pa.RecordBatch.from_pydict(columns)

    def _event_ids(self, hour: int, first: int, rows: int) -> pa.StringArray:
        return hexadecimal(mixed(np.arange(first, first + rows) + (hour << 36), self.shape.seed, 7))


def _named(number: npt.NDArray[np.int32] | npt.NDArray[np.int8], names: pa.StringArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(number, mask=number == NULL), names)


def _by_arrival(ts: Ints) -> npt.NDArray[np.int64]:
    """Returns the order by time to one part in 65,536, as logs arrive: numpy sorts 16 bits in two passes over them."""
    if not len(ts):
        return np.zeros(0, np.int64)
    since = ts - ts.min()
    return np.argsort((since * 65_535 // max(1, int(since.max()))).astype(np.uint16), kind="stable")
