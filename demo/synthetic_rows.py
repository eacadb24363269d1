"""Who sees what and when, as arrays of numbers: people with tastes in sessions, and bots."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from demo.synthetic_hashes import Ints, mixed, unit
from demo.synthetic_shape import REGULARS, SESSION_EVENTS, HourPlan, Shape

MS_AN_HOUR = 3_600_000
SESSION_SCALE, PACE_MS = 7.0, 20_000.0
TRAVELLING, NO_LOCATION, NO_DEVICE = 0.05, 0.01, 0.005  # shares of sessions
DEVICE_SHARES = [0.35, 0.8, 0.9]  # cumulative, of people
DEVICE_APPETITE = np.array([1.0, 0.6, 0.8, 1.4])  # factor on the share of impressions that lead to a view or more
SEEN_ONLY, VIEWED, CARTED = 0.93, 0.98, 0.995  # cumulative shares of event types
FAVOURITES = 12  # products that a person returns to
TO_FAVOURITE, TO_TASTE, TO_PLACE = 0.55, 0.85, 0.92  # cumulative shares; the rest goes to products popular anywhere
PLACE_STEP, BOT_STEP = 104_729, 7_919
NULL = -1


@dataclass
class Numbers:
    """Rows as numbers: each row is of a session, each session of a cookie. Locations and devices may be NULL."""

    session: npt.NDArray[np.int32]
    ts: Ints  # milliseconds since 1970
    product: npt.NDArray[np.int32]
    type_: npt.NDArray[np.int8]
    cookies: Ints  # from here on: one per session
    locations: npt.NDArray[np.int32]
    devices: npt.NDArray[np.int8]
    names: Ints  # of the sessions

    @staticmethod
    def joined(first: Numbers, second: Numbers) -> Numbers:
        session = np.concatenate([first.session, second.session + np.int32(len(first.cookies))])
        rest = ("ts", "product", "type_", "cookies", "locations", "devices", "names")
        return Numbers(session, *(np.concatenate([getattr(first, name), getattr(second, name)]) for name in rest))


def traits(shape: Shape, cookies: Ints) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.int8]]:
    """Returns taste, home location and device of cookies, by their numbers; they never change."""
    bits = mixed(cookies, shape.seed, 0)
    taste = (bits % np.uint64(shape.tastes)).astype(np.int64)
    home = (unit(bits, 8) ** 2 * shape.locations).astype(np.int32)
    device = np.searchsorted(DEVICE_SHARES, unit(bits, 40)).astype(np.int8)
    return taste, home, device


def people(
    shape: Shape, random: np.random.Generator, plan: HourPlan, at: tuple[float, float], first_session: int
) -> Numbers:
    """Returns sessions that begin between two points of the hour; those that would not fit are faster."""
    rows = plan.people_rows
    sizes = _session_sizes(random, rows)
    many = len(sizes)
    cookies = _visitors(shape, np.arange(first_session, first_session + many))
    tastes, homes, devices = traits(shape, cookies)
    locations = np.where(random.random(many) < TRAVELLING, random.integers(0, shape.locations, many), homes)
    locations[random.random(many) < NO_LOCATION] = NULL
    devices[random.random(many) < NO_DEVICE] = NULL
    begin = ((np.sort(random.random(many)) * (at[1] - at[0]) + at[0]) * MS_AN_HOUR).astype(np.int64)
    pace = np.minimum(random.exponential(PACE_MS, many), (MS_AN_HOUR - begin) / (sizes + 1)).astype(np.float32)
    session = np.repeat(np.arange(many, dtype=np.int32), sizes)
    first = (np.cumsum(sizes) - sizes).astype(np.int32)
    steps = (np.arange(rows, dtype=np.int32) - first[session]) + random.random(rows, np.float32)
    ts = (begin + plan.hour * MS_AN_HOUR)[session] + (steps * pace[session]).astype(np.int64)
    product = _products(shape, random, cookies, tastes, locations, session)
    type_ = _types(random, devices, session)
    names = np.arange(first_session, first_session + many) + (plan.hour << 32)
    return Numbers(session, ts, product, type_, cookies, locations.astype(np.int32), devices, names)


def bots(shape: Shape, random: np.random.Generator, plan: HourPlan, at: tuple[float, float]) -> Numbers:
    """Returns bots that go through the catalogue all hour long. Their numbers follow those of the people."""
    many, rows = shape.bot_count, plan.bot_rows
    number = np.arange(plan.bot_start, plan.bot_start + rows)
    session = (number % max(1, many)).astype(np.int32)
    product = (session * BOT_STEP + number // max(1, many)) % shape.products
    ts = np.sort(random.random(rows)) * (at[1] - at[0]) + at[0]
    cookies = np.arange(many) + shape.people
    _, homes, devices = traits(shape, cookies)
    return Numbers(
        session,
        (ts * MS_AN_HOUR).astype(np.int64) + plan.hour * MS_AN_HOUR,
        product.astype(np.int32),
        np.zeros(rows, np.int8),
        cookies,
        homes,
        devices,
        cookies + (plan.hour << 32) + (1 << 31),
    )


def _session_sizes(random: np.random.Generator, rows: int) -> npt.NDArray[np.int32]:
    """Returns sizes of sessions, 1 to SESSION_EVENTS events, `rows` in total; the last session is cut."""
    guess = rows // 5 + 10  # more than enough: the mean is above 6
    sizes = np.minimum(1 + random.exponential(SESSION_SCALE, guess), SESSION_EVENTS).astype(np.int32)
    ends = np.cumsum(sizes)
    many = int(np.searchsorted(ends, rows)) + 1 if rows else 0
    sizes = sizes[:many]
    if many:
        sizes[-1] -= ends[many - 1] - rows
    return sizes


def _visitors(shape: Shape, session: Ints) -> Ints:
    """Returns people by turns, so that all come about equally often (regulars more often), and only bots look like
    bots."""
    regulars = max(1, shape.people // REGULARS)
    turn = np.where(session % 5 < 2, session // 5 * 2 + session % 5, session)
    turn = np.where(session % 5 < 2, turn % regulars, turn)
    return (turn * _step(shape.people)) % shape.people


def _step(people: int) -> int:
    """Returns about 0.618 of the number of people, coprime to it: steps of that size visit everyone."""
    step = max(1, round(people * 0.6180339887))
    while math.gcd(step, people) != 1:
        step += 1
    return step


def _products(
    shape: Shape,
    random: np.random.Generator,
    cookies: Ints,
    tastes: Ints,
    locations: Ints,
    session: npt.NDArray[np.int32],
) -> npt.NDArray[np.int32]:
    """Returns products. Product p is of taste p % tastes, and a lower number is more popular."""
    way, u = random.random(len(session), np.float32), random.random(len(session), np.float32)
    skewed = u * u * u
    a_taste = shape.products // shape.tastes
    rank = (skewed * np.float32(a_taste)).astype(np.int32)
    often = np.flatnonzero(way < TO_FAVOURITE)
    favourite = cookies[session[often]] * FAVOURITES + (skewed[often] * np.float32(FAVOURITES)).astype(np.int64)
    rank[often] = (unit(mixed(favourite, shape.seed, 1), 11) ** 2 * np.float32(a_taste)).astype(np.int32)
    product = np.minimum(rank, a_taste - 1) * np.int32(shape.tastes) + tastes.astype(np.int32)[session]
    elsewhere = np.flatnonzero(way >= TO_TASTE)
    shift = np.where(way[elsewhere] < TO_PLACE, locations[session[elsewhere]] * PLACE_STEP, 0)
    product[elsewhere] = ((skewed[elsewhere] * np.float32(shape.products)).astype(np.int64) + shift) % shape.products
    return product


def _types(
    random: np.random.Generator, devices: npt.NDArray[np.int8], session: npt.NDArray[np.int32]
) -> npt.NDArray[np.int8]:
    """Returns positions in EVENT_TYPES. On a less active device, some views and their follow-ups become impressions."""
    u = random.random(len(session), np.float32)
    type_ = np.zeros(len(session), np.int8)
    most = np.float32(1 - (1 - SEEN_ONLY) * DEVICE_APPETITE.max())
    more = np.flatnonzero(u >= most)
    appetite = DEVICE_APPETITE[devices[session[more]]]  # NULL is the last device's
    base = 1 - (1 - u[more]) / appetite
    type_[more] = (base >= SEEN_ONLY).astype(np.int8) + (base >= VIEWED) + (base >= CARTED)
    return type_
