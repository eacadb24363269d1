"""Simulated visitors: how they look at a list, click and buy. What they like is planted, so expectations are known.

A visitor looks at position k, from 0, with probability 1 / (1 + k)^eta, whatever stands there (position-based
examination: Craswell, Zoeter, Taylor and Ramsey 2008). It clicks a product that it looks at with the probability of
the product's relevance to it, and buys a clicked one with another probability. All draws are independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from demo.complete_journey import EVENT_SCHEMA
from larder.client.answers import Answer

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

VISIT_SCHEMA = pa.schema([*EVENT_SCHEMA, ("request_id", pa.string())])
VIEW, CART, PURCHASE = "view", "add_to_cart", "purchase"
# Seconds from the answer to a click, and from the click to the purchase; a product is put into the cart halfway.
LEAST_SECONDS, MOST_SECONDS = 1, 20
MICROSECONDS = 1_000_000


@dataclass(frozen=True)
class Visitor:
    """A visitor and its taste: the relevance of some products, from 0 to 1, and that of all others."""

    cookie: str
    relevance: Mapping[str, float]
    others: float


@dataclass(frozen=True)
class Behaviour:
    """What all visitors have in common."""

    shown: int = 10  # products of an answer
    eta: float = 1.0  # how fast attention falls with the position; 0: every position is looked at
    buys: float = 0.3  # probability that a clicked product is bought
    # A visitor comes v times with a probability proportional to v^-visits_exponent, and at most most_visits times.
    visits_exponent: float = 2.0
    most_visits: int = 50

    def examination(self) -> Floats:
        """Returns the probability that a visitor looks at each position, shape (shown,)."""
        return (1.0 + np.arange(self.shown)) ** -self.eta

    def visit_probabilities(self) -> Floats:
        """Returns the probability of each number of visits from 1 to most_visits."""
        weights = np.arange(1, self.most_visits + 1) ** -self.visits_exponent
        return weights / weights.sum()


@dataclass(frozen=True)
class Reactions:
    """What visitors did with their lists: whether each product was clicked and bought, shape (visits, shown)."""

    clicked: Booleans
    bought: Booleans
    seconds: Integers  # from the answer to the click, and as many again to the purchase


def numbers_of_visits(random: np.random.Generator, visitors: int, behaviour: Behaviour) -> Integers:
    """Returns how often each visitor comes, shape (visitors,)."""
    return 1 + random.choice(behaviour.most_visits, visitors, p=behaviour.visit_probabilities())


def relevance_of(visitors: Sequence[Visitor], answers: Sequence[Answer], shown: int) -> Floats:
    """Returns the relevance of each product to the visitor of its answer, shape (answers, shown); 0 where none is."""
    found = np.zeros((len(answers), shown))
    for row, visitor, answer in zip(found, visitors, answers, strict=True):
        liked = [visitor.relevance.get(item.id, visitor.others) for item in answer.items[:shown]]
        row[: len(liked)] = liked
    return found


def click_probabilities(relevance: Floats, behaviour: Behaviour) -> Floats:
    """Returns the probability that each product is clicked: examination times relevance, shape (answers, shown)."""
    return behaviour.examination() * relevance


def reactions(random: np.random.Generator, clicks: Floats, behaviour: Behaviour) -> Reactions:
    """Draws what visitors do, from the probabilities of clicks."""
    clicked = random.random(clicks.shape) < clicks
    bought = clicked & (random.random(clicks.shape) < behaviour.buys)
    return Reactions(clicked, bought, random.integers(LEAST_SECONDS, MOST_SECONDS + 1, clicks.shape))


def events_of(
    cookies: Sequence[str], answers: Sequence[Answer], reacted: Reactions, moment: int, prices: Mapping[str, float]
) -> pa.Table:
    """Returns the events of some answers, in VISIT_SCHEMA, in the order of answers, positions and types.

    Args:
        moment: when the answers arrived, in microseconds since 1970.
        prices: of products; one that is missing has none.
    """
    columns: dict[str, list[object]] = {name: [] for name in VISIT_SCHEMA.names}
    for place, position in zip(*np.nonzero(reacted.clicked), strict=True):
        answer, product = answers[place], answers[place].items[position].id
        for event_type, halves in _steps(bool(reacted.bought[place, position])):
            columns["event_id"].append(f"{answer.request_id}-{product}-{event_type}")
            columns["ts"].append(moment + int(reacted.seconds[place, position]) * halves * MICROSECONDS // 2)
            columns["cookie_id"].append(cookies[place])
            columns["session_id"].append(answer.request_id)
            columns["product_id"].append(product)
            columns["event_type"].append(event_type)
            columns["price"].append(prices.get(product))
            columns["request_id"].append(answer.request_id)
    rows = len(columns["ts"])
    columns |= {"quantity": [1] * rows, "location": [None] * rows, "device": [None] * rows}
    return pa.table(columns, VISIT_SCHEMA)


def _steps(is_bought: bool) -> Iterable[tuple[str, int]]:
    """Yields the types of events of a clicked product, and their time in halves of the time to the click."""
    return ((VIEW, 2), (CART, 3), (PURCHASE, 4)) if is_bought else ((VIEW, 2),)
