"""The section `[redis]` of `larder.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from larder.settings.section import Section


class RedisSettings(Section):
    """Where and how releases are published."""

    url: SecretStr = Field(
        SecretStr(""),
        description="URL of the server: redis://, rediss:// (TLS), unix:// or redis+sentinel://. It is never printed."
        " Empty: an embedded server is started.",
    )
    password_file: str = Field(
        "", description="File that holds the password, read again for every connection. It wins over a password in url."
    )
    password_command: str = Field(
        "",
        description="Command line that prints the password, run again for every connection. It wins over a password"
        " in url.",
    )
    check: Literal["require", "warn", "off"] = Field(
        "require",
        description="What a load does if the server has no room or would not keep hashes compact. require: it refuses."
        " warn: it warns and goes on. off: it does not look.",
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

    @model_validator(mode="after")
    def has_one_source_of_passwords(self) -> RedisSettings:
        """Raises ValueError if both a password file and a password command are set."""
        if self.password_file and self.password_command:
            raise ValueError("set password_file or password_command, not both")
        return self
