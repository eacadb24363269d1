"""The parameters of a synthetic log: how many rows, from whom, how many invalid. Shares are of an hour's rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

DEVICES = ("desktop", "mobile", "tablet", "app")
EVENT_TYPES = ("impression", "view", "add_to_cart", "purchase")
EVENTS_A_COOKIE = 20
BOT_FACTOR = 3  # a bot has this many times the limit of events per hour
REGULARS = 10  # one cookie in ten comes far more often
SESSION_EVENTS = 24  # at most
HOURS_A_DAY = 24

# What can be wrong with a row, and the reason that quarantine must give for it. The last group needs text to be wrong.
DIRT = {
    "null_cookie": "missing:cookie_id",
    "empty_cookie": "missing:cookie_id",
    "blank_cookie": "missing:cookie_id",
    "null_product": "missing:product_id",
    "empty_product": "missing:product_id",
    "blank_product": "missing:product_id",
    "null_type": "missing:event_type",
    "empty_type": "missing:event_type",
    "null_ts": "missing:ts",
    "unknown_type": "unknown_event_type",
    "type_in_capitals": "unknown_event_type",
    "future_ts": "future_timestamp",
    "ancient_ts": "too_late",
    "no_quantity": "quantity_not_positive",
    "negative_quantity": "quantity_not_positive",
    "negative_price": "negative_price",
}
DIRT_OF_TEXT = {
    "cut_line": "malformed_row",
    "no_object": "malformed_row",
    "word_for_ts": "bad_type:ts",
    "word_for_quantity": "bad_type:quantity",
    "word_for_price": "bad_type:price",
}


@dataclass(frozen=True)
class Shape:
    """The arguments of a log. Raises ValueError if people would look like bots."""

    rows: int  # of an average hour
    seed: int = 0
    cookies: int = 0  # 0: one for every 20 rows of an average hour
    products: int = 200_000
    tastes: int = 50
    locations: int = 211
    swing: float = 0.5  # share by which the busiest hour (14:00) exceeds the average, and the quietest falls below
    late: float = 0.005
    duplicates: float = 0.002
    dirt: float = 0.002  # all kinds together
    bots: float = 0.002
    max_events_an_hour: int = 1000  # a cookie with more is a bot
    max_lateness_hours: int = 168
    event_ids: bool = True
    session_ids: bool = False
    format: Literal["parquet", "json"] = "parquet"

    def __post_init__(self) -> None:
        if self.tastes > self.products or min(self.tastes, self.locations, self.max_lateness_hours) < 1:
            raise ValueError("tastes, locations and max_lateness_hours must be at least 1, tastes at most products")
        shares = (self.late, self.duplicates, self.dirt, self.bots)
        if min(shares) < 0 or sum(shares) > 0.8:
            raise ValueError(f"shares of late, duplicates, dirt and bots must be 0 or more, 0.8 together: {shares}")
        # 0.6 of sessions are spread over all, 0.4 over the regulars; a session has six events or more on average.
        sessions = self.rows * (1 + self.swing) / 6 / self.people
        busiest = (0.6 * sessions + 0.4 * sessions * REGULARS + 2) * SESSION_EVENTS
        if self.bots and busiest > self.max_events_an_hour:
            raise ValueError(
                f"{self.people} cookies may have {busiest:.0f} events an hour, bots more than"
                f" {self.max_events_an_hour}: take more cookies, a higher limit, or no bots"
            )

    @property
    def people(self) -> int:
        """The number of cookies that are not bots."""
        return self.cookies or max(1, self.rows // EVENTS_A_COOKIE)

    @property
    def bot_count(self) -> int:
        """The number of bots for which the share of rows has room."""
        return int(self.rows * self.bots / (BOT_FACTOR * self.max_events_an_hour))

    @property
    def dirt_kinds(self) -> dict[str, str]:
        return {**DIRT, **DIRT_OF_TEXT} if self.format == "json" else DIRT

    def season(self, hour: int) -> float:
        """Returns the rows of an hour of the day relative to the average: 1 at 08:00 and 20:00, most at 14:00."""
        return 1 + self.swing * math.sin(2 * math.pi * (hour % HOURS_A_DAY - 8) / HOURS_A_DAY)

    def plan(self, hour: int) -> HourPlan:
        rows = round(self.rows * self.season(hour))
        kinds = len(self.dirt_kinds)
        bot_rows = math.ceil(BOT_FACTOR * self.max_events_an_hour * max(self.season(hour), 0.5))
        return HourPlan(
            hour=hour,
            rows=rows,
            late=int(rows * self.late),
            duplicates=int(rows * self.duplicates) if self.event_ids else 0,
            dirty=(int(rows * self.dirt / kinds),) * kinds,
            bot_rows=bot_rows * self.bot_count,
        )


@dataclass(frozen=True)
class HourPlan:
    """The exact number of rows of each sort in an hour."""

    hour: int  # hours since 1970-01-01T00 UTC
    rows: int
    late: int
    duplicates: int
    dirty: tuple[int, ...]  # of each kind, in the order of Shape.dirt_kinds
    bot_rows: int
    bot_start: int = 0  # rows of bots in the parts before

    @property
    def people_rows(self) -> int:
        return self.rows - self.duplicates - self.bot_rows

    def part(self, number: int, parts: int) -> HourPlan:
        """Returns one of `parts` consecutive parts, which add up to the whole."""

        def share(total: int) -> int:
            return total * (number + 1) // parts - total * number // parts

        duplicates, bot_rows, people = share(self.duplicates), share(self.bot_rows), share(self.people_rows)
        rows = people + duplicates + bot_rows
        dirty, bot_start = tuple(map(share, self.dirty)), self.bot_rows * number // parts
        return HourPlan(self.hour, rows, share(self.late), duplicates, dirty, bot_rows, bot_start)
