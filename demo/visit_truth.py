"""What simulated visitors are expected to do in each arm, from the planted probabilities and not from draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from demo.simulated_visitors import Behaviour, Floats
from larder.client.answers import Answer


@dataclass
class ArmTruth:
    """The expectations of an arm, summed over its answers, and the variances that draws have around them."""

    cookies: set[str] = field(default_factory=set)
    answers: float = 0.0
    impressions: float = 0.0
    clicks: float = 0.0
    purchases: float = 0.0
    revenue: float = 0.0
    click_variance: float = 0.0
    purchase_variance: float = 0.0

    def add(self, cookie: str, clicks: Floats, buys: float, prices: Floats, times: float = 1.0) -> None:
        """Adds an answer that was given `times` times.

        Args:
            clicks: the probability that each of its products is clicked, shape (products,).
            buys: the probability that a clicked product is bought.
            prices: of its products.
        """
        bought = clicks * buys
        self.cookies.add(cookie)
        self.answers += times
        self.impressions += times * len(clicks)
        self.clicks += times * float(clicks.sum())
        self.purchases += times * float(bought.sum())
        self.revenue += times * float(bought @ prices)
        self.click_variance += times * float((clicks * (1 - clicks)).sum())
        self.purchase_variance += times * float((bought * (1 - bought)).sum())

    def metrics(self) -> dict[str, float]:
        """Returns the expectation of each standard metric of a report; zeros without any answer."""
        visitors = max(1, len(self.cookies))
        return {
            "click_through": self.clicks / max(1.0, self.impressions),
            "add_to_cart": self.purchases / visitors,
            "purchase": self.purchases / visitors,
            "revenue": self.revenue / visitors,
        }

    def standard_errors(self) -> dict[str, float]:
        """Returns the standard error of click_through and purchase around metrics(), for these very answers."""
        return {
            "click_through": float(np.sqrt(self.click_variance)) / max(1.0, self.impressions),
            "purchase": float(np.sqrt(self.purchase_variance)) / max(1, len(self.cookies)),
        }

    def as_json(self) -> dict[str, Any]:
        """Returns the sums, metrics and standard errors as plain values."""
        names = ("answers", "impressions", "clicks", "purchases", "revenue")
        sums = {name: getattr(self, name) for name in names}
        errors = {"standard_errors": self.standard_errors()}
        return {"visitors": len(self.cookies), **sums, "metrics": self.metrics(), **errors}


class Truth:
    """The expectations of every arm by name; "" is the arm of visitors that are in none."""

    def __init__(self, behaviour: Behaviour, prices: Mapping[str, float]) -> None:
        self.arms: dict[str, ArmTruth] = {}
        self._behaviour = behaviour
        self._prices = prices

    def add(self, arm: str, cookie: str, answer: Answer, clicks: Floats, times: float = 1.0) -> None:
        """Adds an answer; see ArmTruth.add. `clicks` may go on with zeros after its last product."""
        items: Sequence[str] = [item.id for item in answer.items]
        prices = np.array([self._prices.get(item, 0.0) for item in items])
        found = self.arms.setdefault(arm, ArmTruth())
        found.add(cookie, clicks[: len(items)], self._behaviour.buys, prices, times)

    def as_json(self) -> dict[str, Any]:
        """Returns the truth of each arm as plain values."""
        return {arm: found.as_json() for arm, found in sorted(self.arms.items())}
