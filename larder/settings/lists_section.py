"""The section `[lists]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from larder.settings.section import Section


class ListsSettings(Section):
    """What is precomputed."""

    personal: int = Field(30, ge=1, le=120, description="items of a cookie's list")
    similar: int = Field(30, ge=1, le=120, description="items of a product's list")
    generic: int = Field(50, ge=1, le=120, description="items of a location-device list")
    rebuy: Literal["allow", "mask"] = Field("allow", description="may a list hold what the cookie bought before?")
    rebuy_after_days: float = Field(
        0.0, ge=0, description="where it may: what the cookie bought within so many days is left out"
    )
    rebuy_weight: float = Field(
        0.7, ge=0, le=1, description="share of what was bought before in the score, where allowed and without weights"
    )
    weights: str = Field("", description="file that `larder tune-lists` wrote; empty: rebuy_weight alone decides")
    candidates: int = Field(
        100,
        ge=1,
        description="with weights: products that a cookie never bought that are looked at, best by factors; "
        "at least personal + over_fetch",
    )
    over_fetch: int = Field(0, ge=0, le=120, description="items more in a cookie's list, for the endpoint to mask")
    exclude: list[str] = Field(default_factory=list, description="products that stand in no list")
    exclude_file: str = Field("", description="and those of this file, an id a line")
    category_levels: int = Field(
        0, ge=0, le=3, description="levels of the catalogue's path that make a category, for the next two; 0: all"
    )
    most_of_category: int = Field(0, ge=0, description="products of a category in a personal or generic list; 0: any")
    diversity: float = Field(
        0.0, ge=0, description="what each product of a category costs the next one of it, in scores (log-odds)"
    )
    min_support: float = Field(5.0, ge=0, description="decayed count below which a product is not popular anywhere")
    min_products: int = Field(10, ge=1, description="a location-device with fewer popular products uses its parent")

    @model_validator(mode="after")
    def candidates_fill_a_list(self) -> ListsSettings:
        if self.weights and self.candidates < self.personal + self.over_fetch:
            raise ValueError("candidates must be at least personal + over_fetch, or lists come out short")
        return self
