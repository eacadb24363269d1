"""The section `[weights]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class WeightsSettings(Section):
    """How much one event of each type says about taste; 0 leaves the type out."""

    impression: float = Field(0.0, ge=0)
    view: float = Field(0.2, ge=0)
    add_to_cart: float = Field(0.5, ge=0)
    purchase: float = Field(1.0, ge=0)
