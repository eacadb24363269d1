"""The section `[events]` of `larder.toml`."""

from __future__ import annotations

import re
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
    layout: str = Field(
        "dt=%Y-%m-%d/hr=%H",
        description="Folders of an hour below storage.events. %Y, %m, %d and %H stand for its year, month, day and "
        "hour in UTC.",
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
    placeholder_ids: list[str] = Field(
        default=[
            "undefined",
            "null",
            "(null)",
            "none",
            "nan",
            "[object Object]",
            "00000000-0000-0000-0000-000000000000",
        ],
        description="Texts that stand where a cookie or product has no id. Such an event is quarantined. Each also "
        "counts in lower case, in upper case and capitalised.",
    )
    max_quarantined_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of an hour's rows that may be quarantined. If more are, or all are, the job fails and the "
        "hour is not counted. Of fewer than 10 quarantined rows, only the loss of all rows counts. 1: no limit.",
    )
    empty_hours: Literal["refuse", "accept"] = Field(
        "refuse",
        description="What becomes of an hour whose folder exists but holds no rows. refuse: the job fails. accept: the "
        "hour counts as one without events. A Parquet file of no rows is always accepted.",
    )
    rows_per_file: int = Field(
        2_000_000,
        ge=1,
        description="Input rows from which an hour is split into several files. One task holds up to this many rows "
        "in memory.",
    )

    @field_validator("layout")
    @classmethod
    def layout_names_an_hour(cls, layout: str) -> str:
        """Returns the layout. Raises ValueError unless it has each of the four codes once and no other."""
        found = re.findall("%.", layout)
        if sorted(found) != sorted(("%Y", "%m", "%d", "%H")) or layout.startswith("/") or layout.endswith("/"):
            raise ValueError(f"must hold each of %Y, %m, %d and %H once, such as dt=%Y-%m-%d/hr=%H; it is {layout!r}")
        return layout

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
