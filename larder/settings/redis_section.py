"""The section `[redis]` of `larder.toml`."""

from __future__ import annotations

from pydantic import Field

from larder.settings.section import Section


class RedisSettings(Section):
    """Where lists are published."""

    url: str = Field("", description="redis://, rediss:// or unix:// URL; empty: an embedded server")
    directory: str = Field("data/redis", description="where the embedded server keeps its data")
    namespace: str = Field("larder", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="prefix of every key")
    keep_releases: int = Field(3, ge=2, description="releases kept, the live one included")
    bucket_size: int = Field(48, ge=1, le=100, description="records a hash holds on average")
    scores: bool = Field(True, description="publish one byte of score an item")
    lists_per_second: int = Field(0, ge=0, description="a load writes no faster, all tasks together; 0: no limit")
    retired_keys_per_second: int = Field(20_000, ge=1, description="keys removed a second when a release is retired")
    lease_seconds: float = Field(15.0, gt=0, description="a loader that was killed holds the lock for so long")
    threads: int = Field(2, ge=1, description="files loaded at a time where Spark is not used")
