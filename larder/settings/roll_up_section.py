"""The section `[roll_up]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field, field_validator

from larder.settings.section import Section


class RollUpSettings(Section):
    """Running counts that decay exponentially."""

    interactions_half_life_days: float = Field(
        120.0, gt=0, description="Days after which an interaction of a cookie and a product counts half."
    )
    contexts_half_life_days: float = Field(
        14.0, gt=0, description="Days after which an event counts half towards what sells at a location on a device."
    )
    horizon_days: int = Field(
        365, gt=0, description="Days without a new event after which an interaction is dropped from the state."
    )
    ranges: int = Field(
        8,
        ge=1,
        le=4096,
        description="Files that a state is split into, by a hash of the cookie; a power of two. One task holds one "
        "file in memory, which should have a few million rows at most.",
    )

    @field_validator("ranges")
    @classmethod
    def a_power_of_two(cls, ranges: int) -> int:
        if ranges & (ranges - 1):
            raise ValueError(f"must be a power of two, and {ranges} is not")
        return ranges
