"""What is asked of the endpoint, and what it answers, as types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class BadQuestionError(ValueError):
    """The endpoint takes the question for a mistake of the caller's; the message is its own."""


@dataclass(frozen=True)
class Question:
    """Who asks, and what they look at. Empty: not known. The parameters of docs/lookup.md."""

    cookie: str = ""
    products: Sequence[str] = ()
    exclude: Sequence[str] = ()
    location: str = ""
    device: str = ""
    n: int | None = None
    scene: str = ""

    def as_json(self) -> dict[str, Any]:
        """As a question of a batch, without what is not known."""
        named = {
            "cookie": self.cookie,
            "product": list(self.products),
            "exclude": list(self.exclude),
            "location": self.location,
            "device": self.device,
            "n": self.n,
            "scene": self.scene,
        }
        return {name: value for name, value in named.items() if value not in ("", None, [])}


@dataclass(frozen=True)
class Item:
    """A product, its score within its route (None where there is none), and the route: `fallback` if it is our own."""

    id: str
    score: float | None
    route: str


@dataclass(frozen=True)
class Answer:
    """What to show. Put `request_id` into the events that it leads to; it is empty where the endpoint did not answer.

    `problem` is why the items are the fallback's; "" where they are the endpoint's.
    """

    items: tuple[Item, ...]
    request_id: str = ""
    release: str = ""
    age_seconds: int = 0
    problem: str = ""


def answer_from(body: Mapping[str, Any]) -> Answer:
    """Reads an answer's JSON. Raises KeyError, TypeError where it is none."""
    items = tuple(Item(str(item["id"]), item["score"], str(item["route"])) for item in body["items"])
    return Answer(items, str(body["request_id"]), str(body["release"]), int(body["age_seconds"]))


def fallback_answer(question: Question, products: Sequence[str], problem: str) -> Answer:
    """The caller's own list, without what the question names or excludes."""
    hidden = {*question.products, *question.exclude}
    shown = [product for product in products if product not in hidden][: question.n]
    return Answer(tuple(Item(product, None, "fallback") for product in shown), problem=problem)
