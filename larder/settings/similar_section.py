"""The section `[similar]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from larder.settings.section import Section


class SimilarSettings(Section):
    """Which of the products with the most similar pictures may stand in a product's list, and how they are searched."""

    in_stock: bool = Field(True, description="Whether products that the catalogue marks as out of stock are left out.")
    department: Literal["any", "same", "other"] = Field(
        "any",
        description="Department of the listed products, relative to the product's own. The department is the first "
        "name of the category path.",
    )
    price_ratio: float = Field(
        0.0,
        ge=0,
        description="Factor by which a listed product may be dearer or cheaper; 2 allows half to double the price. "
        "0: any price.",
    )
    other_sizes: bool = Field(
        True, description="Whether a list may hold the product itself in another size, or one product in two sizes."
    )
    same_product: str = Field(
        "",
        description="Catalogue column that has the same value for all sizes of a product. Empty: brand and title tell.",
    )
    fold_above: float = Field(
        0.999,
        gt=0,
        le=1,
        description="Cosine of two pictures above which a list holds only the nearer of the two products. 1: it may "
        "hold both.",
    )
    exact_up_to: int = Field(
        1_000_000,
        ge=1,
        description="Pictures up to which the search is exact. More are clustered into cells, and only a few cells "
        "searched.",
    )
    probes: int = Field(
        48, ge=1, description="Cells searched per product, on average. least_recall may raise it, never lower it."
    )
    least_recall: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Share of the exact neighbours that a search by cells must find on a sample. Cells are added "
        "until it does.",
    )
    by_category: bool = Field(True, description="Whether a product without a picture gets what sells in its category.")

    @field_validator("price_ratio")
    @classmethod
    def nothing_below_one(cls, price_ratio: float) -> float:
        if 0 < price_ratio < 1:
            raise ValueError("must be 0 or at least 1: 2 allows from half to double the price")
        return price_ratio
