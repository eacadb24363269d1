"""The section `[events]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from larder.settings.section import Section


class EventsSettings(Section):
    """How raw events are read and which are believed."""

    format: Literal["parquet", "json"] = Field("parquet", description="json: one object a line; .gz, .zst, .bz2 too")
    columns: dict[str, str] = Field(
        default_factory=dict, description="event column of the contract -> column of your logs"
    )
    success_file: str = Field("", description="an hour without this file, such as _SUCCESS, is not complete yet")
    quiet_minutes: int = Field(0, ge=0, description="nor is one written to within so many minutes; 0: no such rule")
    max_lateness_hours: int = Field(168, ge=0, description="an event older than its partition by more is quarantined")
    max_events_an_hour: int = Field(
        10_000, ge=1, description="a cookie with more is a bot: set aside and counted, its events are not"
    )
    rows_per_file: int = Field(
        2_000_000, ge=1, description="an hour with more input rows is split; a task holds so many in memory"
    )

    @field_validator("columns")
    @classmethod
    def only_contract_columns(cls, columns: dict[str, str]) -> dict[str, str]:
        known = {
            "event_id", "ts", "cookie_id", "session_id", "location", "device",
            "product_id", "event_type", "quantity", "price", "request_id",
        }  # fmt: skip
        unknown = sorted(set(columns) - known)
        if unknown:
            raise ValueError(f"not columns of the event contract: {unknown}; known: {sorted(known)}")
        return columns
