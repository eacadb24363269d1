"""The section `[lists]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from larder.settings.section import Section


class ListsSettings(Section):
    """How many items the precomputed lists have, and which products may stand in them."""

    personal: int = Field(30, ge=1, le=120, description="Items in a cookie's personal list.")
    similar: int = Field(30, ge=1, le=120, description="Items in a product's list of similar products.")
    generic: int = Field(50, ge=1, le=120, description="Items in the list of a location and device.")
    rebuy: Literal["allow", "mask"] = Field(
        "allow", description="Whether a personal list may hold products that the cookie has bought. mask: it may not."
    )
    repeats: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="Whether cookies buy the same product again. no: personal lists hold no product that the cookie "
        "has bought. auto: no, if at least 1,000 pairs of cookie and product were bought and fewer than 5% of them "
        "again; otherwise yes.",
    )
    rebuy_after_days: float = Field(
        0.0,
        ge=0,
        description="Days that must have passed since the cookie's last purchase of a product before its list may "
        "hold it again. 0: no waiting. It has no effect with rebuy = mask.",
    )
    rebuy_weight: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Share of the cookie's own purchase history in the score of a product that it has bought; the "
        "rest is the ALS score. It has no effect where weights is set.",
    )
    weights: str = Field(
        "",
        description="File with the order of personal lists and its weights, made by `larder tune-lists`. Empty: lists "
        "are ordered by ALS and rebuy_weight.",
    )
    candidates: int = Field(
        100,
        ge=1,
        description="Products new to the cookie, best by ALS score, that the learned weights rank. It has no effect "
        "without weights, and must be at least personal + over_fetch.",
    )
    over_fetch: int = Field(
        0, ge=0, le=120, description="Spare items in a personal list, for the endpoint to use where it masks others."
    )
    exclude: list[str] = Field(default_factory=list, description="Ids of products that may stand in no list.")
    exclude_file: str = Field(
        "", description="File with ids of further products that may stand in no list, one per line. Empty: none."
    )
    category_levels: int = Field(
        0,
        ge=0,
        le=3,
        description="Levels of the catalogue's category path that make a category for most_of_category and "
        "diversity. 0: the whole path.",
    )
    most_of_category: int = Field(
        0, ge=0, description="Products of one category that a personal or generic list may hold. 0: no limit."
    )
    diversity: float = Field(
        0.0,
        ge=0,
        description="Score (log-odds with weights) taken from a product for each product of its category that stands "
        "above it in the list. 0: categories do not matter.",
    )
    min_support: float = Field(
        5.0, ge=0, description="Decayed event count that a product needs to be listed as popular anywhere."
    )
    min_products: int = Field(
        10,
        ge=1,
        description="Popular products that a location and device needs for a list of its own. With fewer it gets the "
        "list of the location, the device, or all.",
    )

    @model_validator(mode="after")
    def candidates_fill_a_list(self) -> ListsSettings:
        if self.weights and self.candidates < self.personal + self.over_fetch:
            raise ValueError("candidates must be at least personal + over_fetch, or lists come out short")
        return self
