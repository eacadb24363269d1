"""The section `[redis]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class RedisSettings(Section):
    """Where and how releases are published."""

    url: str = Field(
        "", description="URL of the server: redis://, rediss:// (TLS) or unix://. Empty: an embedded server is started."
    )
    directory: str = Field("data/redis", description="Folder in which the embedded server keeps its data.")
    namespace: str = Field("larder", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="Prefix of every key.")
    keep_releases: int = Field(
        3, ge=2, description="Whole releases kept in Redis, the live one included. As many deltas are kept besides."
    )
    bucket_size: int = Field(48, ge=1, le=100, description="Lists that one Redis hash holds on average.")
    scores: bool = Field(True, description="Whether scores are published, at one byte per item.")
    lists_per_second: int = Field(
        0, ge=0, description="Lists that a load writes per second, all tasks together. 0: no limit."
    )
    retired_keys_per_second: int = Field(
        20_000, ge=1, description="Keys that are deleted per second when a release is retired."
    )
    lease_seconds: float = Field(
        15.0,
        gt=0,
        description="Seconds after which the lock of a killed loader expires. A running loader renews its lock.",
    )
    threads: int = Field(2, ge=1, description="Files that are loaded at the same time by a load without Spark.")
