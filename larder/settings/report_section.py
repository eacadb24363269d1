"""The section `[report]` of `larder.toml`: the metrics of experiments, and how sure their report is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from larder.settings.experiments_section import Name
from larder.settings.section import Section

IMPRESSION, REQUEST, VISITOR, PRODUCT = "impression", "request", "visitor", "product"
WITHIN = (PRODUCT, REQUEST, VISITOR)  # each belongs to one of the next


class MetricSettings(Section):
    """A metric of the arms of an experiment: events, counted or summed up, of each impression, request or visitor."""

    event_types: list[Literal["view", "add_to_cart", "purchase"]] = Field(
        min_length=1, description="The types of events that count."
    )
    per: Literal["impression", "request", "visitor"] = Field(
        "visitor", description="What the events are divided by: impressions, requests or visitors of the arm."
    )
    value: str = Field(
        "",
        description="A column of the events with numbers, which are summed up in hundredths. Empty: events are counted."
        " `[events] columns` says what it is called in your logs.",
    )
    times_quantity: bool = Field(False, description="Whether `value` counts as often as the event's quantity says.")
    once: bool = Field(
        False, description="Whether an impression, request or visitor (see `per`) counts at most once, as in a rate."
    )
    attribution: Literal["product", "request", "visitor"] | None = Field(
        None,
        description="Which events count: those of a `product` that was shown, with the request id of its list; those "
        "with the id of a `request`, of any product; or all of a `visitor` from its first impression on, with and "
        "without a request id. Default: `product` per impression, else `request`.",
    )
    good: Literal["up", "down"] = Field("up", description="Whether more is better or less.")
    least_effect: float = Field(
        0.05,
        gt=0,
        description="The smallest relative change that matters. The report says how many days it takes to find it.",
    )

    @model_validator(mode="after")
    def fits_together(self) -> MetricSettings:
        if self.once and self.value:
            raise ValueError("`once` is for counts, and `value` for sums; use one of them")
        if self.times_quantity and not self.value:
            raise ValueError("`times_quantity` needs a `value`")
        narrow = WITHIN.index(self.attributed_by) <= WITHIN.index(PRODUCT if self.per == IMPRESSION else self.per)
        if self.once and not narrow:
            raise ValueError(
                f"events of a {self.attributed_by} can't count once per {self.per}: not all of them belong to one"
            )
        return self

    @property
    def attributed_by(self) -> str:
        """`product`, `request` or `visitor`: which events count."""
        return self.attribution or (PRODUCT if self.per == IMPRESSION else REQUEST)


STANDARD_METRICS = {
    "click_through": MetricSettings(event_types=["view", "add_to_cart", "purchase"], per="impression", once=True),
    "add_to_cart": MetricSettings(event_types=["add_to_cart"]),
    "purchase": MetricSettings(event_types=["purchase"]),
    "revenue": MetricSettings(event_types=["purchase"], value="price", times_quantity=True),
}


class ReportSettings(Section):
    """The report of an experiment: `larder report experiment`."""

    level: float = Field(0.95, gt=0.5, lt=1, description="The level of confidence of all intervals.")
    planned_cookies: int = Field(
        100_000,
        ge=1,
        description="The number of visitors, of two arms together, near which intervals that are valid at every look "
        "are narrowest. They are valid at any number, as long as this one isn't chosen by what a report shows.",
    )
    standard_metrics: bool = Field(
        True,
        description="Whether click_through (impressions with any event), add_to_cart, purchase and revenue (prices "
        "times quantities), each of the last three per visitor, are reported.",
    )
    metrics: dict[Name, MetricSettings] = Field(
        default_factory=dict, description="More metrics; one with the name of a standard metric takes its place."
    )

    def all_metrics(self) -> dict[str, MetricSettings]:
        """Returns the metrics that are reported, by name, the standard ones first."""
        return {**(STANDARD_METRICS if self.standard_metrics else {}), **self.metrics}
