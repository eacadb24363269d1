"""The section `[roll_up]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field, field_validator

from larder.settings.section import Section


class RollUpSettings(Section):
    """Running, exponentially decayed counts."""

    interactions_half_life_days: float = Field(120.0, gt=0)
    contexts_half_life_days: float = Field(14.0, gt=0)
    horizon_days: int = Field(365, gt=0, description="interactions not touched for longer fall out")
    ranges: int = Field(
        8, ge=1, le=4096, description="files of a state, a power of two; a task holds one in memory: some million rows"
    )

    @field_validator("ranges")
    @classmethod
    def a_power_of_two(cls, ranges: int) -> int:
        if ranges & (ranges - 1):
            raise ValueError(f"must be a power of two, and {ranges} is not")
        return ranges
