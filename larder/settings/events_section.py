"""The section `[events]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from larder.settings.section import Section


class EventsSettings(Section):
    """How raw events are read, and which events are valid."""

    format: Literal["parquet", "json"] = Field(
        "parquet", description="Format of the event files. json: one object per line; .gz, .zst and .bz2 are read too."
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description='Names of your columns, as { larder_name = "your_name" }. A column not named here keeps its name.',
    )
    success_file: str = Field(
        "",
        description="Name of the file, such as _SUCCESS, that marks an hour as complete. Empty: no file is waited for.",
    )
    quiet_minutes: int = Field(
        0,
        ge=0,
        description="Minutes for which an hour's folder must not have changed before it is read. 0: no waiting.",
    )
    max_lateness_hours: int = Field(
        168,
        ge=0,
        description="Hours that an event may be older than its partition. An older event is quarantined as too late.",
    )
    max_events_an_hour: int = Field(
        10_000,
        ge=1,
        description="Events that a cookie may have in an hour. With more it is a bot: all its events are left out, "
        "and counted.",
    )
    rows_per_file: int = Field(
        2_000_000,
        ge=1,
        description="Input rows from which an hour is split into several files. One task holds up to this many rows "
        "in memory.",
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
