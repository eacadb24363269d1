"""The sections `[experiments.NAME]`: which visitors of which scenes get what, and in what shares."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from larder.settings.lookup_section import SceneSettings
from larder.settings.section import Section

Name = Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")]
LIVE = "live"
# The sum of shares such as 0.7, 0.2 and 0.1 is a little more than 1 in floating point.
ROUNDING = 1e-9


class ExploreSettings(Section):
    """The exploration of an arm: some positions get items that are not the best, with a known probability."""

    policy: Literal["epsilon", "plackett_luce"] = Field(
        description="How an item is drawn: `epsilon` draws uniformly in a share of the draws; `plackett_luce` draws "
        "each item with a probability proportional to exp(score / temperature)."
    )
    epsilon: float = Field(
        0.1, gt=0, le=1, description="The share of draws of `epsilon` that are uniform; the others take the best item."
    )
    temperature: float = Field(
        0.1,
        ge=0.001,
        le=1000,
        description="The temperature of `plackett_luce`: the scores of a list, divided by its best, are divided by it. "
        "A high temperature draws almost uniformly.",
    )
    positions: list[Annotated[int, Field(ge=0, le=999)]] = Field(
        default_factory=list,
        description="The positions that explore, counted from 0 as in the journey log; empty for all.",
    )
    candidates: int = Field(
        50, ge=2, le=1000, description="The number of items of a route's list, from the best on, that may be drawn."
    )
    visitors: float = Field(
        1.0, gt=0, le=1, description="The share of the arm's visitors whose answers explore, from 0 to 1."
    )


class ArmSettings(Section):
    """One arm of an experiment. What it doesn't name is as it is without the experiment."""

    share: float = Field(ge=0, le=1, description="The share of all visitors that get this arm, from 0 to 1.")
    release: str = Field(
        LIVE,
        min_length=1,
        description="The release that answers: `live`, `candidate` (the newest complete one that is not live when the "
        "experiment starts), or a name of `larder status`.",
    )
    scene: SceneSettings | None = Field(
        None, description="Routes and sizes in place of those of the scene, as in [lookup.scenes.NAME]."
    )
    explore: ExploreSettings | None = Field(None, description="The exploration; without it, lists are as computed.")


class ExperimentSettings(Section):
    """An experiment: `larder experiment start NAME` puts it in force."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    layer: str = Field(
        "",
        max_length=64,
        description="The layer; two experiments of one layer can't run in one scene. Empty: a layer of its own.",
    )
    salt: str = Field(
        "",
        max_length=64,
        description="The text that shuffles visitors; with another salt, they get other arms. Empty: the name.",
    )
    unit: Literal["cookie", "request"] = Field(
        "cookie",
        description="What keeps its arm: a cookie (requests without one take no part), or each request by itself.",
    )
    scenes: list[str] = Field(default_factory=list, description="The scenes in which it runs; empty for all.")
    from_: datetime | None = Field(None, alias="from", description="The moment from which it is in force.")
    until: datetime | None = Field(None, description="The moment at which it ends by itself.")
    arms: dict[Name, ArmSettings] = Field(min_length=1, description="The arms by name; the first one is the control.")

    @field_validator("from_", "until")
    @classmethod
    def in_utc(cls, moment: datetime | None) -> datetime | None:
        """A moment without a zone is UTC, as everywhere."""
        return moment.replace(tzinfo=timezone.utc) if moment is not None and moment.tzinfo is None else moment

    @model_validator(mode="after")
    def fits_together(self) -> ExperimentSettings:
        total = sum(arm.share for arm in self.arms.values())
        if total > 1 + ROUNDING:
            raise ValueError(f"the shares of the arms sum up to {total:g}; they must not exceed 1")
        if self.from_ is not None and self.until is not None and self.until <= self.from_:
            raise ValueError("until must be after from")
        return self
