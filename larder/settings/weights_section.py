"""The section `[weights]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class WeightsSettings(Section):
    """The weight of one event of each type as implicit feedback. A weight of 0 leaves the type out."""

    impression: float = Field(0.0, ge=0, description="Weight of a product shown. 0: impressions are not counted.")
    view: float = Field(0.2, ge=0, description="Weight of a product page opened.")
    add_to_cart: float = Field(0.5, ge=0, description="Weight of a product put into the basket.")
    purchase: float = Field(1.0, ge=0, description="Weight of a product bought, whatever the quantity.")
