"""The types of questions to the endpoint and of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class BadQuestionError(ValueError):
    """The endpoint refused the question as invalid; the message is the endpoint's."""


@dataclass(frozen=True)
class Question:
    """A question for one visitor. Empty fields are unknown. docs/lookup.md describes the parameters."""

    cookie: str = ""
    products: Sequence[str] = ()
    exclude: Sequence[str] = ()
    location: str = ""
    device: str = ""
    n: int | None = None
    scene: str = ""
    arm: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the question as JSON for a batch, without empty fields."""
        named = {
            "cookie": self.cookie,
            "product": list(self.products),
            "exclude": list(self.exclude),
            "location": self.location,
            "device": self.device,
            "n": self.n,
            "scene": self.scene,
            "arm": self.arm,
        }
        return {name: value for name, value in named.items() if value not in ("", None, [])}


@dataclass(frozen=True)
class Item:
    """A recommended product, its score within its route or None, and the route; `fallback` is the caller's own list."""

    id: str
    score: float | None
    route: str


@dataclass(frozen=True)
class Answer:
    """The products to show. Put `request_id` into the events that follow; it is empty for a fallback.

    `problem` is why the items are the fallback, or "" if they are from the endpoint. `arms` has the arm of each
    experiment that the request takes part in, by the experiment's name.
    """

    items: tuple[Item, ...]
    request_id: str = ""
    release: str = ""
    age_seconds: int = 0
    problem: str = ""
    arms: Mapping[str, str] = field(default_factory=dict)


def answer_from(body: Mapping[str, Any]) -> Answer:
    """Returns the answer in a JSON object. Raises KeyError, TypeError or ValueError if it is malformed."""
    items = tuple(Item(str(item["id"]), item["score"], str(item["route"])) for item in body["items"])
    arms = {str(each["experiment"]): str(each["arm"]) for each in body.get("experiments", ())}
    return Answer(items, str(body["request_id"]), str(body["release"]), int(body["age_seconds"]), arms=arms)


def fallback_answer(question: Question, products: Sequence[str], problem: str) -> Answer:
    """Returns the caller's own list, without the products that the question names or excludes."""
    hidden = {*question.products, *question.exclude}
    shown = [product for product in products if product not in hidden][: question.n]
    return Answer(tuple(Item(product, None, "fallback") for product in shown), problem=problem)
