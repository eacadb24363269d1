"""The section `[similar]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from larder.settings.section import Section


class SimilarSettings(Section):
    """Which products stand in a product's list, of those whose pictures are most alike."""

    in_stock: bool = Field(True, description="only what the catalogue does not say is out of stock")
    department: Literal["any", "same", "other"] = Field(
        "any", description="beside the product's own, which is the first name of its category path"
    )
    price_ratio: float = Field(0.0, ge=0, description="at most so many times dearer or cheaper; 0: at any price")
    other_sizes: bool = Field(True, description="may it hold the same product in another size, or one in two sizes?")
    same_product: str = Field(
        "", description="column of the catalogue that is equal for one product in all sizes; empty: its brand and title"
    )
    fold_above: float = Field(
        0.999, gt=0, le=1, description="of pictures with a greater cosine one is listed, the nearest; 1: all are"
    )
    exact_up_to: int = Field(1_000_000, ge=1, description="more pictures are filed in cells, and few cells looked into")
    probes: int = Field(48, ge=1, description="cells that a product looks into, in the mean and at least")
    least_recall: float = Field(0.95, ge=0, le=1, description="share of the exact neighbours to find, by more cells")
    by_category: bool = Field(True, description="a product without a picture gets what sells in its category")

    @field_validator("price_ratio")
    @classmethod
    def nothing_below_one(cls, price_ratio: float) -> float:
        if 0 < price_ratio < 1:
            raise ValueError("must be 0 or at least 1: twice as dear is 2, and so is half the price")
        return price_ratio
